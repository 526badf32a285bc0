from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from audit import Audit, AuditSettings
from audit.run import run_audit
from audit.shards import Recipe, recipe_from_folder
from models import load
from models.trained_head import TrainedClassifier, save
from tests.audit.known_cues import LABELS


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ten small pictures, one of them cut off, a stray folder, and a model that tells light from dark."""
    home = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    for label, mean in (("low", 80), ("high", 170)):
        (home / "data" / label).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(rng.normal(mean, 25, (90, 160, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(home / "data" / label / f"{number}.jpg"), cv2.GaussianBlur(pixels, (0, 0), 2))
    broken = home / "data" / "low" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    (home / "data" / "stray").mkdir()
    cv2.imwrite(str(home / "data" / "stray" / "0.jpg"), np.zeros((32, 32, 3), np.uint8))
    weights = rng.normal(0, 1, (1280, 2)).astype(np.float32)
    save(TrainedClassifier(load(), [(weights, np.zeros(2, np.float32))], LABELS, side=128), home / "model.npz")
    return home


@pytest.fixture(scope="session")
def recipe(folder: Path) -> Recipe:
    recipe, listing = recipe_from_folder(str(folder / "model.npz"), folder / "data", settings=AuditSettings(sample=3))
    assert [entry.name for entry in listing.excluded] == ["stray/0.jpg"]
    return replace(recipe, shard_size=4)


@pytest.fixture(scope="session")
def local(folder: Path, recipe: Recipe) -> Audit:
    """The audit in this process; its shards are in folder / "local"."""
    return run_audit(recipe, keep=folder / "local")
