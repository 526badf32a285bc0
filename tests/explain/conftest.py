from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import models
from models.classifier import Classifier

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"


@pytest.fixture(scope="session", params=["mobilenet_v2", "efficientnet_lite0"])
def embedded(request: pytest.FixtureRequest) -> Classifier:
    """Each of the classifiers whose weights are in the repository."""
    return models.load(request.param)


@pytest.fixture(scope="session")
def mobilenet() -> Classifier:
    return models.load("mobilenet_v2")


@pytest.fixture(scope="session")
def cat() -> Path:
    return PHOTOS / "cat.jpg"


@pytest.fixture(scope="session")
def cat_pixels(cat: Path) -> np.ndarray:
    return np.array(Image.open(cat).convert("RGB"))
