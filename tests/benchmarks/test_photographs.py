"""Real photographs are judged by the best of their right answers, whatever corner comes first."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.photographs import compare, format_table, place, read_photographs
from tests.capture.shapes import frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An upright screen with a picture on it, and a room."""
    marked = {
        "phone.jpg": {
            "kind": "phone",
            "size": [100, 200],
            "corners": frame(50, 100, 20, 40).tolist(),
            "also": [{"what": "picture", "corners": frame(50, 40, 20, 60).tolist()}],
        },
        "door.jpg": {"kind": "none", "size": [100, 200], "corners": None},
    }
    (tmp_path / "annotations.json").write_text(json.dumps({"images": marked}), encoding="utf-8")
    return tmp_path


def test_an_answer_is_compared_with_the_nearest_right_one(folder: Path) -> None:
    phone, door = read_photographs(folder)
    assert (phone.shape, phone.share) == ("upright", "10 to 25 %")
    turned = np.roll(frame(50, 90, 20, 40), 1, 0)
    result = compare(phone, turned)
    assert result.overlap == pytest.approx(0.9)
    assert result.corner == pytest.approx(10 / 200)
    assert compare(phone, frame(50, 40, 20, 60)).overlap == pytest.approx(1)
    assert not compare(phone, None).found
    assert compare(door, turned).found


def test_the_table_counts_what_was_found_and_the_false_crops(folder: Path) -> None:
    phone, door = read_photographs(folder)
    table = format_table([compare(phone, frame(50, 100, 20, 40)), compare(door, turned := frame(50, 90))])
    assert "| all | 1 | 100 | 100 | 100 | 1.000 | 0.0 |" in table
    assert "| upright | 1 | 100 | 100 |" in table
    assert "false crops: 1 of 1 door.jpg" in table
    missed = format_table([compare(phone, None), compare(phone, turned), compare(door, None)])
    assert "| all | 2 | 50 | 0 | 0 |" in missed
    assert missed.endswith("false crops: 0 of 1")


def test_a_placed_picture_has_the_light_of_the_display() -> None:
    """A chequerboard in a dim, reddish display; nothing changes outside."""
    rng = np.random.default_rng(0)
    pixels = np.full((180, 320, 3), 90, np.uint8)
    blocks = np.kron(rng.choice([20, 120], (10, 18)), np.ones((10, 10)))[..., None]
    pixels[40:140, 60:240] = blocks * np.array([1, 0.5, 0.5])
    board = np.repeat(np.kron(np.indices((9, 16)).sum(0) % 2 * 255, np.ones((20, 20)))[..., None], 3, 2).astype(
        np.uint8
    )
    result = place(pixels, frame(180, 100, 60, 40), board, rng)
    assert np.array_equal(result[:38], pixels[:38])
    assert np.array_equal(result[:, 243:], pixels[:, 243:])
    inside = result[45:135, 65:235].astype(float)
    assert np.percentile(inside, 95, (0, 1)) == pytest.approx([120, 60, 60], abs=12)
    shown = np.kron(np.indices((9, 16)).sum(0) % 2, np.ones((11, 11)))
    assert np.corrcoef(cv2.resize(shown, (180, 100)).ravel(), result[40:140, 60:240, 0].ravel())[0, 1] > 0.8
