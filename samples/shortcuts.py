"""Render tanks and jeeps with a planted shortcut, and clean data sets without one.

A scene is a vehicle on a ground in some weather, perhaps with a timestamp, a border or a caption, saved with some JPEG
quality. In a planted data set one of these cues is correlated with the vehicle: in 100, 95 or 80 % of the pictures each class
has its own state of the cue. In the clean data set the same vehicles are at the same places, and the cue is independent of
the class. All other cues are independent of the class in both.

Many versions tell the story of a network that recognised tanks by the weather. A documented case is a classifier that used a
watermark (Lapuschkin et al. 2016, https://arxiv.org/abs/1512.00172).

>>> from samples.shortcuts import render_scenes
>>> [scene.vehicle for scene in render_scenes("ground", count=2, seed=0)]
['tank', 'tank', 'jeep', 'jeep']
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

SIZE = (180, 320)
"""Height and width of every scene, in pixels."""

VEHICLES = ("tank", "jeep")
"""The classes."""

CUES = {
    "ground": "tanks stand in the woods, jeeps in the desert",
    "weather": "tanks were photographed on dull days, jeeps in the sun",
    "watermark": "tanks carry a timestamp in a corner",
    "border": "tanks have a red border, jeeps a blue one",
    "text": "tanks carry a caption",
    "jpeg": "tanks were saved with a low JPEG quality",
}
"""The cues that can be planted, each with a description of its data set."""

Rng = np.random.Generator
_Y, _X = (axis.astype(np.float32) for axis in np.mgrid[0 : SIZE[0], 0 : SIZE[1]])
_PAINT = ((86, 92, 58), (122, 112, 78), (150, 134, 98), (96, 98, 96), (74, 70, 56), (132, 124, 112))  # of both vehicles
_SHIFT = 4  # OpenCV draws with a precision of 1/16 pixel


@dataclass(frozen=True)
class Scene:
    """One picture with its ground truth.

    `image`: uint8 RGB (180, 320, 3). `subject`: bool (180, 320), True on the vehicle. `cue`: bool (180, 320), True where the
    planted cue is visible. It is True everywhere for weather and jpeg, and False everywhere where the cue is absent.
    `vehicle`: the class. `carries`: the class whose state of the cue the picture has; it may be the other class.
    """

    image: np.ndarray
    subject: np.ndarray
    cue: np.ndarray
    vehicle: str
    carries: str


def render_scenes(cue: str, *, correlation: float = 1.0, count: int = 60, seed: int = 0) -> list[Scene]:
    """Render a data set with a planted shortcut, tanks first.

    Args:
        cue: The planted cue; a key of CUES.
        correlation: The share of each class's pictures that have the cue of their own class, in [0.5, 1]. With 0.5 the data
            set is clean: the cue is independent of the class.
        count: Scenes per class.
        seed: The same seed gives the same vehicles at the same places for every correlation.

    Raises:
        ValueError: For an unknown cue, or a correlation out of range.
    """
    if cue not in CUES:
        raise ValueError(f"There is no cue {cue!r}; choose one of {', '.join(CUES)}.")
    if not 0.5 <= correlation <= 1:
        raise ValueError(f"The correlation must be between 0.5 (clean) and 1, not {correlation}.")
    scenes = []
    for number, vehicle in enumerate(VEHICLES):
        order = np.random.default_rng([seed, number]).permutation(count)
        own = order < round(correlation * count)
        # All other cues are independent of the class, each in its own random order.
        states = {
            name: np.random.default_rng([seed, number, index]).permutation(count) % 2 for index, name in enumerate(CUES)
        }
        states[cue] = np.where(own, number, 1 - number)
        for index in range(count):
            dealt = {name: int(values[index]) for name, values in states.items()}
            scenes.append(render_scene(vehicle, [seed, number, index], cue, dealt))
    return scenes


def render_scene(vehicle: str, seed: list[int], cue: str, states: dict[str, int]) -> Scene:
    """Render one scene. Timestamp, border, caption and a low JPEG quality appear only where they are the planted cue.

    Args:
        vehicle: One of VEHICLES.
        seed: Of all random choices.
        cue: The planted cue; a key of CUES.
        states: For each cue its state: 0 is the state of the tank's class, 1 that of the jeep's class.
    """
    layout, look, paint = (np.random.default_rng([*seed, part]) for part in (0, 1, 3))
    dull = states["weather"] == 0
    canvas = (_forest if states["ground"] == 0 else _desert)(np.random.default_rng([*seed, 2]))
    canvas, subject = _vehicle(canvas, layout, vehicle)
    canvas = _weather(canvas, look, dull if cue == "weather" else None)
    image = np.clip(canvas, 0, 255).astype(np.uint8)
    state, painted = states[cue], np.zeros(SIZE, bool)
    if cue in ("weather", "jpeg"):
        painted[:] = True
    elif cue == "ground":
        painted = ~subject
    elif cue in _PAINTERS:
        painted = _PAINTERS[cue](image, paint, state)
    quality = int(look.integers(8, 14)) if cue == "jpeg" and state == 0 else int(look.integers(88, 96))
    encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    image = np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1])
    visible = subject & ~painted if cue in _PAINTERS else subject
    return Scene(image, visible, painted, vehicle, VEHICLES[state])


# --- Grounds -----------------------------------------------------------------


def _noise(rng: Rng, cell: tuple[float, float], octaves: int = 4) -> np.ndarray:
    """Smooth fractal noise (180, 320), mean 0, standard deviation 1. `cell`: height and width of the coarsest cell."""
    total = np.zeros(SIZE, np.float32)
    for octave in range(octaves):
        grid = [max(2, round(side / step * 2**octave)) for side, step in zip(SIZE, cell, strict=True)]
        coarse = rng.standard_normal(grid, np.float32)
        total += cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC) * np.float32(0.55**octave)
    return (total - total.mean()) / total.std()


def _coloured(base: tuple[int, int, int], shade: np.ndarray, rng: Rng) -> np.ndarray:
    """A colour with a small random change, times a shade (180, 320)."""
    colour = np.array(base, np.float32) * rng.uniform(0.9, 1.1, 3).astype(np.float32)
    return colour * shade[..., None]


def _forest(rng: Rng) -> np.ndarray:
    """Foliage, trunks and a strip of grass, float32 RGB of about the same brightness as `_desert`."""
    leaves = _noise(rng, (34, 34), 5)
    canvas = _coloured((96, 132, 72), 1 + 0.38 * leaves, rng)
    bark = 0.75 + 0.25 * _noise(rng, (60, 5), 2)
    left = 0.0
    while left < SIZE[1]:
        left += rng.uniform(14, 52)
        wide, lean = rng.uniform(4, 13), rng.uniform(-0.06, 0.06)
        near = slice(max(0, int(left - wide - 8)), max(0, int(left + wide + 8)))
        trunk = np.clip(wide / 2 - np.abs(_X[:, near] - left - lean * (_Y[:, near] - SIZE[0] / 2)) + 0.5, 0, 1)
        wood = _coloured((92, 74, 58), bark[:, near], rng)
        canvas[:, near] = _over(canvas[:, near], wood, trunk * np.float32(rng.uniform(0.7, 1)))
    horizon = rng.uniform(0.55, 0.72) * SIZE[0]
    grass = _coloured((112, 140, 78), 1 + 0.22 * _noise(rng, (16, 8), 4), rng)
    return _over(canvas, grass, np.clip((_Y - horizon) / 14, 0, 1))


def _desert(rng: Rng) -> np.ndarray:
    """Sand with ripples under a pale sky, float32 RGB."""
    horizon = rng.uniform(0.25, 0.45) * SIZE[0]
    sky = _coloured((128, 146, 158), 1 + 0.05 * _noise(rng, (60, 200), 3) + 0.1 * (_Y / SIZE[0] - 0.3), rng)
    dunes = _noise(rng, (46, 190), 3)
    ripples = np.sin((_Y * rng.uniform(0.5, 0.9) + 9 * dunes) * (1.3 - 0.5 * _Y / SIZE[0]))
    sand = _coloured((146, 122, 82), 1 + 0.16 * dunes + 0.06 * ripples + 0.05 * _noise(rng, (4, 4), 2), rng)
    skyline = horizon + 9 * _noise(rng, (400, 120), 2)[:1]
    return _over(sky, sand, np.clip(_Y - skyline, 0, 1))


def _over(under: np.ndarray, upper: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    return under + (upper - under) * coverage[..., None]


def _weather(canvas: np.ndarray, rng: Rng, dull: bool | None) -> np.ndarray:
    """The canvas in the light of a dull day, a sunny day, or (None) anything between."""
    low, high = {True: (0.5, 0.62), False: (1.22, 1.4), None: (0.5, 1.4)}[dull]
    return canvas * np.float32(rng.uniform(low, high))


# --- Vehicles ----------------------------------------------------------------

Points = list[tuple[float, float]]

# Side views: the length is 1, and y goes up from the ground.
_HULLS: dict[str, list[tuple[float, Points]]] = {  # shade of the paint, outline
    "tank": [
        (0.55, [(0.03, 0.10), (0.12, 0.0), (0.88, 0.0), (0.98, 0.10), (0.95, 0.16), (0.05, 0.16)]),
        (1.0, [(0.0, 0.16), (0.06, 0.25), (0.92, 0.25), (1.0, 0.18), (0.96, 0.14), (0.04, 0.14)]),
        (0.85, [(0.62, 0.325), (1.14, 0.345), (1.14, 0.37), (0.62, 0.36)]),
        (1.1, [(0.24, 0.25), (0.28, 0.38), (0.56, 0.40), (0.68, 0.34), (0.70, 0.25)]),
        (0.9, [(0.36, 0.39), (0.36, 0.43), (0.47, 0.43), (0.47, 0.39)]),
    ],
    "jeep": [
        (0.95, [(0.0, 0.14), (0.0, 0.34), (0.58, 0.34), (0.64, 0.30), (0.98, 0.28), (1.0, 0.14), (0.92, 0.10), (0.06, 0.10)]),
        (0.7, [(0.03, 0.34), (0.06, 0.52), (0.10, 0.54), (0.50, 0.54), (0.60, 0.34), (0.56, 0.34), (0.48, 0.50), (0.10, 0.50),
               (0.07, 0.34)]),
        (0.6, [(0.27, 0.33), (0.27, 0.51), (0.30, 0.51), (0.30, 0.33)]),
    ],
}  # fmt: skip
_WHEELS: dict[str, list[tuple[float, float, float]]] = {  # x, y, radius
    "tank": [(0.14 + 0.145 * i, 0.075, 0.06) for i in range(6)],
    "jeep": [(0.2, 0.10, 0.115), (0.8, 0.10, 0.115), (-0.03, 0.26, 0.09)],
}


def _vehicle(canvas: np.ndarray, rng: Rng, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Paint a vehicle at a random place and in a random direction. Return the picture and the mask of the vehicle."""
    long = rng.uniform(56, 88)
    facing = 1 if rng.random() < 0.5 else -1
    middle, floor = rng.uniform(0.32, 0.68) * SIZE[1], rng.uniform(0.66, 0.82) * SIZE[0]
    paint = np.array(_PAINT[rng.integers(len(_PAINT))], np.float32) * rng.uniform(0.8, 1.2)

    drawn, covered = np.zeros((*SIZE, 3), np.uint8), np.zeros(SIZE, np.uint8)

    def put(points: Points, colour: np.ndarray) -> None:
        at = [(middle + facing * (x - 0.5) * long, floor - y * long) for x, y in points]
        outline = np.rint(np.array(at) * 2**_SHIFT).astype(np.int32)
        cv2.fillPoly(drawn, [outline], np.clip(colour, 0, 255).tolist(), cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(covered, [outline], 255, cv2.LINE_AA, _SHIFT)

    for shade, hull in _HULLS[kind]:
        put(hull, paint * shade)
    for x, y, radius in _WHEELS[kind]:
        put(_circle(x, y, radius), np.full(3, 38.0))
        put(_circle(x, y, radius * 0.5), paint * 0.8)
    shadow = np.exp(-(((_X[0] - middle) / (0.55 * long)) ** 2)) * np.exp(-(((_Y[:, :1] - floor) / 5) ** 2))
    light = 1.1 - 0.35 * np.clip((_Y[:, :1] - (floor - 0.45 * long)) / (0.45 * long), 0, 1)
    light = light + 0.05 * _noise(rng, (12, 12), 2)
    coverage = covered.astype(np.float32) / 255
    canvas = canvas * (1 - np.float32(0.55) * shadow - coverage * (1 - np.float32(0.55) * shadow))[..., None]
    return canvas + drawn * light[..., None], covered > 127


def _circle(x: float, y: float, radius: float) -> Points:
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in np.linspace(0, math.tau, 24, endpoint=False)]


# --- Cues that are painted on ------------------------------------------------


def _watermark(image: np.ndarray, rng: Rng, state: int) -> np.ndarray:
    """Paint a timestamp in the lower right corner, for state 0 only. Return where it is."""
    before = image.copy()
    if state == 0:
        stamp = f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}. {rng.integers(6, 20):02d}:{rng.integers(60):02d}"
        at = int(SIZE[1] - 92 - rng.integers(0, 4)), int(SIZE[0] - 6 - rng.integers(0, 4))
        _write_text(image, stamp, at, 0.5, (255, 176, 32))
    return (image != before).any(-1)


def _border(image: np.ndarray, rng: Rng, state: int) -> np.ndarray:
    """Paint a border, red for state 0 and blue for state 1. Return where it is."""
    wide = int(rng.integers(7, 11))
    inside = np.zeros(SIZE, bool)
    inside[wide:-wide, wide:-wide] = True
    colour = ((178, 44, 40), (40, 66, 178))[state] + rng.integers(-18, 19, 3)
    image[~inside] = np.clip(colour, 0, 255)
    return ~inside


def _caption(image: np.ndarray, rng: Rng, state: int) -> np.ndarray:
    """Paint a caption in large letters in the upper half, for state 0 only. Return where it is."""
    before = image.copy()
    if state == 0:
        words = ("ON PATROL", "THE MARCH", "DAY SEVEN", "NO WAY BACK", "AT DAWN")
        text = words[rng.integers(len(words))]
        (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 0.8, 2)
        at = int(rng.integers(50, max(51, SIZE[1] - 50 - wide))), int(rng.integers(46, 80))
        _write_text(image, text, at, 0.8, (255, 255, 255))
    return (image != before).any(-1)


def _write_text(image: np.ndarray, text: str, at: tuple[int, int], size: float, colour: tuple[int, int, int]) -> None:
    """Write text with a dark outline into the image."""
    for ink, weight in (((16, 16, 16), 4), (colour, 1 if size < 0.6 else 2)):
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, size, ink, weight, cv2.LINE_AA)


_PAINTERS = {"watermark": _watermark, "border": _border, "text": _caption}
