"""Detection of screens on composed photographs: python -m benchmarks.screens --thumbnails DIR --backgrounds DIR

Composes scenes as samples/photographs.py does, in wide and in upright frames. Prints the share of screens that are found, the
IoU of the quads with the true ones, and the distance of their corners. Then the share of plain pictures of both folders in
which a screen is found although there is none (false crops), and the milliseconds for a frame of 1280x720.

With --photographs, first the same for real photographs with corners marked by hand; with --scenes 0, nothing else.
With --quads, also the IoU in photographs of documents.

`python -m scripts.fit_capture` trains capture/ on every second picture of the folders. The scenes here are composed of the
other half. False crops are counted in both halves and in the other half alone.
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

from benchmarks import machine, photographs
from capture import rectify, search
from capture.candidates import MIN_SIDE_SHARE
from capture.detection import MIN_CONFIDENCE
from capture.quad import iou
from core.images import read
from core.resources import keep_freed_memory
from models import DEFAULT, load
from samples import ROOT
from samples.photographs import KINDS, UPRIGHT, WIDE, Scene, compose, list_pictures
from training.embeddings import embed
from training.settings import TrainingSettings
from training.trainer import fit as fit_head

GOOD = 0.9  # IoU from which a quad counts as right


@dataclass(frozen=True)
class Outcome:
    """The result of a search in one scene.

    `overlap`: the IoU of the quad with the true one. `corner`: the largest distance of a corner, in pixels; infinite if no
    screen was found. `others`: the number of further thumbnails that are large enough, how many of them the search offers,
    and how many wrong quads it offers.
    """

    kind: str
    overlap: float
    corner: float
    found: bool
    others: tuple[int, int, int]


def measure(scene: Scene) -> Outcome:
    """Search one scene and compare the result with the true quads."""
    result = search(scene.pixels)
    least = MIN_SIDE_SHARE * min(scene.pixels.shape[:2])
    large = [quad for quad in scene.others if np.linalg.norm(quad - np.roll(quad, -1, 0), axis=1).min() >= least]
    if result.quad is None:
        return Outcome(scene.kind, 0.0, float("inf"), False, (len(large), 0, 0))
    offered = [result.quad, *result.others]
    right = sum(any(iou(quad.corners, true) > GOOD for quad in offered) for true in large)
    wrong = sum(all(iou(quad.corners, true) <= GOOD for true in (scene.corners, *scene.others)) for quad in offered[1:])
    distance = np.linalg.norm(result.quad.corners - scene.corners, axis=1)
    overlap = iou(result.quad.corners, scene.corners)
    return Outcome(scene.kind, overlap, float(distance.max()), True, (len(large), right, wrong))


def _scene_outcome(
    seed: int, thumbnails: Sequence[Path], backgrounds: Sequence[Path], frames: Sequence[tuple[int, int]]
) -> Outcome:
    """Compose the scene of a seed and search it; `frames`: sizes that take turns."""
    return measure(compose(seed, thumbnails, backgrounds, frames[seed % len(frames)]))


def format_table(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table with a row for each kind of scene and one for all scenes."""
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
        f"further thumbnails on the pages: {right} of {there} offered ({right / max(there, 1):.1%}), and {wrong} wrong quads"
    )
    return "\n".join(rows)


def _is_cropped(path: Path) -> bool:
    """Whether a screen is found in a picture."""
    return search(read(path).pixels).quad is not None


def describe_false_crops(paths: Sequence[Path], pool: ProcessPoolExecutor) -> str:
    """How many plain pictures are cropped: of all, and of the half that capture/ was not trained on."""
    crops = np.array(list(pool.map(_is_cropped, paths, chunksize=16)))
    return f"{crops.sum()} of {len(crops)} ({100 * crops.mean():.1f} %); of the held-out half {100 * crops[1::2].mean():.1f} %"


def measure_milliseconds(scenes: Iterable[Scene]) -> float:
    """The median time of a search, with all threads of OpenCV."""
    seconds = []
    for scene in scenes:
        search(scene.pixels)
        start = time.perf_counter()
        search(scene.pixels)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds))


def describe_photographs(folder: Path) -> str:
    """The IoU in each real photograph of a folder, one line each.

    The folder holds `images/` and `corners.json`: {"annotations": {file name: {"corners": [[x, y], ...]}}}, marked by hand.
    """
    lines = []
    for name, marked in json.loads((folder / "corners.json").read_text(encoding="utf-8"))["annotations"].items():
        quad = search(read(folder / "images" / name).pixels).quad
        result = "no screen found" if quad is None else f"IoU {iou(quad.corners, np.array(marked['corners'])):.3f}"
        lines.append(f"{name}: {result}")
    return "\n".join(lines)


def describe_channels(thumbnails: Sequence[Path], photographed: Iterable[tuple[np.ndarray, Path]]) -> str:
    """The accuracy of a classifier for the folders of the thumbnails (channels) on photographs of thumbnails.

    It is trained on every second thumbnail, as `python -m training` does it. The other thumbnails are tested as photographs,
    as rectified photographs (where a screen is found), and as they are.

    Args:
        thumbnails: Thumbnails, one folder per channel.
        photographed: Photographs, each with the thumbnail in it, which is one of every second.
    """
    labels = sorted({path.parent.name for path in thumbnails})
    backbone, rng, settings = load(DEFAULT), np.random.default_rng(0), TrainingSettings()
    truth = [labels.index(path.parent.name) for path in thumbnails[::2]]
    views = (view for path in thumbnails[::2] for view in settings.make_views(read(path).pixels, rng))
    vectors = embed(backbone, views).reshape(len(truth), 1 + settings.augmentations, -1)
    trained = fit_head(backbone, vectors, truth, labels, head=settings.head)
    right = []
    for photograph, thumbnail in photographed:
        quad = search(photograph).quad
        upright = photograph if quad is None else rectify(photograph, quad)
        versions = (photograph, upright, read(thumbnail).pixels)
        right.append([trained.predict(pixels, 1)[0].label == thumbnail.parent.name for pixels in versions])
    raw, rectified, original = 100 * np.mean(right, axis=0)
    return f"{len(right)} photographs, photographed {raw:.1f} %, rectified {rectified:.1f} %, original {original:.1f} %"


def main() -> None:
    """Parse the arguments, measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screens", description=__doc__)
    parser.add_argument("--thumbnails", type=Path, default=ROOT / "thumbnails", help="folder of 16:9 pictures")
    parser.add_argument("--backgrounds", type=Path, default=ROOT / "photos", help="folder of photographs")
    parser.add_argument("--photographs", type=Path, help="folder with images/ and annotations.json")
    parser.add_argument(
        "--placed", type=int, metavar="N", help="classify N thumbnails, placed into the displays of --photographs"
    )
    parser.add_argument("--quads", type=Path, help="folder with images/ and corners.json")
    parser.add_argument("--scenes", type=int, default=500, help="how many (default: 500; 0: none)")
    parser.add_argument("--seed", type=int, default=0, help="of the first scene")
    parser.add_argument(
        "--channels",
        type=int,
        metavar="N",
        help="also classify the channel of the thumbnail in N scenes, before and after rectification",
    )
    arguments = parser.parse_args()
    thumbnails = [path for path in list_pictures(arguments.thumbnails) if not path.name.endswith(".mask.png")]
    backgrounds = list_pictures(arguments.backgrounds)
    keep_freed_memory()  # as the page does it
    print(machine.describe())
    cv2.setNumThreads(1)  # per process; the processes share the cores
    if arguments.photographs:
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            marked = photographs.read_photographs(arguments.photographs)
            print(photographs.format_table(pool.map(photographs.measure, marked)), flush=True)
        if arguments.placed:
            shown = photographs.placed(marked, thumbnails[1::2], arguments.placed)
            print("thumbnails placed into these displays, accuracy:", describe_channels(thumbnails, shown), flush=True)
    if not arguments.scenes:
        return
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        seeds = range(arguments.seed, arguments.seed + arguments.scenes)
        for title, frames in (("wide frames", [WIDE]), ("upright frames", UPRIGHT)):
            outcome = partial(_scene_outcome, thumbnails=thumbnails[1::2], backgrounds=backgrounds[1::2], frames=frames)
            print(f"{title}, {', '.join(f'{width}x{height}' for width, height in frames)}:")
            print(format_table(list(pool.map(outcome, seeds, chunksize=8))), flush=True)
        print("false crops on plain thumbnails:", describe_false_crops(thumbnails, pool))
        print("false crops on plain photographs:", describe_false_crops(backgrounds, pool))
    cv2.setNumThreads(os.cpu_count() or 1)
    timed = [compose(seed, thumbnails[1::2], backgrounds[1::2]) for seed in range(arguments.seed, arguments.seed + 20)]
    print(f"a search of 1280x720 takes {measure_milliseconds(timed):.1f} ms (lowest confidence {MIN_CONFIDENCE})")
    if arguments.quads:
        print(describe_photographs(arguments.quads))
    if arguments.channels:
        seeds = range(arguments.seed, arguments.seed + arguments.channels)
        scenes = (compose(seed, thumbnails[1::2], backgrounds[1::2]) for seed in seeds)
        photographed = ((scene.pixels, scene.thumbnail) for scene in scenes)
        print("channel classifier, accuracy:", describe_channels(thumbnails, photographed))


if __name__ == "__main__":
    main()
