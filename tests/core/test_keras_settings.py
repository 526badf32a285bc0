"""A user's own Keras settings, left over from other work, do not matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ModelError
from core.keras_settings import use_keras

ROOT = Path(__file__).parents[2]
SETTINGS = {"floatx": "float16", "epsilon": 1e-7, "image_data_format": "channels_first"}
CODE = """
import numpy as np
from models import load
batch = np.zeros((1, 64, 64, 3), np.float32)
classifier = load()
print(classifier.guided_gradient(batch, np.eye(1000, dtype=np.float32)[0]).shape)
import keras
print(keras.config.backend(), keras.config.floatx(), keras.config.image_data_format())
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_settings_in_a_file_and_in_the_environment_do_not_matter(backend: str, tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps(SETTINGS | {"backend": backend}))
    done = run(CODE, KERAS_HOME=str(tmp_path), **({"KERAS_BACKEND": backend} if backend == "torch" else {}))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(1, 64, 64, 3)", "tensorflow float32 channels_last"]


def test_keras_that_runs_on_something_else_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ModelError) as error:
        use_keras()
    assert str(error.value) == "Keras runs on torch here; set KERAS_BACKEND=tensorflow before Keras is imported."
