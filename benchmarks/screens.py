"""Screens found and rectified, on composed photographs: python -m benchmarks.screens --thumbnails DIR --backgrounds DIR

Prints, over the scenes of benchmarks/scenes.py, in wide and in upright frames: the IoU of the quad with the truth, the
distance of its corners, the share found; false crops on the plain pictures of both folders; milliseconds a frame of
1280x720; and with --quads the corners in real photographs. capture/ learned from every second picture of the folders
(benchmarks/fit_screens.py); what is printed is measured with the other half, and on plain pictures for both.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks import machine
from benchmarks.scenes import KINDS, UPRIGHT, WIDE, Scene, compose, pictures
from capture import LEAST, rectify, search
from capture.quads import LEAST_SIDE
from models import DEFAULT, load
from models.embeddings import embed
from models.engine import keep_freed_memory
from models.picture import read
from models.train import Settings
from models.train import fit as fit_head
from samples import ROOT

GOOD = 0.9  # IoU


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Shared area by joint area of two convex quads (4, 2)."""
    first, second = one.astype(np.float32), other.astype(np.float32)
    shared = cv2.intersectConvexConvex(first, second)[0]
    return float(shared / max(cv2.contourArea(first) + cv2.contourArea(second) - shared, 1e-9))


@dataclass(frozen=True)
class Outcome:
    """What was found in one scene; corner errors in pixels, infinite where nothing was.

    `others`: further thumbnails as large as are looked for; how many of them were offered; how much else was.
    """

    kind: str
    overlap: float
    corner: float
    found: bool
    others: tuple[int, int, int]


def measure(scene: Scene) -> Outcome:
    """Search one scene."""
    found = search(scene.pixels)
    least = LEAST_SIDE * min(scene.pixels.shape[:2])
    large = [each for each in scene.others if np.linalg.norm(each - np.roll(each, -1, 0), axis=1).min() >= least]
    if found.quad is None:
        return Outcome(scene.kind, 0.0, float("inf"), False, (len(large), 0, 0))
    offered = [found.quad, *found.others]
    right = sum(any(iou(quad.corners, each) > GOOD for quad in offered) for each in large)
    wrong = sum(all(iou(quad.corners, each) <= GOOD for each in (scene.corners, *scene.others)) for quad in offered[1:])
    away = np.linalg.norm(found.quad.corners - scene.corners, axis=1)
    overlap = iou(found.quad.corners, scene.corners)
    return Outcome(scene.kind, overlap, float(away.max()), True, (len(large), right, wrong))


def _scene_outcome(
    seed: int, thumbnails: Sequence[Path], backgrounds: Sequence[Path], frames: Sequence[tuple[int, int]]
) -> Outcome:
    return measure(compose(seed, thumbnails, backgrounds, frames[seed % len(frames)]))


def table(outcomes: Sequence[Outcome]) -> str:
    """A row a kind of scene, and one for all."""
    rows = [
        "| scenes | number | found % | median IoU | IoU > 0.90 % | median corner error, px |",
        "|---|---|---|---|---|---|",
    ]
    for kind in [*KINDS, "all"]:
        chosen = [o for o in outcomes if kind in ("all", o.kind)]
        if chosen:
            overlaps = np.array([o.overlap for o in chosen])
            rows.append(
                f"| {kind} | {len(chosen)} | {100 * np.mean([o.found for o in chosen]):.1f} | {np.median(overlaps):.3f} "
                f"| {100 * (overlaps > GOOD).mean():.1f} | {np.median([o.corner for o in chosen]):.1f} |"
            )
    there, right, wrong = np.sum([o.others for o in outcomes], axis=0)
    rows.append(
        f"further thumbnails on the pages: {right} of {there} offered ({right / max(there, 1):.1%}), and {wrong} other quads"
    )
    return "\n".join(rows)


def _cropped(path: Path) -> bool:
    return search(read(path).pixels).quad is not None


def false_crops(paths: Sequence[Path], pool: ProcessPoolExecutor) -> str:
    """On plain pictures: of all, and of those that nothing was fitted on."""
    crops = np.array(list(pool.map(_cropped, paths, chunksize=16)))
    return f"{crops.sum()} of {len(crops)} ({100 * crops.mean():.1f} %); of the unseen half {100 * crops[1::2].mean():.1f} %"


def milliseconds(scenes: Iterable[Scene]) -> float:
    """Median time of a search, with as many threads as OpenCV takes."""
    seconds = []
    for scene in scenes:
        search(scene.pixels)
        start = time.perf_counter()
        search(scene.pixels)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def real(folder: Path) -> str:
    """The IoU in photographs whose corners were marked by hand, in `corners.json`."""
    lines_ = []
    for name, marked in json.loads((folder / "corners.json").read_text(encoding="utf-8"))["annotations"].items():
        quad = search(read(folder / "images" / name).pixels).quad
        found = "nothing found" if quad is None else f"IoU {iou(quad.corners, np.array(marked['corners'])):.3f}"
        lines_.append(f"{name}: {found}")
    return "\n".join(lines_)


def channels(thumbnails: Sequence[Path], backgrounds: Sequence[Path], seeds: Iterable[int]) -> str:
    """Accuracy of a classifier of the thumbnails' folders, trained on every second of them as models.train does it, on the
    others: photographed, rectified where a screen is found, and as they were."""
    labels = sorted({path.parent.name for path in thumbnails})
    backbone, rng, settings = load(DEFAULT), np.random.default_rng(0), Settings()
    truth = [labels.index(path.parent.name) for path in thumbnails[::2]]
    views = (view for path in thumbnails[::2] for view in settings.make(read(path).pixels, rng))
    vectors = embed(backbone, views).reshape(len(truth), 1 + settings.views, -1)
    trained = fit_head(backbone, vectors, truth, labels, head=settings.head)
    right = []
    for seed in seeds:
        scene = compose(seed, thumbnails[1::2], backgrounds[1::2])
        quad = search(scene.pixels).quad
        upright = scene.pixels if quad is None else rectify(scene.pixels, quad)
        seen = (scene.pixels, upright, read(scene.thumbnail).pixels)
        right.append([trained.predict(pixels, 1)[0].label == scene.thumbnail.parent.name for pixels in seen])
    raw, rectified, original = 100 * np.mean(right, axis=0)
    return f"{len(right)} scenes, photographed {raw:.1f} %, rectified {rectified:.1f} %, original {original:.1f} %"


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screens", description=__doc__)
    parser.add_argument("--thumbnails", type=Path, default=ROOT / "thumbnails", help="folder of 16:9 pictures")
    parser.add_argument("--backgrounds", type=Path, default=ROOT / "photos", help="folder of photographs")
    parser.add_argument("--quads", type=Path, help="folder of photographs with corners.json")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of the first scene")
    parser.add_argument(
        "--channels",
        type=int,
        metavar="N",
        help="classify the thumbnails' folders in so many scenes, raw and rectified",
    )
    asked = parser.parse_args()
    thumbnails = [path for path in pictures(asked.thumbnails) if not path.name.endswith(".mask.png")]
    backgrounds = pictures(asked.backgrounds)
    keep_freed_memory()  # as the page does
    print(machine.describe())
    cv2.setNumThreads(1)  # in the processes that share the work
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        seeds = range(asked.seed, asked.seed + asked.scenes)
        for words, frames in (("wide frames", [WIDE]), ("upright frames", UPRIGHT)):
            outcome = partial(_scene_outcome, thumbnails=thumbnails[1::2], backgrounds=backgrounds[1::2], frames=frames)
            print(f"{words}, {', '.join(f'{width}x{height}' for width, height in frames)}:")
            print(table(list(pool.map(outcome, seeds, chunksize=8))), flush=True)
        print("false crops on plain thumbnails:", false_crops(thumbnails, pool))
        print("false crops on plain photographs:", false_crops(backgrounds, pool))
    cv2.setNumThreads(os.cpu_count() or 1)
    timed = [compose(seed, thumbnails[1::2], backgrounds[1::2]) for seed in range(asked.seed, asked.seed + 20)]
    print(f"a search of 1280x720 takes {milliseconds(timed):.1f} ms (least confidence {LEAST})")
    if asked.quads:
        print(real(asked.quads))
    if asked.channels:
        seeds = range(asked.seed, asked.seed + asked.channels)
        print("channel classifier, accuracy:", channels(thumbnails, backgrounds, seeds))


if __name__ == "__main__":
    main()
