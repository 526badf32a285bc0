"""Real photographs of screens whose corners were marked by hand: the part of benchmarks.screens for --photographs.

`measure` compares the search with the marks. `place` puts another picture into the display of a photograph.

The folder holds `images/` and `annotations.json`: {"images": {file name: {"kind", "size", "corners", "also"}}}. `corners` is
null where there is nothing to find. `also` lists other quads that are right answers too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from capture import search
from capture.quad import FOCAL, area, iou, rectangle_from_quad
from capture.rectification import homography, output_size, warp
from core.images import read

GOOD, FAIR = 0.9, 0.8  # IoU from which a quad counts as right, and as roughly right
NOTHING = "none"  # the kind of a photograph without a screen
SHAPES = {
    "upright": 0.85,
    "squarish": 1.2,
    "4:3": 1.5,
    "16:9": 1.95,
    "wider": np.inf,
}  # with their largest aspect ratio
COARSE = (160, 90)  # width and height at which slow changes of the light are estimated
FITTING = ("4:3", "16:9", "wider")  # shapes of displays that a thumbnail fits
SIZES = {"under 10 %": 0.1, "10 to 25 %": 0.25, "25 to 50 %": 0.5, "over 50 %": np.inf}  # with their largest share


@dataclass(frozen=True)
class Photograph:
    """A marked photograph. `answers`: the right quads (N, 4, 2), the best first; none where there is nothing to find."""

    path: Path
    kind: str
    size: tuple[int, int]  # width and height
    answers: np.ndarray

    @property
    def shape(self) -> str:
        """The shape of what is shown, from the perspective."""
        middle = np.array(self.size) / 2
        aspect, _ = rectangle_from_quad((self.answers[:1] - middle) / (FOCAL * max(self.size)))
        return next(name for name, most in SHAPES.items() if aspect[0] <= most)

    @property
    def share(self) -> str:
        """The share of the frame that is covered."""
        covered = area(self.answers[0]) / (self.size[0] * self.size[1])
        return next(name for name, most in SIZES.items() if covered <= most)


@dataclass(frozen=True)
class Found:
    """The result of a search in one photograph.

    `overlap`: the largest IoU with a right answer. `corner`: the largest distance of a corner from the corners of that answer,
    as a share of the longer side of the photograph; infinite if no screen was found.
    """

    photograph: Photograph
    found: bool
    overlap: float
    corner: float


def read_photographs(folder: Path) -> list[Photograph]:
    """The marked photographs of a folder."""
    marked = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))["images"]
    return [
        Photograph(
            folder / "images" / name,
            entry["kind"],
            (entry["size"][0], entry["size"][1]),
            np.array(
                [entry["corners"], *(other["corners"] for other in entry.get("also", ()))] if entry["corners"] else [],
                np.float64,
            ).reshape(-1, 4, 2),
        )
        for name, entry in marked.items()
    ]


def compare(photograph: Photograph, corners: np.ndarray | None) -> Found:
    """Compare the corners (4, 2) that were found, or None, with the right answers."""
    if corners is None or not len(photograph.answers):
        return Found(photograph, corners is not None, 0.0, np.inf)
    overlaps = [iou(corners, answer) for answer in photograph.answers]
    answer = photograph.answers[int(np.argmax(overlaps))]
    # A screen that is shown on its side has another first corner.
    distances = [np.linalg.norm(np.roll(corners, turn, 0) - answer, axis=1).max() for turn in range(4)]
    return Found(photograph, True, max(overlaps), float(min(distances)) / max(photograph.size))


def measure(photograph: Photograph) -> Found:
    """Search one photograph."""
    quad = search(read(photograph.path).pixels).quad
    return compare(photograph, None if quad is None else quad.corners)


def _row(name: str, chosen: Sequence[Found]) -> str:
    overlaps = np.array([result.overlap for result in chosen])
    corners = [result.corner for result in chosen if result.found]
    return (
        f"| {name} | {len(chosen)} | {100 * np.mean([result.found for result in chosen]):.0f} "
        f"| {100 * (overlaps > GOOD).mean():.0f} | {100 * (overlaps > FAIR).mean():.0f} | {np.median(overlaps):.3f} "
        f"| {100 * np.median(corners) if corners else np.nan:.1f} |"
    )


def format_table(results: Iterable[Found]) -> str:
    """Markdown: a row for all photographs with a screen, and for each kind, shape and size; then the false crops."""
    everything = list(results)
    screens = [result for result in everything if result.photograph.kind != NOTHING]
    plain = [result for result in everything if result.photograph.kind == NOTHING]
    rows = [
        "| photographs | number | found % | IoU > 0.90 % | IoU > 0.80 % | median IoU | median corner error, % of a side |",
        "|---|---|---|---|---|---|---|",
        _row("all", screens),
    ]
    groups: list[tuple[Iterable[str], Callable[[Photograph], str]]] = [
        (sorted({result.photograph.kind for result in screens}), lambda photograph: photograph.kind),
        (SHAPES, lambda photograph: photograph.shape),
        (SIZES, lambda photograph: photograph.share),
    ]
    for names, of in groups:
        for name in names:
            if chosen := [result for result in screens if of(result.photograph) == name]:
                rows.append(_row(name, chosen))
    wrong = [result.photograph.path.name for result in plain if result.found]
    rows.append(f"false crops: {len(wrong)} of {len(plain)} {' '.join(wrong)}".rstrip())
    return "\n".join(rows)


def place(pixels: np.ndarray, corners: np.ndarray, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The photograph uint8 RGB (H, W, 3) with another picture in its display, whose corners are (4, 2).

    Kept of the display: for each colour its darkest and brightest level, which hold the light of the room and the exposure; the
    light that changes slowly over it, as a reflection does; the resolution and the noise of the photograph.
    """
    height, width = output_size(corners, picture.shape[1] / picture.shape[0])
    before = warp(pixels, corners, (height, width)).astype(np.float32)
    black, white = np.percentile(before, 2, (0, 1)), np.percentile(before, 98, (0, 1))
    smooth = cv2.medianBlur(before.astype(np.uint8), 5).astype(np.float32)
    noise = 1.48 * float(np.median(np.abs(before - smooth)))
    small = cv2.resize(smooth, COARSE, interpolation=cv2.INTER_AREA).min(2)
    veil = cv2.GaussianBlur(cv2.erode(small, np.ones((5, 5))), (0, 0), COARSE[0] / 12)
    veil = cv2.resize(veil - veil.min(), (width, height))[..., None]
    shown = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    light = black + np.maximum(white - black, 20) * shown
    light = np.maximum(light, np.minimum(black + veil, 255)) if veil.max() > 0 else light
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV counts from pixel centres
    matrix = np.linalg.inv(half) @ np.linalg.inv(homography(corners, (height, width))) @ half
    size = pixels.shape[1::-1]
    seen = cv2.warpPerspective(
        light.astype(np.float32), matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    cover = cv2.warpPerspective(np.ones((height, width), np.float32), matrix, size)[..., None]
    seen = cv2.GaussianBlur(seen, (0, 0), 0.6) + rng.normal(0, noise, seen.shape)
    return np.clip(pixels + (seen - pixels) * cover + 0.5, 0, 255).astype(np.uint8)


def placed(
    marked: Sequence[Photograph], thumbnails: Sequence[Path], count: int, longest: int = 1600
) -> Iterator[tuple[np.ndarray, Path]]:
    """Photographs with a thumbnail in their display, and the thumbnail: `count` of them.

    Only displays whose shape is nearly that of a thumbnail are used, and no prints. Photographs are at most `longest` pixels
    wide or high.
    """
    fitting = [
        photograph for photograph in marked if photograph.kind not in (NOTHING, "print") and photograph.shape in FITTING
    ]
    for number in range(count):
        photograph = fitting[number % len(fitting)]
        pixels = read(photograph.path).pixels
        scale = min(1.0, longest / max(pixels.shape[:2]))
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        path = thumbnails[(number * 7) % len(thumbnails)]
        rng = np.random.default_rng(number)
        yield place(pixels, photograph.answers[0] * scale, read(path).pixels, rng), path
