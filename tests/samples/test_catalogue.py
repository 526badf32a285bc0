"""Every sample can be opened and has a licence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from samples import CHANNEL_NAMES, ROOT, SAMPLES, Sample
from samples.render import CHANNELS

THUMBNAILS = [sample for sample in SAMPLES if sample.kind == "thumbnail"]


def _name(sample: Sample) -> str:
    return sample.path.name


def test_enough_samples_in_a_stable_order() -> None:
    assert 5 <= sum(sample.kind == "photo" for sample in SAMPLES) <= 8
    assert len(THUMBNAILS) >= 12
    assert SAMPLES[0].kind == "photo"
    assert [s.path.stem.split("-")[0] for s in THUMBNAILS[:3]] == list(CHANNEL_NAMES)
    listed = {sample.path for sample in SAMPLES}
    assert listed == {*(ROOT / "photos").iterdir(), *(ROOT / "thumbnails").glob("*.jpg")}


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_sample_opens_and_is_licensed(sample: Sample) -> None:
    with Image.open(sample.path) as picture:
        assert picture.mode == "RGB"
        assert max(picture.size) <= 1280
        picture.load()
    assert sample.path.stat().st_size < 200_000
    where = f"`{sample.path.relative_to(ROOT).as_posix()}`"
    lines = [line for line in (ROOT / "LICENSES.md").read_text("utf-8").splitlines() if where in line]
    assert len(lines) == 1
    assert sample.licence in lines[0]


@pytest.mark.parametrize("font", sorted((ROOT / "fonts").glob("*.ttf")), ids=lambda path: path.stem)
def test_font_is_licensed(font: Path) -> None:
    assert font.name in {channel.font for channel in CHANNELS.values()}
    assert f"`fonts/{font.name}`" in (ROOT / "LICENSES.md").read_text("utf-8")
    assert "SIL Open Font License, Version 1.1" in font.with_suffix(".OFL.txt").read_text("utf-8")
    assert font.stat().st_size < 200_000


def test_importing_samples_loads_no_imaging_library() -> None:
    code = "import sys, samples; print([m for m in ('PIL', 'numpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
