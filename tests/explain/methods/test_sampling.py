"""Samplers and estimators alone: set functions whose answers are known in closed form or by running through them all."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from explain.methods import sampling

D = 6


def every_mask(cells: int) -> np.ndarray:
    return np.array(list(itertools.product((0, 1), repeat=cells)), np.float32)


@pytest.fixture
def additive() -> np.ndarray:
    return np.random.default_rng(0).normal(size=D)


def test_antithetic_pairs_are_complements_at_one_half() -> None:
    masks = sampling.antithetic_masks(200, 30, 0.5, np.random.default_rng(0))
    assert masks.shape == (200, 30)
    np.testing.assert_array_equal(masks[::2] + masks[1::2], 1)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.8])
def test_antithetic_masks_keep_the_share_asked_for(keep: float) -> None:
    masks = sampling.antithetic_masks(4000, 50, keep, np.random.default_rng(1))
    np.testing.assert_allclose(masks.mean(), keep, atol=0.01)


def test_rise_on_an_additive_score(additive: np.ndarray) -> None:
    masks = every_mask(D)
    found = sampling.conditional_mean(masks, masks @ additive + 3)
    np.testing.assert_allclose(found, additive / 2, atol=1e-5)  # (1 - p) c with p = 1/2


def test_rise_of_a_constant_is_nothing() -> None:
    masks = sampling.antithetic_masks(101, 9, 0.3, np.random.default_rng(2))
    np.testing.assert_allclose(sampling.conditional_mean(masks, np.full(101, 7.5)), 0, atol=1e-6)


def set_function(mask: np.ndarray) -> float:
    """Not additive: cells 0 and 1 only count together and less so with 4, 2 and 4 count alone, 3 spoils 2, 5 is idle.

    Three cells that act together tell the Shapley kernel from others: for pairs every weight that is the same for a coalition
    and its complement gives the same values.
    """
    return float(mask[0] * mask[1] * (5 - 4 * mask[4]) + 2 * mask[2] - mask[2] * mask[3] + 2 * mask[4])


def shapley_by_definition(cells: int) -> np.ndarray:
    """The mean marginal contribution over all orders."""
    values = np.zeros(cells)
    for order in itertools.permutations(range(cells)):
        mask = np.zeros(cells)
        for cell in order:
            before = set_function(mask)
            mask[cell] = 1
            values[cell] += set_function(mask) - before
    return values / math.factorial(cells)


def test_all_coalitions_give_the_shapley_values() -> None:
    masks, exact = sampling.shapley_masks(1000, D, np.random.default_rng(0))
    weights = sampling.shapley_weights(masks)
    assert exact
    assert len(masks) == 2**D - 2
    found = sampling.shapley_values(
        masks, np.array([set_function(m) for m in masks]), weights, 0.0, set_function(np.ones(D))
    )
    truth = shapley_by_definition(D)
    np.testing.assert_allclose(found, truth, atol=1e-8)
    np.testing.assert_allclose(truth[5], 0, atol=1e-12)  # dummy
    np.testing.assert_allclose(truth[0], truth[1])  # symmetry


def test_drawn_coalitions_come_near_and_sum_exactly() -> None:
    rng = np.random.default_rng(3)
    masks, exact = sampling.shapley_masks(50, D, rng)
    weights = np.ones(len(masks))
    assert not exact
    found = sampling.shapley_values(
        masks, np.array([set_function(m) for m in masks]), weights, 0.0, set_function(np.ones(D))
    )
    assert found.sum() == pytest.approx(set_function(np.ones(D)), abs=1e-9)
    np.testing.assert_allclose(found, shapley_by_definition(D), atol=0.4)


def test_drawn_coalitions_follow_the_kernel() -> None:
    masks, _ = sampling.shapley_masks(40_000, 20, np.random.default_rng(4))
    sizes = np.arange(1, 20)
    kernel = 1 / (sizes * (20 - sizes))
    shares = np.bincount(masks.sum(1).astype(int), minlength=20)[1:] / len(masks)
    np.testing.assert_allclose(shares, kernel / kernel.sum(), atol=0.01)


def test_ridge_recovers_an_additive_score(additive: np.ndarray) -> None:
    masks = sampling.antithetic_masks(200, D, 0.5, np.random.default_rng(5))
    weights = sampling.lime_weights(masks) + 1e-6
    found, fit = sampling.fit_ridge(masks, masks @ additive - 4, weights, 1e-9)
    np.testing.assert_allclose(found, additive, atol=1e-4)
    assert fit == pytest.approx(1, abs=1e-6)


def test_ridge_tells_when_it_does_not_fit() -> None:
    masks = every_mask(2)
    _, fit = sampling.fit_ridge(masks, np.array([0.0, 1, 1, 0]), np.ones(4), 1e-9)
    assert fit == pytest.approx(0, abs=1e-6)  # exclusive or: nothing linear in it


def test_lime_weights_fall_with_distance() -> None:
    weights = sampling.lime_weights(np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], np.float32))
    assert weights[0] == 1
    np.testing.assert_allclose(weights[1], np.exp(-(((1 - np.sqrt(0.5)) / 0.25) ** 2)), rtol=1e-6)
    assert weights[0] > weights[1] > weights[2]


def test_sobol_on_an_additive_score(additive: np.ndarray) -> None:
    masks = sampling.sobol_masks(512, D, seed=0)
    found = sampling.total_sobol_indices(masks, masks @ additive)
    np.testing.assert_allclose(found, additive**2 / (additive**2).sum(), atol=0.05)


def test_sobol_on_ishigami() -> None:
    masks = sampling.sobol_masks(4096, 3, seed=0)
    x = (masks.astype(np.float64) * 2 - 1) * np.pi
    scores = np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])
    np.testing.assert_allclose(sampling.total_sobol_indices(masks, scores), [0.558, 0.442, 0.244], atol=0.02)


def test_sobol_of_a_constant_is_nothing() -> None:
    masks = sampling.sobol_masks(8, 4, seed=0)
    np.testing.assert_array_equal(sampling.total_sobol_indices(masks, np.full(len(masks), 2.0)), 0)


def test_a_row_of_the_design_differs_in_one_cell_each() -> None:
    block = sampling.sobol_masks(16, 5, seed=1).reshape(16, 6, 5)
    differs = block[:, 1:] != block[:, :1]
    np.testing.assert_array_equal(differs, np.broadcast_to(np.eye(5, dtype=bool), (16, 5, 5)))


def test_hsic_is_the_trace_it_is_defined_as() -> None:
    masks = sampling.antithetic_masks(40, 4, 0.5, np.random.default_rng(6))
    scores = masks[:, 0] - masks[:, 1] * masks[:, 2] + 0.1 * np.random.default_rng(7).normal(size=40)
    distance = np.abs(scores[:, None] - scores)
    output = np.exp(-(distance**2) / (2 * np.median(distance[distance > 0]) ** 2))
    centring = np.eye(40) - 1 / 40
    for cell, value in enumerate(sampling.hsic_values(masks, scores)):
        inputs = (masks[:, None, cell] == masks[None, :, cell]).astype(float)
        assert value == pytest.approx(np.trace(inputs @ centring @ output @ centring) / 39**2, rel=1e-4)


def test_hsic_finds_the_one_cell_that_matters_and_nothing_in_a_constant() -> None:
    masks = sampling.antithetic_masks(400, 8, 0.5, np.random.default_rng(8))
    found = sampling.hsic_values(masks, np.cos(masks[:, 5] * 3))
    assert found.argmax() == 5
    assert found[5] > 20 * np.delete(found, 5).max()
    np.testing.assert_allclose(sampling.hsic_values(masks, np.ones(400)), 0, atol=1e-9)


def test_hsic_follows_a_permutation_of_the_cells() -> None:
    masks = sampling.antithetic_masks(60, 5, 0.5, np.random.default_rng(9))
    scores, order = masks @ np.arange(5.0), [3, 0, 4, 1, 2]
    np.testing.assert_allclose(
        sampling.hsic_values(masks[:, order], scores), sampling.hsic_values(masks, scores)[order], rtol=1e-5
    )
