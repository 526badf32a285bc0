"""Tests of the sample pictures and of the thumbnail renderer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples import CHANNEL_NAMES, ROOT, SAMPLES, Sample
from samples.render import CHANNELS, HEIGHT, WIDTH, main, render

THUMBNAILS = [sample for sample in SAMPLES if sample.kind == "thumbnail"]


def _name(sample: Sample) -> str:
    return sample.path.name


def test_same_arguments_give_the_same_bytes() -> None:
    first, again = render("orbit", 7), render("orbit", 7)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first.title == again.title


def test_seeds_and_channels_differ() -> None:
    pictures = [render("bolt", 1).image, render("bolt", 2).image, render("crumb", 1).image]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_global_random_state_is_untouched() -> None:
    before = np.random.get_state(legacy=False)
    render("crumb", 3)
    after = np.random.get_state(legacy=False)
    assert before["state"]["pos"] == after["state"]["pos"]
    assert np.array_equal(before["state"]["key"], after["state"]["key"])


@pytest.mark.parametrize("channel", CHANNELS)
def test_shapes_types_and_mask_size(channel: str) -> None:
    thumbnail = render(channel, 0)
    assert thumbnail.image.shape == (HEIGHT, WIDTH, 3) == (720, 1280, 3)
    assert thumbnail.image.dtype == np.uint8
    assert thumbnail.mask.shape == (HEIGHT, WIDTH)
    assert thumbnail.mask.dtype == np.bool_
    assert 0.01 < thumbnail.mask.mean() < 0.10
    assert (thumbnail.channel, thumbnail.cue) == (channel, channel)
    assert thumbnail.title in CHANNELS[channel].titles


@pytest.mark.parametrize("channel", CHANNELS)
def test_only_the_badges_change_with_the_cue(channel: str) -> None:
    first, *others = (render(channel, 5, cue=cue) for cue in CHANNELS)
    for other in others:
        changed = (first.image != other.image).any(axis=2)
        assert not changed[~(first.mask | other.mask)].any()
        # Nearly all of each badge shows: it stands on a scene of other colours.
        assert changed[first.mask].mean() > 0.9
        assert changed[other.mask].mean() > 0.9
        assert first.title == other.title


@pytest.mark.parametrize("arguments", [("vlog", None), ("orbit", "vlog")])
def test_unknown_channel_names_the_choices(arguments: tuple[str, str | None]) -> None:
    with pytest.raises(ValueError, match="no channel 'vlog'; choose one of orbit, crumb, bolt"):
        render(arguments[0], 0, cue=arguments[1])


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        render("orbit", -1)


def test_command_line_writes_every_channel(tmp_path: Path) -> None:
    main(["--out", str(tmp_path / "new"), "--count", "1", "--seed", "9"])
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {f"{channel}-9{end}" for channel in CHANNELS for end in (".jpg", ".mask.png")}


def test_enough_samples_in_a_stable_order() -> None:
    assert 5 <= sum(sample.kind == "photo" for sample in SAMPLES) <= 8
    assert len(THUMBNAILS) >= 12
    assert SAMPLES[0].kind == "photo"
    assert [s.path.stem.split("-")[0] for s in THUMBNAILS[:3]] == list(CHANNEL_NAMES)
    listed = {sample.path for sample in SAMPLES}
    assert listed == {*(ROOT / "photos").iterdir(), *(ROOT / "thumbnails").glob("*.jpg")}


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_sample_opens_and_is_licensed(sample: Sample) -> None:
    with Image.open(sample.path) as picture:
        assert picture.mode == "RGB"
        assert max(picture.size) <= 1280
        picture.load()
    assert sample.path.stat().st_size < 200_000
    where = f"`{sample.path.relative_to(ROOT).as_posix()}`"
    lines = [line for line in (ROOT / "LICENSES.md").read_text("utf-8").splitlines() if where in line]
    assert len(lines) == 1
    assert sample.licence in lines[0]


@pytest.mark.parametrize("font", sorted((ROOT / "fonts").glob("*.ttf")), ids=lambda path: path.stem)
def test_font_is_licensed(font: Path) -> None:
    assert font.name in {channel.font for channel in CHANNELS.values()}
    assert f"`fonts/{font.name}`" in (ROOT / "LICENSES.md").read_text("utf-8")
    assert "SIL Open Font License, Version 1.1" in font.with_suffix(".OFL.txt").read_text("utf-8")
    assert font.stat().st_size < 200_000


@pytest.mark.parametrize("sample", THUMBNAILS, ids=_name)
def test_committed_thumbnail_is_reproduced(sample: Sample) -> None:
    channel, seed = sample.path.stem.split("-")
    fresh = render(channel, int(seed))
    with Image.open(sample.path) as picture:
        stored = np.asarray(picture, np.float32)
    assert np.abs(stored - fresh.image).mean() < 3
    with Image.open(sample.path.with_suffix(".mask.png")) as picture:
        mask = np.asarray(picture) > 0
    assert (mask != fresh.mask).mean() < 0.001


def test_importing_samples_loads_no_imaging_library() -> None:
    code = "import sys, samples; print([m for m in ('PIL', 'numpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
