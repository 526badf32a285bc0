"""A classifier that knows channels by their badge alone: on the shipped thumbnails the maps have to show the badge."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from explain import explain
from explain.compare import PRESETS
from explain.metrics.localisation import energy
from samples import SAMPLES
from tests.cue_network import CELL, classifier, to_network_size

THUMBNAILS = [sample.path for sample in SAMPLES if sample.kind == "thumbnail"]


def scenes() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Channel, picture, and the badge's region dilated by one cell of the grid."""
    pictures = []
    for path in THUMBNAILS:
        pixels = to_network_size(np.asarray(Image.open(path).convert("RGB")))
        badge = to_network_size(np.asarray(Image.open(path.with_suffix(".mask.png")).convert("L"))) > 0
        around = cv2.dilate(badge.astype(np.uint8), np.ones((2 * CELL + 1, 2 * CELL + 1))) > 0
        pictures.append((path.stem.split("-")[0], pixels, around))
    return pictures


def test_it_knows_every_channel() -> None:
    assert len(THUMBNAILS) == 12
    for channel, pixels, _ in scenes():
        best = classifier().predict(pixels)[0]
        assert best.label == channel
        assert best.probability > 0.9


@pytest.mark.parametrize("method", [*sorted({*PRESETS["fast"]} - {"saliency"}), "grad-cam++", "xgrad-cam", "occlusion"])
def test_the_heat_is_on_the_badge(method: str) -> None:
    shares = [energy(explain(pixels, classifier(), method).heatmap, around) for _, pixels, around in scenes()]
    assert np.mean(shares) >= 0.8, shares


@pytest.mark.parametrize("method", ["saliency", "smoothgrad", "integrated-gradients"])
def test_gradients_find_it_with_their_grain(method: str) -> None:
    """A single pixel can sway the score where there is no badge too: more than half of the heat is all they manage."""
    pictures = scenes()
    shares = [energy(explain(pixels, classifier(), method).heatmap, around) for _, pixels, around in pictures]
    assert np.mean(shares) >= 0.5, shares
    assert np.mean(shares) >= 5 * np.mean([around.mean() for _, _, around in pictures])


def test_an_edge_detector_does_not_find_it() -> None:
    shares = []
    for _, pixels, around in scenes():
        down, right = np.gradient(pixels.mean(-1))
        shares.append(energy(np.hypot(down, right), around))
    assert np.mean(shares) < 0.3
