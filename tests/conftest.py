from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from xdist.scheduler import LoadFileScheduling

import models
from models.classifier import Classifier

PHOTOS = Path(__file__).parents[1] / "samples" / "photos"
ONE_PROCESS = ("tests/browser", "tests/audit")  # their tests share what is slow to make


class FolderScheduling(LoadFileScheduling):
    """The tests of one file run in one process, and so do those of the folders in ONE_PROCESS."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in ONE_PROCESS if nodeid.startswith(folder)), super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderScheduling:
    return FolderScheduling(config, log)


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
