"""Occlusion against what it is by definition: drops of the score, shared out over the patches that cover a pixel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from core.errors import UserError
from explain import explain, stream
from explain.methods import perturbation
from explain.view import View
from models import engine
from models.engine import TensorFlowEngine
from models.geometry import FILL
from tests.networks import SIDE, CountingEngine, blank, keras_net, linear, on_canvas, picture, small_classifier


def _score(classifier, canvas: np.ndarray, target: int) -> float:
    return float(classifier.forward(canvas[None])[1][0, target])


def _covered(canvas: np.ndarray, rows: slice, columns: slice, colour) -> np.ndarray:
    changed = canvas.copy()
    changed[rows, columns] = colour
    return changed


@pytest.mark.parametrize("patch", [2, 4, 8, 16])
@pytest.mark.parametrize("fill", ["mean", "black", "grey"])
def test_disjoint_tiles_hold_their_drop_and_sum_to_the_whole(patch: int, fill: str) -> None:
    classifier, pixels = linear(), picture()
    _, canvas = on_canvas(classifier, pixels)
    colour = {"mean": canvas.mean((0, 1)), "black": 0, "grey": FILL}[fill]
    found = explain(pixels, classifier, "occlusion", 1, patch=patch, stride=patch, fill=fill)
    before = _score(classifier, canvas, 1)
    for y, x in itertools.product(range(0, SIDE, patch), repeat=2):
        tile = slice(y, y + patch), slice(x, x + patch)
        drop = before - _score(classifier, _covered(canvas, *tile, colour), 1)
        np.testing.assert_allclose(found.raw[tile], drop, atol=2e-4)
    after = _score(classifier, _covered(canvas, slice(None), slice(None), colour), 1)
    np.testing.assert_allclose(found.raw[::patch, ::patch].sum(), before - after, atol=2e-3)


@pytest.mark.parametrize(
    ("size", "patch", "stride"),
    [((16, 16), 4, 2), ((16, 16), 5, 3), ((17, 23), 6, 4), ((16, 31), 7, 7), ((19, 18), 3, 1)],
)
def test_overlapping_patches_give_the_mean_of_their_drops(size: tuple[int, int], patch: int, stride: int) -> None:
    classifier, pixels = linear(size), picture(*size)
    _, canvas = on_canvas(classifier, pixels)
    colour = canvas.mean((0, 1))
    starts = [sorted({*range(0, length - patch, stride), length - patch}) for length in size]
    drops: dict[tuple[int, int], list[float]] = {}
    for y, x in itertools.product(*starts):
        covered = _covered(canvas, slice(y, y + patch), slice(x, x + patch), colour)
        drop = _score(classifier, canvas, 2) - _score(classifier, covered, 2)
        for cell in itertools.product(range(y, y + patch), range(x, x + patch)):
            drops.setdefault(cell, []).append(drop)
    assert len(drops) == size[0] * size[1], "every pixel is covered"
    expected = np.array([[np.mean(drops[y, x]) for x in range(size[1])] for y in range(size[0])])
    found = explain(pixels, classifier, "occlusion", 2, patch=patch, stride=stride)
    np.testing.assert_allclose(found.raw, expected, atol=2e-4)


def test_one_lit_pixel_is_worth_the_same_however_often_it_is_covered() -> None:
    """Adding overlaps up without dividing would make the middle brighter than the rim."""
    weights = np.zeros((SIDE, SIDE, 3, 1))
    weights[8, 8, :, 0] = 1
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[8, 8] = 100
    found = explain(pixels, linear(weights=weights), "occlusion", 0, patch=4, stride=1, fill="black")
    assert found.raw[8, 8] == pytest.approx(300)
    assert found.raw[:5].max() == found.raw[12:].max() == 0


def test_previews_cover_all_and_come_before_the_final_map() -> None:
    classifier, pixels = linear((64, 96)), picture(64, 96)
    steps = list(stream(pixels, classifier, "occlusion", 0, patch=8, stride=8))
    progress = [step.progress for step in steps]
    assert progress == sorted(progress)
    assert len(set(progress)) == len(progress)
    assert progress[-1] == 1
    sizes = [(64 // s) * (96 // s) for s in (32, 16, 8)]
    assert steps[-1].forward_passes == 1 + sum(sizes)
    preview = next(step for step in steps if step.forward_passes == 1 + sizes[0])
    assert (preview.raw != 0).all(), "after the coarsest level nothing is blank"
    coarse = explain(pixels, classifier, "occlusion", 0, patch=32, stride=32)
    np.testing.assert_array_equal(preview.raw, coarse.raw)
    half = next(step for step in steps if step.forward_passes == 1 + sizes[0] + engine.BATCH)
    np.testing.assert_array_equal(half.raw[48:], preview.raw[48:])  # what is not reached yet is still the preview's
    assert (half.raw[:32] != preview.raw[:32]).any()


def test_a_patch_larger_than_the_picture_covers_it_once() -> None:
    classifier, pixels = linear(), picture()
    _, canvas = on_canvas(classifier, pixels)
    found = explain(pixels, classifier, "occlusion", 0, patch=50, stride=50, fill="black")
    drop = _score(classifier, canvas, 0) - _score(classifier, np.zeros_like(canvas), 0)
    np.testing.assert_allclose(found.raw, drop, atol=2e-4)
    assert found.forward_passes == 2


@pytest.mark.parametrize("fill", ["mean", "black", "grey"])
@pytest.mark.parametrize("patch", [6, 24])  # the larger one is higher than the picture
def test_padding_is_never_covered_and_never_in_the_map(fill: str, patch: int) -> None:
    """Every canvas the engine is given has the padding of the first, and the map is zero there."""
    seen = []
    classifier = linear((32, 32))
    engine = classifier.engine

    class Watching:
        def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            seen.append(batch.copy())
            return engine.forward(batch)

    classifier.engine = Watching()
    pixels = picture(16, 32)
    found = explain(pixels, classifier, "occlusion", 0, patch=patch, stride=4, fill=fill)
    assert found.parameters["box"] == (8, 0, 16, 32)
    canvases = np.concatenate(seen)
    assert (canvases[:, :8] == FILL).all()
    assert (canvases[:, 24:] == FILL).all()
    assert (found.raw[:8] == 0).all()
    assert (found.raw[24:] == 0).all()
    assert found.padding_share == 0
    colour = {"mean": pixels.mean((0, 1)), "black": 0, "grey": FILL}[fill]
    changed = canvases[1][(canvases[1] != canvases[0]).any(-1)]
    np.testing.assert_allclose(changed, np.broadcast_to(colour, changed.shape), rtol=1e-5)


@pytest.mark.parametrize(
    "options", [{"stride": 0}, {"stride": -1}, {"patch": 0}, {"patch": 8, "stride": 9}, {"fill": "red"}]
)
def test_options_that_make_no_sense(options: dict) -> None:
    with pytest.raises(UserError, match=r"^[^\n]+[.?]$"):
        explain(picture(), linear(), "occlusion", **options)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_chunks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch, mobilenet, cat_pixels, batch: int) -> None:
    options = {"patch": 96, "stride": 48}
    expected = explain(cat_pixels, mobilenet, "occlusion", **options)
    monkeypatch.setattr(engine, "BATCH", batch)
    monkeypatch.setattr(perturbation, "BATCH", batch)
    found = explain(cat_pixels, mobilenet, "occlusion", **options)
    np.testing.assert_allclose(found.raw, expected.raw, atol=1e-5)
    assert found.forward_passes == expected.forward_passes


def test_what_changes_nothing_is_no_evidence() -> None:
    """TensorFlow's sums depend on the batch in the last bits; that must not be scaled up to a map."""
    classifier = small_classifier("gap")
    view = View(classifier, *_uniform(classifier))
    view.logits = view.logits * np.float32(1 + 2e-7)
    for step in perturbation.occlusion(view, np.float32([1, 0, 0])):
        assert (step.raw == 0).all()


def _uniform(classifier):
    pixels = np.full((SIDE, SIDE, 3), 77, np.uint8)
    return classifier.geometry((SIDE, SIDE)), pixels


def test_the_fallback_engine_gives_the_same_map() -> None:
    from models.from_keras import from_keras

    pixels = picture()
    quick = explain(pixels, small_classifier("gap"), "occlusion", 0, patch=4, stride=2)
    slow = from_keras(keras_net("gap"), engine=lambda network, _: TensorFlowEngine(network))
    np.testing.assert_allclose(explain(pixels, slow, "occlusion", 0, patch=4, stride=2).raw, quick.raw, atol=1e-4)


def test_closing_a_stream_stops_the_work() -> None:
    classifier = blank((64, 64))
    classifier.engine = engine = CountingEngine(classifier.engine)
    steps = stream(picture(64, 64), classifier, "occlusion", patch=4, stride=4)
    assert engine.calls == 0, "nothing happens before the first map is asked for"
    next(steps)
    next(steps)
    passes = engine.passes
    steps.close()
    assert engine.passes == passes < 1 + 256
    with pytest.raises(StopIteration):
        next(steps)
