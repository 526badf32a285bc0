"""`app.py` started as a Space starts it: a clean copy of the tracked files, its environment, nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from tests.browser.app import ROOT, running


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory):
    copy = tmp_path_factory.mktemp("space")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GRADIO")},
        "SYSTEM": "spaces", "SPACE_ID": "someone/thumbscope", "SPACE_HOST": "someone-thumbscope.hf.space",
        "GRADIO_SSR_MODE": "True", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    with running(copy, environment) as address:
        yield Client(address, verbose=False, analytics_enabled=False), copy


def test_predict(space) -> None:
    client, copy = space
    found = client.predict(handle_file(copy / "samples" / "photos" / "coffee.jpg"), api_name="/predict")
    assert found["label"] == "espresso"
    assert len(found["confidences"]) == 5


def test_explain_by_name_and_target(space) -> None:
    client, copy = space
    picture = handle_file(copy / "samples" / "photos" / "cat.jpg")
    overlay, facts = client.predict(
        image=picture, model="efficientnet_lite0", method="cam", target="TABBY", api_name="/explain"
    )
    assert Path(overlay).exists()
    assert facts["target"]["label"] == "tabby"
    assert facts["model"] == "efficientnet_lite0"
    assert facts["method"] == "cam"
    assert facts["forward_passes"] == 1


def test_a_wrong_class_is_one_sentence(space) -> None:
    client, copy = space
    with pytest.raises(AppError, match="There is no class 'taby'; did you mean 'tabby'"):
        client.predict(handle_file(copy / "samples" / "photos" / "cat.jpg"), target="taby", api_name="/explain")


def test_no_picture_is_one_sentence(space) -> None:
    client, _ = space
    with pytest.raises(AppError, match="There is no picture yet"):
        client.predict(None, api_name="/predict")


def test_only_the_two_endpoints_are_public(space) -> None:
    client, _ = space
    assert set(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == {"/predict", "/explain"}


def test_nothing_is_written_into_the_copy(space) -> None:
    _, copy = space
    fresh = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    listed = {name for name in fresh if (ROOT / name).exists()}
    assert fresh - listed == set()
