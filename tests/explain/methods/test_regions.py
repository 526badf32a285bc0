"""XRAI against its definition, regions known on paper, and the sum of the integrated gradients."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.sparse import csr_array

from explain import explain, stream
from explain.methods.regions import LEAST_NEW, SCALES, rank_regions, segment
from tests.explain.methods.test_cam import assert_close
from tests.networks import detector, linear, picture


def _table(masks: list[np.ndarray]) -> csr_array:
    return csr_array(np.stack([mask.ravel() for mask in masks]).astype(float))


def _rank_by_definition(attribution: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Algorithm 1 of Kapishnikov et al. 2019, with whole masks."""
    result, covered, left = np.zeros(attribution.shape), np.zeros(attribution.shape, bool), list(masks)
    while left := [mask for mask in left if (mask & ~covered).sum() >= LEAST_NEW]:
        best = max(left, key=lambda mask: attribution[mask & ~covered].mean())
        result[best & ~covered] = attribution[best & ~covered].mean()
        covered |= best
    if not covered.all():
        result[~covered] = attribution[~covered].mean()
    return result


@pytest.mark.parametrize("seed", range(5))
def test_the_ranking_is_that_of_the_paper(seed: int) -> None:
    """Random discs of all sizes that overlap, also too small ones, and pixels that no disc holds."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :64]
    discs = zip(rng.integers(0, 48, 40), rng.integers(0, 64, 40), rng.integers(2, 14, 40), strict=True)
    masks = [np.hypot(rows - y, columns - x) <= radius for y, x, radius in discs]
    attribution = cv2.GaussianBlur(rng.normal(size=(48, 64)), (0, 0), 4)
    assert min(mask.sum() for mask in masks) < LEAST_NEW
    assert not np.any(masks, axis=0).all()
    found = rank_regions(attribution, _table(masks))
    np.testing.assert_allclose(found, _rank_by_definition(attribution, masks), rtol=1e-9)
    assert len(np.unique(found)) > 10
    assert found.sum() == pytest.approx(attribution.sum(), abs=1e-9)


def test_a_region_counts_only_with_the_pixels_that_it_adds() -> None:
    attribution = np.repeat([[6.0, 3.0, -1.0]], 100, axis=0).repeat((1, 2, 1), axis=1)
    masks = [np.zeros((100, 4), bool) for _ in range(3)]
    masks[0][:, :1] = masks[1][:, :3] = masks[2][:, 2:] = True
    np.testing.assert_allclose(rank_regions(attribution, _table(masks))[0], [6, 3, 3, -1])


def test_regions_of_two_halves_are_the_halves_grown_by_five_pixels() -> None:
    pixels = np.zeros((32, 64, 3), np.float32)
    pixels[:, 32:] = 255
    left, right = np.zeros((2, 32, 64))
    left[:, :37] = right[:, 27:] = 1
    found = segment(pixels).toarray().reshape(-1, 32, 64)
    np.testing.assert_array_equal(found, [left, right] * len(SCALES))


@pytest.mark.parametrize("size", [(1, 1, 3), (7, 5, 3), (300, 400, 3)])
def test_every_pixel_is_in_a_region_of_every_scale(size: tuple[int, int, int]) -> None:
    pixels = np.full(size, 80, np.float32)
    found = segment(pixels)
    assert found.shape == (len(SCALES), size[0] * size[1])
    assert (found.sum(0) == len(SCALES)).all()


@pytest.mark.parametrize("baseline", ["black,white", "grey"])
def test_xrai_of_a_linear_model(baseline: str) -> None:
    """The ranking of w (x - x'), with nothing on the bars left and right."""
    pixels = picture(2, 2).repeat(16, 0).repeat(12, 1)
    classifier = linear((32, 48))
    weights = classifier.head.weights[:, 12:36, :, 1]
    start = {"black,white": 127.5, "grey": np.array([124, 116, 104])}[baseline]
    inside = rank_regions((weights * (pixels - start)).sum(-1), segment(pixels.astype(np.float32)))
    found = explain(pixels, classifier, "xrai", 1, steps=3, baseline=baseline)
    assert_close(found.raw[:, 12:36], inside)
    assert (found.raw[:, :12] == 0).all()
    assert (found.raw[:, 36:] == 0).all()
    assert len(np.unique(found.raw)) > 2


def test_the_map_shows_the_outline_of_the_square_and_keeps_the_sum() -> None:
    pixels = np.full((64, 64, 3), 120, np.uint8)
    pixels[20:44, 12:36] = (255, 0, 0)
    *_, before, last = stream(pixels, detector(), "xrai", "red")
    assert before.progress < last.progress == 1
    square = np.zeros((64, 64), bool)
    square[15:49, 7:41] = True  # grown by five pixels
    assert (last.raw[20:44, 12:36] == last.raw.max()).all()
    assert last.raw.max() > 0
    assert np.abs(last.raw[~square]).max() < 0.01 * last.raw.max()
    gradients = explain(pixels, detector(), "integrated-gradients", "red", baseline="black,white", sign="positive")
    assert last.raw.sum() == pytest.approx(gradients.raw.sum(), rel=1e-4)
    assert last.notes == gradients.notes
    assert (last.forward_passes, last.backward_passes) == (3, 64)
