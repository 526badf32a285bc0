"""Sets of frames from a fixed camera: split by blocks of time with a gap, and said to be about this camera only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models
from training import __main__
from training.cross_validation import train_and_validate
from training.dataset import Dataset, load_dataset
from training.settings import TrainingSettings
from training.splits import EXIF_IFD, GAP, TAKEN, find_series, gap_size, order_frames, plan_folds

QUICK = TrainingSettings("linear", folds=2, epochs=2, augmentations=0, side=64)


def frames(folder: Path, label: int, count: int, times: list[int] | None = None) -> None:
    """Frames before one background; a square of the class' colour moves a little. `times`: seconds for the EXIF data."""
    folder.mkdir(parents=True)
    background = np.random.default_rng(0).integers(0, 256, (9, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for number in range(count):
        pixels = background.copy()
        left = 40 + number // 2
        pixels[24:40, left : left + 16] = (220, 40, 40) if label else (40, 40, 220)
        pixels[0, 0] = number  # no exact copy
        exif = Image.Exif()
        if times:
            exif[0x0112] = 1
            exif.get_ifd(EXIF_IFD)[TAKEN] = f"2026:11:29 10:{times[number] // 60:02}:{times[number] % 60:02}"
        Image.fromarray(pixels).save(folder / f"{number}.png", exif=exif)


def others(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        blocks = np.random.default_rng([9, number]).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((128, 72), Image.Resampling.NEAREST).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two classes of 30 frames of one camera, and one of 12 different pictures."""
    home = tmp_path_factory.mktemp("camera")
    for label, name in enumerate(("empty", "person")):
        frames(home / name, label, 30)
    others(home / "street", 12)
    return load_dataset(home, home)


def test_blocks_of_time_hold_each_frame_out_once_with_a_gap(camera: Dataset) -> None:
    assert [camera.labels[index] for index in find_series(camera)] == ["empty", "person"]
    plan = plan_folds(camera, 5, seed=0)
    assert len(plan.folds) == 5
    assert sorted(np.concatenate([held_out for _, held_out in plan.folds]).tolist()) == list(range(72))
    number = np.array([int(item.path.stem) for item in camera.items])
    for training_part, held_out in plan.folds:
        assert not set(training_part) & set(held_out)
        for label in range(2):
            kept = number[training_part][camera.class_indices[training_part] == label]
            out = np.sort(number[held_out][camera.class_indices[held_out] == label])
            assert out.tolist() == list(range(out[0], out[0] + 6))  # consecutive, though "10" sorts before "2"
            assert np.abs(kept[:, None] - out).min() == gap_size(30) + 1 == 3
            assert len(kept) == 30 - 6 - sum((out[0] > 0, out[-1] < 29)) * gap_size(30)
        streets = camera.class_indices == 2
        assert streets[training_part].sum() + streets[held_out].sum() == 12
    (note,) = plan.notes
    assert all(fact in note for fact in ("'empty' and 'person'", "order of name", "5 blocks", "this camera"))
    assert gap_size(10) == 1
    assert GAP * 30 == 2


def test_the_time_at_which_frames_were_taken_counts_more_than_their_names(tmp_path: Path) -> None:
    times = np.random.default_rng(0).permutation(12).tolist()
    frames(tmp_path / "a", 0, 12, times)
    frames(tmp_path / "b", 1, 12)
    data = load_dataset(tmp_path, tmp_path)
    order, by = order_frames([item for item in data.items if item.class_index == 0])
    frame = [int(item.path.stem) for item in data.items if item.class_index == 0]
    assert by == "time"
    assert [times[frame[index]] for index in order] == list(range(12))
    assert "order of name and by time" in plan_folds(data, 2, seed=0).notes[0]


def test_training_goes_on_and_says_what_the_figure_is_about(tmp_path: Path) -> None:
    for label, name in enumerate(("empty", "person")):
        frames(tmp_path / name, label, 10)
    *_, last = train_and_validate(models.load(), load_dataset(tmp_path, tmp_path), QUICK)
    assert last.result is not None
    assert "held_out" in last.result.model.figures
    assert np.isfinite(last.result.held_out_logits).all()
    assert "this camera" in last.result.notes[0]


def test_where_none_can_be_kept_apart_there_is_no_held_out_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames(tmp_path / "d" / "empty", 0, 6)
    others(tmp_path / "d" / "street", 6)
    options = ["--head", "linear", "--augment", "0", "--epochs", "2", "--no-cache", "--out", str(tmp_path / "m.npz")]
    assert __main__.main([str(tmp_path / "d"), *options]) == 0
    said = capsys.readouterr().out
    assert "There is no held-out figure: all pictures of 'empty' are nearly the same" in said
    assert "held out, all folds" not in said
    assert "held_out" not in models.trained_head.load(tmp_path / "m.npz").figures
