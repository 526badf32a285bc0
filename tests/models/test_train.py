"""Training: no leak, no chance, and figures that can be known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models
from models import UserError, dataset, embeddings, metrics, train
from models.dataset import Dataset
from models.distortions import DISTORTIONS
from models.embeddings import augment, embed, embed_views
from models.train import Epoch, Outcome, Settings, Trainer, fit, learn, parts, run
from samples import PRACTICE

COLOURS = {"red": (200, 30, 40), "green": (40, 170, 60), "blue": (40, 60, 210)}
QUICK = Settings("linear", folds=2, epochs=60, views=0, side=64)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three classes that anything can tell apart: eight blocky pictures each, of one colour and noise."""
    folder = tmp_path_factory.mktemp("colours")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(8):
            blocks = np.clip(colour + rng.normal(0, 40, (6, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(blocks).resize((96, 54), Image.Resampling.NEAREST).save(folder / name / f"{number}.png")
    return dataset.from_folder(folder)


def outcome(
    data: Dataset, settings: Settings = QUICK, halted: Callable[[], bool] = lambda: False, **how: Path
) -> Outcome:
    *_, last = run(models.load(), data, settings, halted=halted, **how)
    assert last.outcome is not None
    return last.outcome


def blobs(count: int = 40, channels: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.arange(count) % 2
    return rng.normal(0, 1, (count, channels)).astype(np.float32) + np.float32(4) * labels[:, None] - 2, labels


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_separable_vectors_are_learned_and_a_seed_repeats_every_bit(head: train.Head) -> None:
    x, y = blobs()
    trainer = Trainer(16, 2, head)
    runs = []
    for seed in (3, 4, 3):
        *_, (epoch, layers) = learn(trainer, x, y, 2, epochs=40, seed=seed)
        assert metrics.accuracy(train.logits(layers, x), y) == 1
        runs.append((epoch, layers))
    assert runs[0][0] == runs[2][0]
    assert all(
        np.array_equal(a, b)
        for one, two in zip(runs[0][1], runs[2][1], strict=True)
        for a, b in zip(one, two, strict=True)
    )
    assert runs[0][0] != runs[1][0]


def test_the_mlp_is_that_of_the_study() -> None:
    assert Trainer(1280, 3, "mlp").model.count_params() == 128_403


def test_the_first_step_is_rmsprops() -> None:
    """One batch, no dropout: each weight moves by rate * g / (sqrt(0.1 g^2) + epsilon), the sign of its gradient, which
    includes that of the decay."""
    x, y = blobs(32)
    trainer = Trainer(16, 2, "linear")
    trainer.start(0)
    (before, bias), weights = trainer.layers()[0], np.linspace(0.5, 2, 32, dtype=np.float32)
    probabilities = metrics.softmax(x @ before + bias)
    loss, accuracy = trainer.epoch(x, y.astype(np.int32), weights)
    gradient = x.T @ ((probabilities - np.eye(2)[y]) * weights[:, None]) / 32 + 2 * train.DECAY * before
    step = train.RATE * gradient / np.sqrt(0.1 * gradient**2 + 1e-7)
    assert trainer.layers()[0][0] == pytest.approx(before - step, abs=1e-6)
    assert loss == pytest.approx(float((-np.log(probabilities[np.arange(32), y]) * weights).mean()), rel=1e-4)
    assert accuracy == metrics.accuracy(probabilities, y)


def test_small_classes_are_raised_half_way() -> None:
    """To weigh the same, one picture in four would weigh 2 and the others 2/3."""
    weights = train.balanced(np.array([0, 0, 0, 1]), 2)
    assert (weights**2).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert train.balanced(np.array([0, 1, 2]), 3).tolist() == [1, 1, 1]


def test_training_stops_early_and_keeps_the_best() -> None:
    """Where the validation part has its labels turned round, what is learned makes it worse from the beginning."""
    x, y = blobs()
    epochs = list(learn(Trainer(16, 2, "linear"), x, y, 2, validation=(x, 1 - y), epochs=60))
    losses = [epoch.validation_loss for epoch, _ in epochs]
    kept = len(epochs) - train.PATIENCE
    assert np.argmin(losses) < kept < 30
    assert metrics.cross_entropy(train.logits(epochs[-1][1], x), 1 - y) == pytest.approx(losses[kept - 1], rel=1e-5)
    ones = metrics.losses(train.logits(epochs[int(np.argmin(losses))][1], x), 1 - y)
    assert losses[kept - 1] <= min(losses) + ones.std() / np.sqrt(len(ones)) < min(losses[kept:])


def test_training_goes_on_where_few_pictures_cannot_tell_better_from_worse() -> None:
    x, y = blobs()
    rng = np.random.default_rng(0)
    unclear = x[:6] + rng.normal(0, 3, (6, 16)).astype(np.float32)
    epochs = [epoch for epoch, _ in learn(Trainer(16, 2, "linear"), x, y, 2, validation=(unclear, y[:6]), epochs=40)]
    assert len(epochs) == 40


def test_folds_hold_each_picture_out_once_and_keep_groups_and_shares() -> None:
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    groups = np.arange(60)
    groups[1], groups[31], groups[59] = groups[0], groups[30], groups[58]
    folds = parts(labels, groups, 5, seed=0)
    assert sorted(np.concatenate([out for _, out in folds]).tolist()) == list(range(60))
    for chosen, out in folds:
        assert not set(groups[chosen]) & set(groups[out])
        assert np.abs(np.bincount(labels[out]) - (6, 4, 2)).max() <= 1
    assert (
        len(parts(labels[:53], np.array([*groups[:50], 50, 51, 51]), 5, seed=0)) == 2
    )  # the third class has two groups
    with pytest.raises(UserError, match="nearly the same"):
        parts(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]), 2, seed=0)


def test_augmentations_take_turns_and_a_seed_repeats_them() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    views = augment(pixels, 8, np.random.default_rng(5))
    assert [view.shape for view in views] == [(90, 160, 3)] * 8
    again = augment(pixels, 8, np.random.default_rng(5))
    assert all(np.array_equal(a, b) for a, b in zip(views, again, strict=True))
    assert len({view.tobytes() for view in views}) == 8
    assert set(embeddings.CAMERA) <= set(DISTORTIONS)


def test_an_embedding_is_the_mean_of_the_features_and_batches_change_nothing() -> None:
    backbone = models.load()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (size, 96, 3), dtype=np.uint8) for size in (54, 54, 96, 54)]
    rows = embed(backbone, pictures, side=64)
    for row, pixels in zip(rows, pictures, strict=True):
        canvas = embeddings.lay(backbone, pixels.shape[:2], side=64).place(pixels)
        assert row == pytest.approx(backbone.forward(canvas[None])[0].mean((0, 1, 2)), abs=1e-4)
    with pytest.raises(UserError, match="no pictures"):
        embed(backbone, [])


def test_embeddings_are_kept_by_content_and_damaged_ones_made_anew(colours: Dataset, tmp_path: Path) -> None:
    backbone, items = models.load(), colours.items[:3]

    def rows(**how: int) -> np.ndarray:
        return np.stack(
            list(embed_views(backbone, items, replace(QUICK, views=2).make, "augment", side=64, cache=tmp_path, **how))
        )

    first = rows()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    files[0].write_bytes(files[0].read_bytes()[:100])
    marked = np.load(files[1])
    np.save(files[1], marked + 1)
    second = rows()
    assert np.sort(np.abs(second - first).max((1, 2))).tolist() == pytest.approx([0, 0, 1], abs=1e-5)
    assert len(list(tmp_path.iterdir())) == 3
    rows(seed=1)
    assert len(list(tmp_path.iterdir())) == 6


def test_a_whole_training(colours: Dataset) -> None:
    steps = list(run(models.load(), colours, QUICK))
    assert [step.stage for step in steps[:24]] == ["embed"] * 24
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == 1
    found = steps[-1].outcome
    assert found is not None
    assert not found.stopped
    assert sorted(set(found.fold.tolist())) == [0, 1]
    assert metrics.accuracy(found.held, colours.targets) == 1
    assert train.by_fold(found, colours.targets) == [1, 1]
    assert found.model.labels == ("blue", "green", "red")
    assert found.model.predict(np.full((54, 96, 3), COLOURS["red"], np.uint8))[0].label == "red"
    assert found.model.figures["held_out"]["accuracy"]["value"] == 1
    assert len(found.model.figures["digests"]) == 24
    held = found.heads[0]
    out = found.fold == 0
    assert found.held[out] == pytest.approx(
        train.logits(held, embed(models.load(), [item.pixels() for item in colours.items], side=64)[out]), abs=1e-3
    )
    again = outcome(colours)
    assert np.array_equal(again.held, found.held)
    assert np.array_equal(again.model.layers[0][0], found.model.layers[0][0])


def test_shuffled_labels_cannot_be_told_apart(colours: Dataset) -> None:
    """What leaks from the held-out part would show here as more than chance."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(colours.targets).tolist()
    shuffled = replace(
        colours, items=tuple(replace(item, label=label) for item, label in zip(colours.items, labels, strict=True))
    )
    found = outcome(shuffled, replace(QUICK, folds=4))
    assert metrics.accuracy(found.held, shuffled.targets) < 0.6  # 1/3, give or take 0.19 for 24 pictures


def test_stop_keeps_the_best_so_far_and_before_that_there_is_nothing(colours: Dataset) -> None:
    assert list(run(models.load(), colours, QUICK, halted=lambda: True)) == []
    calls = iter(range(1000))
    found = outcome(colours, halted=lambda: next(calls) >= 24 + 15)  # 24 pictures, then the sixteenth epoch
    assert found.stopped
    assert [len(curve) for curve in found.curves] == [16]
    assert found.final == []
    known = found.fold >= 0
    assert 0 < known.sum() < 24
    assert np.isnan(found.held[~known]).all()
    assert found.model.predict(np.full((54, 96, 3), COLOURS["green"], np.uint8))[0].label == "green"


def test_without_folds_an_eighth_is_put_aside(colours: Dataset) -> None:
    found = outcome(colours, replace(QUICK, folds=0))
    assert found.curves == []
    assert (found.fold == -1).all()
    assert np.isfinite([epoch.validation_loss for epoch in found.final]).all()


def test_fit_needs_two_classes() -> None:
    x, y = blobs(20, 1280)
    model = fit(models.load(), x, y, ["left", "right"], epochs=20)
    assert model.labels == ("left", "right")
    assert metrics.accuracy(train.logits(model.layers, x), y) == 1
    with pytest.raises(UserError, match="two classes"):
        fit(models.load(), x, np.zeros(20, int))


def test_curves_are_means_over_the_folds_that_got_so_far() -> None:
    curves = [[Epoch(1, 1, 0.5, 2, 0.4), Epoch(2, 0.5, 0.7, 1, 0.6)], [Epoch(1, 3, 0.7, 4, 0.6)]]
    found = train.mean_curves(curves)
    assert found["loss"] == [[2, 1], [0.5, 0]]
    assert found["validation_accuracy"][0] == pytest.approx([0.5, 0.1])
    assert len(train.curve_table(curves).splitlines()) == 3


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, sheet = tmp_path / "practice.npz", tmp_path / "sheet.png"
    command = [str(PRACTICE), "--head", "linear", "--folds", "2", "--augment", "0", "--no-cache", "--epochs", "15"]
    assert train.main([*command, "--out", str(out), "--sheet", str(sheet)]) == 0
    text = capsys.readouterr().out
    assert "Bolt Squad     24" in text
    assert "macro F1 by fold" in text
    model = models.load(str(out))
    for channel, label in (("orbit", "Orbit Lab"), ("crumb", "Crumb & Co"), ("bolt", "Bolt Squad")):
        pixels = models.picture.read(PRACTICE.parent / "thumbnails" / f"{channel}-1.jpg").pixels
        assert model.predict(pixels)[0].label == label
    assert Image.open(sheet).size == (1280, 336)
    assert train.main([str(tmp_path / "nowhere")]) == 1
    assert train.main([*command, "--folds", "1"]) == 1
    assert "There is no" in capsys.readouterr().err
