"""Nothing is left behind: no state, no randomness, no marks on what was given; and threads do not mix."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from explain import explain
from tests.networks import GENERAL, CountingEngine, keras_net, picture, small_classifier

QUICK = {"occlusion": {"patch": 8, "stride": 8}}
BACKWARD = {
    "saliency": 1, "gradient-x-input": 1, "smoothgrad": 20, "vargrad": 20, "integrated-gradients": 32, "blur-ig": 32,
    "guided-backprop": 1, "guided-grad-cam": 1,
}  # fmt: skip


@pytest.mark.parametrize("method", GENERAL)
def test_twice_the_same_to_the_last_bit(method: str) -> None:
    first, second = (explain(picture(), small_classifier("gap"), method, 1, **QUICK.get(method, {})) for _ in range(2))
    np.testing.assert_array_equal(first.heatmap, second.heatmap)
    np.testing.assert_array_equal(first.raw, second.raw)
    assert (first.forward_passes, first.backward_passes) == (second.forward_passes, second.backward_passes)


@pytest.mark.parametrize("method", GENERAL)
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_given_is_changed(method: str, fails: bool) -> None:
    """Not even when the engine breaks in the middle, after which the next answer is right again."""
    classifier, model, pixels = small_classifier("gap"), keras_net("gap"), picture()
    options = QUICK.get(method, {})
    expected = explain(pixels, classifier, method, 0, **options)
    before = pixels.copy(), [w.copy() for w in model.get_weights()], random.getstate()
    generator = np.random.get_state(legacy=False)["state"]
    pixels.flags.writeable = False
    engine = classifier.engine
    try:
        if fails:
            classifier.engine = CountingEngine(engine, fail_at=2 if method == "occlusion" else 1)
            with pytest.raises(RuntimeError, match="the engine broke"):
                explain(pixels, classifier, method, 0, **options)
        else:
            explain(pixels, classifier, method, 0, **options)
    finally:
        classifier.engine = engine
    np.testing.assert_array_equal(pixels, before[0])
    for now, then in zip(model.get_weights(), before[1], strict=True):
        np.testing.assert_array_equal(now, then)
    assert random.getstate() == before[2]
    after = np.random.get_state(legacy=False)["state"]
    assert after["pos"] == generator["pos"]
    np.testing.assert_array_equal(after["key"], generator["key"])
    assert model.layers[-1].__class__.__name__ == "Softmax"
    np.testing.assert_array_equal(explain(pixels, classifier, method, 0, **options).raw, expected.raw)


def test_threads_give_the_answers_of_one_after_the_other(mobilenet) -> None:
    """Mixed methods, classes and canvases on one shared classifier, twice over."""
    options = {
        "occlusion": {"patch": 96, "stride": 96}, "smoothgrad": {"samples": 2}, "vargrad": {"samples": 2},
        "integrated-gradients": {"steps": 2}, "blur-ig": {"steps": 2}, "finite-differences": {"grid": 2},
        "score-cam": {"channels": 4},
    }  # fmt: skip
    sizes = [(60, 80), (90, 50), (64, 64)]
    work = [(name, size, target) for name in GENERAL for size in sizes for target in (1, 285)] * 2

    def answer(job: tuple[str, tuple[int, int], int]) -> np.ndarray:
        name, size, target = job
        return explain(picture(*size), mobilenet, name, target, **options.get(name, {})).heatmap

    one_by_one = [answer(job) for job in work]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(answer, work))
    for job, expected, found in zip(work, one_by_one, together, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4 if job[0] in BACKWARD else 0, err_msg=str(job))


@pytest.mark.parametrize("method", GENERAL)
def test_passes_are_counted_honestly(method: str) -> None:
    classifier = small_classifier("gap")
    engine, classifier.engine = classifier.engine, CountingEngine(classifier.engine)
    try:
        found = explain(picture(), classifier, method, **QUICK.get(method, {}))
        assert found.forward_passes == classifier.engine.passes
        assert found.backward_passes == BACKWARD.get(method, 0)
    finally:
        classifier.engine = engine


def test_results_do_not_share_memory() -> None:
    """A map changed by its owner must not reach the next one, nor the picture."""
    classifier, pixels = small_classifier("gap"), picture()
    for method in GENERAL:
        first = explain(pixels, classifier, method, 0, **QUICK.get(method, {}))
        expected = first.heatmap.copy(), first.raw.copy()
        if first.raw.flags.writeable:
            first.raw[:] = 9
        first.heatmap[:] = 9
        again = explain(pixels, classifier, method, 0, **QUICK.get(method, {}))
        np.testing.assert_array_equal(again.heatmap, expected[0])
        np.testing.assert_array_equal(again.raw, expected[1])
