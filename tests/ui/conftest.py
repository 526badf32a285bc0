"""What the tests of the tabs share: a visitor, a photograph of a screen, and a way to give a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from samples import ROOT
from samples.photographs import Scene, compose, list_pictures
from tests.ui.site import Stranger, running_app
from ui.session import Session


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A photograph of a screen."""
    thumbnails = [path for path in list_pictures(ROOT / "thumbnails") if path.suffix == ".jpg"]
    return compose(1005, thumbnails, list_pictures(ROOT / "photos"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the app is served."""
    with running_app() as address:
        yield address


@pytest.fixture(scope="module")
def stranger(address: str) -> Stranger:
    """A visitor who speaks HTTP."""
    return Stranger(address)


@pytest.fixture
def session() -> Session:
    return Session()


def write_picture(path: Path, pixels: np.ndarray) -> str:
    """Write uint8 RGB pixels to a file. Returns its path as a string, as the picture input gives it."""
    cv2.imwrite(str(path), pixels[..., ::-1])
    return str(path)
