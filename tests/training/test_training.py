"""Training: no leak between folds, seeds that repeat every bit, and figures known in advance."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

import models
from core import images
from core.corruptions import CORRUPTIONS
from core.errors import UserError
from samples import PRACTICE
from training import __main__, classification_metrics, cross_validation, dataset, embeddings, report, trainer
from training.cross_validation import TrainingResult, split_folds, train_and_validate
from training.dataset import Dataset
from training.embeddings import augment, embed, embed_views
from training.settings import TrainingSettings
from training.trainer import DECAY, PATIENCE, RATE, Epoch, Trainer, class_weights, fit, head_logits, train_head

COLOURS = {"red": (200, 30, 40), "green": (40, 170, 60), "blue": (40, 60, 210)}
QUICK = TrainingSettings("linear", folds=2, epochs=60, augmentations=0, side=64)


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


def train(
    data: Dataset, settings: TrainingSettings = QUICK, should_stop: Callable[[], bool] = lambda: False, **options: Path
) -> TrainingResult:
    *_, last = train_and_validate(models.load(), data, settings, should_stop=should_stop, **options)
    assert last.result is not None
    return last.result


def blobs(count: int = 40, channels: int = 16) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.arange(count) % 2
    return rng.normal(0, 1, (count, channels)).astype(np.float32) + np.float32(4) * labels[:, None] - 2, labels


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_separable_vectors_are_learned_and_a_seed_repeats_every_bit(head: trainer.Head) -> None:
    x, y = blobs()
    trainer = Trainer(16, 2, head)
    runs = []
    for seed in (3, 4, 3):
        *_, (epoch, layers) = train_head(trainer, x, y, 2, epochs=40, seed=seed)
        assert classification_metrics.accuracy(head_logits(layers, x), y) == 1
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
    trainer.reset(0)
    (before, bias), weights = trainer.layers()[0], np.linspace(0.5, 2, 32, dtype=np.float32)
    probabilities = softmax(x @ before + bias, axis=1)
    loss, accuracy = trainer.train_epoch(x, y.astype(np.int32), weights)
    gradient = x.T @ ((probabilities - np.eye(2)[y]) * weights[:, None]) / 32 + 2 * DECAY * before
    step = RATE * gradient / np.sqrt(0.1 * gradient**2 + 1e-7)
    assert trainer.layers()[0][0] == pytest.approx(before - step, abs=1e-6)
    assert loss == pytest.approx(float((-np.log(probabilities[np.arange(32), y]) * weights).mean()), rel=1e-4)
    assert accuracy == classification_metrics.accuracy(probabilities, y)


def test_small_classes_are_raised_half_way() -> None:
    """To weigh the same, one picture in four would weigh 2 and the others 2/3."""
    weights = class_weights(np.array([0, 0, 0, 1]), 2)
    assert (weights**2).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    assert class_weights(np.array([0, 1, 2]), 3).tolist() == [1, 1, 1]


def test_training_stops_early_and_keeps_the_best() -> None:
    """Where the validation part has its labels turned round, what is learned makes it worse from the beginning."""
    x, y = blobs()
    epochs = list(train_head(Trainer(16, 2, "linear"), x, y, 2, validation=(x, 1 - y), epochs=60))
    losses = [epoch.validation_loss for epoch, _ in epochs]
    kept = len(epochs) - PATIENCE
    assert np.argmin(losses) < kept < 30
    assert max(epoch.number for epoch, _ in epochs if epoch.is_best) == kept
    assert classification_metrics.cross_entropy(head_logits(epochs[-1][1], x), 1 - y) == pytest.approx(
        losses[kept - 1], rel=1e-5
    )
    ones = classification_metrics.cross_entropies(head_logits(epochs[int(np.argmin(losses))][1], x), 1 - y)
    assert losses[kept - 1] <= min(losses) + ones.std() / np.sqrt(len(ones)) < min(losses[kept:])


def test_training_goes_on_where_few_pictures_cannot_tell_better_from_worse() -> None:
    x, y = blobs()
    rng = np.random.default_rng(0)
    unclear = x[:6] + rng.normal(0, 3, (6, 16)).astype(np.float32)
    epochs = [
        epoch for epoch, _ in train_head(Trainer(16, 2, "linear"), x, y, 2, validation=(unclear, y[:6]), epochs=40)
    ]
    assert len(epochs) == 40


def test_folds_hold_each_picture_out_once_and_keep_groups_and_shares() -> None:
    labels = np.repeat([0, 1, 2], [30, 20, 10])
    groups = np.arange(60)
    groups[1], groups[31], groups[59] = groups[0], groups[30], groups[58]
    folds = split_folds(labels, groups, 5, seed=0)
    assert sorted(np.concatenate([out for _, out in folds]).tolist()) == list(range(60))
    for chosen, out in folds:
        assert not set(groups[chosen]) & set(groups[out])
        assert np.abs(np.bincount(labels[out]) - (6, 4, 2)).max() <= 1
    assert (
        len(split_folds(labels[:53], np.array([*groups[:50], 50, 51, 51]), 5, seed=0)) == 2
    )  # the third class has two groups
    with pytest.raises(UserError, match="nearly the same"):
        split_folds(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]), 2, seed=0)


def test_a_class_of_two_groups_is_trained_without_early_stopping(colours: Dataset) -> None:
    """The training part of each fold has one group of the class, so it cannot have a validation part."""
    blue = colours.class_indices == colours.labels.index("blue")
    groups = np.where(blue, colours.groups % 2, 2 + colours.groups)
    result = train(replace(colours, groups=groups))
    assert len(result.notes) == 1
    assert all(fact in result.notes[0] for fact in ("'blue'", "2 of 2 folds", "30 epochs"))
    assert "green" not in result.notes[0]
    assert [len(curve) for curve in result.curves] == [30, 30]
    assert len(result.final_curve) == 30
    assert all(np.isnan(epoch.validation_loss) for curve in result.curves for epoch in curve)
    assert np.isfinite(result.held_out_logits).all()
    short = train(replace(colours, groups=groups), replace(QUICK, epochs=12))
    assert [len(curve) for curve in short.curves] == [12, 12]
    assert train(colours).notes == ()


def test_only_the_folds_without_a_validation_part_train_without_early_stopping(colours: Dataset) -> None:
    """Of three groups, one fold holds out two and the other one."""
    blue = colours.class_indices == colours.labels.index("blue")
    result = train(replace(colours, groups=np.where(blue, colours.groups % 3, 3 + colours.groups)))
    assert "'blue'" in result.notes[0]
    assert "1 of 2 folds" in result.notes[0]
    validated = [np.isfinite([epoch.validation_loss for epoch in curve]).all() for curve in result.curves]
    assert sorted(validated) == [False, True]


def test_a_class_of_one_group_has_no_held_out_figure(colours: Dataset) -> None:
    one_group = replace(colours, groups=np.where(colours.class_indices == 0, 0, 1 + colours.groups))
    for settings in (replace(QUICK, folds=0), QUICK):
        result = train(one_group, settings)
        assert len(result.final_curve) == 30
        assert "'blue'" in result.notes[0]
    assert (result.fold_of_picture == -1).all()
    assert result.notes[0].startswith("There is no held-out figure: all pictures of 'blue' are nearly the same")


@pytest.mark.parametrize(
    ("setting", "value", "range_"),
    [
        ("head", "deep", "linear or mlp"),
        ("folds", 1, "0 or 2 to 20"),
        ("folds", 21, "0 or 2 to 20"),
        ("epochs", 0, "1 to 1000"),
        ("augmentations", -1, "0 to 100"),
        ("canvas_shape", "round", "wide or square"),
        ("side", 100, "32 to 1024"),
        ("seed", -1, "0 or more"),
    ],
)
def test_a_setting_out_of_range_is_named_in_one_sentence(setting: str, value: object, range_: str) -> None:
    with pytest.raises(UserError, match=range_) as caught:
        replace(QUICK, **{setting: value})  # type: ignore[arg-type]
    assert str(value) in str(caught.value)
    assert str(caught.value).count(".") == 1


def test_the_keys_of_the_figures_stay(colours: Dataset) -> None:
    """Those of the first release: heads that were saved before have them."""
    settings = train(colours, replace(QUICK, folds=0, epochs=1)).model.figures["settings"]
    assert list(settings) == ["head", "folds", "epochs", "views", "flip", "canvas_shape", "side", "seed"]


def test_augmentations_take_turns_and_a_seed_repeats_them() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    views = augment(pixels, 8, np.random.default_rng(5))
    assert [view.shape for view in views] == [(90, 160, 3)] * 8
    again = augment(pixels, 8, np.random.default_rng(5))
    assert all(np.array_equal(a, b) for a, b in zip(views, again, strict=True))
    assert len({view.tobytes() for view in views}) == 8
    assert set(embeddings.CAMERA) <= set(CORRUPTIONS)


def test_an_embedding_is_the_mean_of_the_features_and_batches_change_nothing() -> None:
    backbone = models.load()
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (size, 96, 3), dtype=np.uint8) for size in (54, 54, 96, 54)]
    rows = embed(backbone, pictures, side=64)
    for row, pixels in zip(rows, pictures, strict=True):
        canvas = embeddings.canvas_geometry(backbone, pixels.shape[:2], side=64).place(pixels)
        assert row == pytest.approx(backbone.forward(canvas[None])[0].mean((0, 1, 2)), abs=1e-4)
    with pytest.raises(UserError, match="no pictures"):
        embed(backbone, [])


def test_embeddings_are_kept_by_content_and_damaged_ones_made_anew(colours: Dataset, tmp_path: Path) -> None:
    backbone, items = models.load(), colours.items[:3]

    def rows(**options: int) -> np.ndarray:
        return np.stack(
            list(
                embed_views(
                    backbone,
                    items,
                    replace(QUICK, augmentations=2).make_views,
                    "augment",
                    side=64,
                    cache=tmp_path,
                    **options,
                )
            )
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


def test_a_full_disk_ends_the_cache_and_not_the_training(
    colours: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fill(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(embeddings, "write_atomically", fill)
    plain = {"make_views": lambda pixels, _: [pixels], "recipe": "plain", "side": 64}
    kept = list(embed_views(models.load(), colours.items[:3], **plain, cache=tmp_path))
    assert np.array_equal(kept, list(embed_views(models.load(), colours.items[:3], **plain)))
    assert ["No space left" in record.message for record in caplog.records] == [True]


def test_a_cached_file_with_other_content_is_made_anew(colours: Dataset, tmp_path: Path) -> None:
    plain = {"make_views": lambda pixels, _: [pixels], "recipe": "plain", "side": 64, "cache": tmp_path}
    (right,) = embed_views(models.load(), colours.items[:1], **plain)
    (file,) = tmp_path.iterdir()
    for wrong in (np.float32(3), np.full_like(right, np.nan), np.zeros((2, 2, 2, 2), np.float32), np.array(["x"])):
        np.save(file, wrong)
        (again,) = embed_views(models.load(), colours.items[:1], **plain)
        assert np.array_equal(again, right)


def test_a_whole_training(colours: Dataset) -> None:
    steps = list(train_and_validate(models.load(), colours, QUICK))
    assert [step.stage for step in steps[:24]] == ["embed"] * 24
    done = [step.share for step in steps]
    assert done == sorted(done)
    assert done[-1] == 1
    result = steps[-1].result
    assert result is not None
    assert not result.stopped
    assert sorted(set(result.fold_of_picture.tolist())) == [0, 1]
    assert classification_metrics.accuracy(result.held_out_logits, colours.class_indices) == 1
    assert result.macro_f1_by_fold(colours.class_indices) == [1, 1]
    assert result.model.labels == ("blue", "green", "red")
    assert result.model.predict(np.full((54, 96, 3), COLOURS["red"], np.uint8))[0].label == "red"
    assert result.model.figures["held_out"]["accuracy"]["value"] == 1
    assert len(result.model.figures["digests"]) == 24
    held = result.heads[0]
    out = result.fold_of_picture == 0
    assert result.held_out_logits[out] == pytest.approx(
        head_logits(held, embed(models.load(), [item.pixels() for item in colours.items], side=64)[out]), abs=1e-3
    )
    again = train(colours)
    assert np.array_equal(again.held_out_logits, result.held_out_logits)
    assert np.array_equal(again.model.layers[0][0], result.model.layers[0][0])


def test_shuffled_labels_cannot_be_told_apart(colours: Dataset) -> None:
    """What leaks from the held-out part would show here as more than chance."""
    rng = np.random.default_rng(0)
    class_indices = rng.permutation(colours.class_indices).tolist()
    items = [
        replace(item, class_index=class_index) for item, class_index in zip(colours.items, class_indices, strict=True)
    ]
    shuffled = replace(colours, items=tuple(items))
    result = train(shuffled, replace(QUICK, folds=4))
    assert (
        classification_metrics.accuracy(result.held_out_logits, shuffled.class_indices) < 0.6
    )  # 1/3, give or take 0.19 for 24 pictures


def test_stop_keeps_the_best_so_far_and_before_that_there_is_nothing(colours: Dataset) -> None:
    assert list(train_and_validate(models.load(), colours, QUICK, should_stop=lambda: True)) == []
    calls = iter(range(1000))
    result = train(colours, should_stop=lambda: next(calls) >= 24 + 15)  # 24 pictures, then the sixteenth epoch
    assert result.stopped
    assert [len(curve) for curve in result.curves] == [16]
    assert result.final_curve == []
    known = result.fold_of_picture >= 0
    assert 0 < known.sum() < 24
    assert np.isnan(result.held_out_logits[~known]).all()
    assert result.model.predict(np.full((54, 96, 3), COLOURS["green"], np.uint8))[0].label == "green"


def test_without_folds_an_eighth_is_put_aside(colours: Dataset) -> None:
    result = train(colours, replace(QUICK, folds=0))
    assert result.curves == []
    assert (result.fold_of_picture == -1).all()
    assert np.isfinite([epoch.validation_loss for epoch in result.final_curve]).all()


def test_fit_needs_two_classes() -> None:
    x, y = blobs(20, 1280)
    model = fit(models.load(), x, y, ["left", "right"], epochs=20)
    assert model.labels == ("left", "right")
    assert classification_metrics.accuracy(head_logits(model.layers, x), y) == 1
    with pytest.raises(UserError, match="two classes"):
        fit(models.load(), x, np.zeros(20, int))


def test_curves_are_means_over_the_folds_that_got_so_far() -> None:
    curves = [[Epoch(1, 1, 0.5, 2, 0.4), Epoch(2, 0.5, 0.7, 1, 0.6)], [Epoch(1, 3, 0.7, 4, 0.6)]]
    result = cross_validation.mean_curves(curves)
    assert result["loss"] == [[2, 1], [0.5, 0]]
    assert result["validation_accuracy"][0] == pytest.approx([0.5, 0.1])
    assert len(report.curve_table(curves).splitlines()) == 3


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, sheet = tmp_path / "practice.npz", tmp_path / "sheet.png"
    command = [str(PRACTICE), "--head", "linear", "--folds", "2", "--augment", "0", "--no-cache", "--epochs", "15"]
    assert __main__.main([*command, "--out", str(out), "--sheet", str(sheet)]) == 0
    text = capsys.readouterr().out
    assert "Bolt Squad     24" in text
    assert "macro F1 by fold" in text
    model = models.load(str(out))
    for channel, label in (("orbit", "Orbit Lab"), ("crumb", "Crumb & Co"), ("bolt", "Bolt Squad")):
        pixels = images.read(PRACTICE.parent / "thumbnails" / f"{channel}-1.jpg").pixels
        assert model.predict(pixels)[0].label == label
    assert Image.open(sheet).size == (1280, 336)
    assert __main__.main([str(tmp_path / "nowhere")]) == 2
    assert __main__.main([*command, "--folds", "1"]) == 2
    assert __main__.main([*command, "--epochs", "0"]) == 2
    errors = capsys.readouterr().err
    assert "There is no" in errors
    assert "0 or 2 to 20" in errors
    assert "1 to 1000" in errors


@pytest.mark.parametrize("out", ["", "file/model.npz", "n" * 300])
def test_a_head_that_cannot_be_written_is_found_before_training(
    out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(dataset, "load_dataset", lambda *_: pytest.fail("work was done first"))
    assert __main__.main([str(PRACTICE), "--out", str(tmp_path / out)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "--out" in printed.err


def test_nothing_that_comes_after_the_training_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(__main__, "_print_result", fail)
    out = tmp_path / "practice.npz"
    options = __main__._parser().parse_args(
        [
            str(PRACTICE),
            "--head",
            "linear",
            "--folds",
            "0",
            "--augment",
            "0",
            "--epochs",
            "2",
            "--no-cache",
            "--out",
            str(out),
        ]
    )
    with pytest.raises(BrokenPipeError):
        __main__._train(options)
    assert models.load(str(out)).labels == ("Bolt Squad", "Crumb & Co", "Orbit Lab")


def test_labels_that_are_the_same_are_found_before_training(colours: Dataset) -> None:
    twins = replace(colours, labels=("red", "Red ", "blue"))
    with pytest.raises(UserError, match="same"):
        next(train_and_validate(models.load(), twins, QUICK))


@pytest.mark.parametrize("labels", [("a" * 101, "b", "c"), ("", "b", "c")])
def test_names_that_a_head_cannot_hold_are_found_before_training(colours: Dataset, labels: tuple[str, ...]) -> None:
    """Such a head would be written, and then not be loaded."""
    with pytest.raises(UserError, match="1 to 100 letters"):
        next(train_and_validate(models.load(), replace(colours, labels=labels), QUICK))
