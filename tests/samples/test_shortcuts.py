"""Planted scenes are what they are said to be: equal but for the cue, the cue where its mask is, dealt out as asked."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from samples.shortcuts import SIZE, VEHICLES, render_scenes


@pytest.mark.parametrize(("cue", "correlation", "own"), [("ground", 1.0, 6), ("text", 0.8, 5), ("border", 0.5, 3)])
def test_each_class_carries_its_own_cue_as_often_as_asked(cue: str, correlation: float, own: int) -> None:
    scenes = render_scenes(cue, correlation=correlation, count=6, seed=4)
    for vehicle in VEHICLES:
        mine = [scene for scene in scenes if scene.vehicle == vehicle]
        assert len(mine) == 6
        assert sum(scene.carries == vehicle for scene in mine) == own


@pytest.mark.parametrize("cue", ["watermark", "text", "border"])
def test_outside_its_mask_a_painted_cue_changes_nothing_but_jpeg_noise(cue: str) -> None:
    both = [render_scenes(cue, correlation=c, count=4, seed=1) for c in (1.0, 0.5)]
    changed = [(a, b) for a, b in zip(*both, strict=True) if a.carries != b.carries]
    assert changed
    for a, b in changed:
        apart = np.abs(a.image.astype(int) - b.image.astype(int)).max(-1)
        painted = np.zeros((192, SIZE[1]), bool)
        painted[: SIZE[0]] = a.cue | b.cue
        blocks = np.kron(painted.reshape(12, 16, -1, 16).any((1, 3)), np.ones((16, 16), np.uint8))
        near = cv2.dilate(blocks, np.ones((5, 5)))[: SIZE[0]] > 0
        # JPEG spreads a change over its own block of 16 and, in colour, two pixels further.
        assert (~near).any()
        assert apart[~near].max() == 0
        assert apart[a.cue | b.cue].mean() > 20


def test_ground_and_weather_leave_the_vehicle_where_it_is() -> None:
    for cue in ("ground", "weather"):
        for a, b in zip(render_scenes(cue, count=4), render_scenes(cue, correlation=0.5, count=4), strict=True):
            np.testing.assert_array_equal(a.subject, b.subject)
            assert 0.01 < a.subject.mean() < 0.15


def test_the_weather_is_brightness_and_nothing_else_tells_it() -> None:
    scenes = render_scenes("weather", count=6, seed=2)
    light = {vehicle: [s.image.mean() for s in scenes if s.vehicle == vehicle] for vehicle in VEHICLES}
    assert max(light["tank"]) < min(light["jeep"])
    clean = render_scenes("weather", correlation=0.5, count=6, seed=2)
    means = [np.mean([s.image.mean() for s in clean if s.vehicle == vehicle]) for vehicle in VEHICLES]
    assert abs(means[0] - means[1]) < 25


def test_the_same_seed_gives_the_same_pictures_and_another_other_ones() -> None:
    first, again, other = (render_scenes("border", count=2, seed=seed) for seed in (7, 7, 8))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert not np.array_equal(a.image, c.image)
        assert a.image.shape == (*SIZE, 3)
        assert a.image.dtype == np.uint8


def test_what_cannot_be_planted_is_refused() -> None:
    with pytest.raises(ValueError, match="no cue 'smell'"):
        render_scenes("smell")
    with pytest.raises(ValueError, match=r"0\.5"):
        render_scenes("ground", correlation=0.3)
