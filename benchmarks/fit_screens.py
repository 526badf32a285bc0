"""Make what capture/ has learned again: python -m benchmarks.fit_screens --thumbnails DIR --backgrounds DIR

Two networks learn from composed scenes (benchmarks/scenes.py) and from plain pictures, in which there is nothing to find:
capture/outline.tflite, which sees roughly where screens are, and then capture/evidence.npz, which weighs the quads that
are found with its help. Both learn from every second picture of the folders; benchmarks.screens measures with the others.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from benchmarks.scenes import UPRIGHT, WIDE, compose, pictures
from benchmarks.screens import iou
from capture import evidence, outline, proposals
from models.distortions import DISTORTIONS
from models.engine import convert_function, keep_freed_memory, write_atomically
from models.picture import read
from samples import ROOT

if TYPE_CHECKING:
    import keras

SCENES = (9000, 4000)  # that the outline is learned from, wide and upright
VARIANTS = 20  # of each plain picture, for the outline
PASSES = 7  # over all of them
RATE = 2e-3
SMALL = 0.05  # of the frame: thumbnails on pages are learned down to half the size that benchmarks.screens asks for
OUTLINE_SEED, EVIDENCE_SEED = 200_000, 100_000
GRID = (64, 36)  # cells of the outline, by width and height
SIDE_WIDTH = 1.5  # cells: how wide a side is drawn

EVIDENCE_SCENES = (3000, 1000)
EVIDENCE_VARIANTS = 15
NETWORKS = 3
HIDDEN = 96
EPOCHS = 14
BATCH = 512
POSITIVE = 8.0  # weight of a right quad: there are few among the many that are drawn from a picture's edges
GOOD = (0.85, 0.95)  # IoU from which a quad counts as right in part, and wholly


# --- The outline --------------------------------------------------------------


def _view(pixels: np.ndarray, turned: bool) -> np.ndarray:
    return cv2.resize(outline.turn(pixels) if turned else pixels, outline.SIZE, interpolation=cv2.INTER_AREA)


def _drawn(size: tuple[int, int], aimed: np.ndarray, others: np.ndarray, turned: bool) -> np.ndarray:
    """What is to be seen of quads in a picture of `size` (H, W): uint8 (36, 64, 3)."""
    fine = 4
    if turned:
        size, aimed, others = size[::-1], aimed[:, ::-1], others[..., ::-1]
    scale = np.array(GRID) * fine / size[::-1]
    planes = np.zeros((3, GRID[1] * fine, GRID[0] * fine), np.uint8)
    for number, quad in enumerate((aimed, *others)):
        points = np.rint((quad * scale - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(planes[outline.ANY], points, 255, cv2.LINE_AA, 4)
        cv2.polylines(planes[outline.EDGE], [points], True, 255, round(SIDE_WIDTH * fine), cv2.LINE_AA, 4)
        if number == 0:
            planes[outline.AIMED] = planes[outline.ANY]
    return cv2.resize(cv2.merge(list(planes)), GRID, interpolation=cv2.INTER_AREA)


def _frame(number: int, wide: int) -> tuple[int, int]:
    """Of the scene of that number: so many wide ones come first."""
    return WIDE if number < wide else UPRIGHT[number % len(UPRIGHT)]


def _scene(number: int, thumbnails: Sequence[Path], backgrounds: Sequence[Path]) -> list[tuple[np.ndarray, np.ndarray]]:
    """A scene, and a part of it of any shape with the thumbnail in it, each as seen and what is to be seen."""
    seed = OUTLINE_SEED + number
    scene = compose(seed, thumbnails, backgrounds, _frame(number, SCENES[0]), SMALL)
    turned = outline.upright(scene.pixels)
    rng = np.random.default_rng(seed)
    size = np.array(scene.pixels.shape[1::-1])
    room = np.clip(np.array([scene.corners.min(0), size - scene.corners.max(0)]), 0, None)
    cut = (room * rng.uniform(0, 1, (2, 2)) ** rng.uniform(0.3, 2)).astype(int)
    (left, top), (right, bottom) = cut[0], size - cut[1]
    part = scene.pixels[top:bottom, left:right]
    others = scene.others - (left, top)
    inside = ((others >= 0) & (others <= (right - left, bottom - top))).all((1, 2))
    return [
        (_view(scene.pixels, turned), _drawn(scene.pixels.shape[:2], scene.corners, scene.others, turned)),
        (_view(part, turned), _drawn(part.shape[:2], scene.corners - (left, top), others[inside], turned)),
    ]


def _plain(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    pixels = read(path).pixels
    rng = np.random.default_rng(list(path.name.encode()))
    views = [pixels, *(_variant(pixels, rng) for _ in range(VARIANTS))]
    return [(_view(view, outline.upright(view)), np.zeros((*GRID[::-1], 3), np.uint8)) for view in views]


def build() -> keras.Model:
    """(N, 144, 256, 3) in [0, 255] -> logits (N, 36, 64, 3): down to 9x16 cells and up again (Ronneberger et al. 2015)."""
    import keras
    from keras import layers

    def convolve(x: keras.KerasTensor, filters: int, stride: int = 1, size: int = 3) -> keras.KerasTensor:
        return layers.Conv2D(filters, size, stride, "same", activation="relu")(x)

    pixels = keras.Input((outline.SIZE[1], outline.SIZE[0], 3))
    half = convolve(layers.Rescaling(1 / 64, -2)(pixels), 12, 2)
    quarter = convolve(half, 24, 2)
    eighth = convolve(convolve(quarter, 48, 2), 48)
    x = convolve(convolve(convolve(eighth, 64, 2), 64), 64)
    for beside, filters in ((eighth, 32), (quarter, 20)):
        x = layers.UpSampling2D(interpolation="bilinear")(convolve(x, filters, 1, 1))
        x = convolve(layers.Concatenate()([x, beside]), filters)
    return keras.Model(pixels, layers.Conv2D(3, 1)(x))


def fit_outline(thumbnails: Sequence[Path], backgrounds: Sequence[Path], pool: ProcessPoolExecutor) -> None:
    """Make capture/outline.tflite from scenes and plain pictures. Whatever there is may be shown, and lie behind: where a
    screen is does not hang on what is on it."""
    anything = [*thumbnails, *backgrounds]
    scenes = pool.map(partial(_scene, thumbnails=anything, backgrounds=anything), range(sum(SCENES)), chunksize=16)
    plain = pool.map(_plain, anything, chunksize=16)
    seen, truth = (np.stack(part) for part in zip(*itertools.chain(*scenes, *plain), strict=True))
    write_atomically(outline.WEIGHTS, learned(seen, truth))


def learned(seen: np.ndarray, truth: np.ndarray) -> bytes:
    """The `.tflite` of a network that sees `truth` (N, 36, 64, 3) in `seen` (N, 144, 256, 3), both uint8: by Adam (Kingma &
    Ba 2015) on the cross-entropy of every cell."""
    import keras
    import tensorflow as tf

    keep_freed_memory()
    keras.utils.set_random_seed(0)
    network, rng, step = build(), np.random.default_rng(0), 32
    steps = PASSES * (len(seen) // step)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=True,  # three quarters of the time
    )

    def batches() -> Any:
        for _ in range(PASSES):
            for chosen in rng.permutation(len(seen))[: len(seen) // step * step].reshape(-1, step):
                x, y = seen[chosen].astype(np.float32), truth[chosen].astype(np.float32) / 255
                light = rng.uniform(0.6, 1.3, (step, 1, 1, 1)) * rng.uniform(0.9, 1.1, (step, 1, 1, 3))
                mirrored = rng.random(step) < 0.5
                x[mirrored], y[mirrored] = x[mirrored, :, ::-1], y[mirrored, :, ::-1]
                yield np.clip(x * light, 0, 255).astype(np.float32), y

    for number, (x, y) in enumerate(batches()):  # `fit` would have memory given back after every step, at half the time
        loss = network.train_on_batch(x, y)
        if number % 100 == 0:
            print(f"outline: {number} of {steps} steps, loss {float(loss):.3f}", flush=True)
    spec = tf.TensorSpec((1, outline.SIZE[1], outline.SIZE[0], 3), tf.float32)
    return convert_function(lambda batch: network(batch, training=False), [spec])


def _variant(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of the picture, mirrored or not, of another size and shape, compressed or in another light now and then."""
    height, width = (int(side * share) for side, share in zip(pixels.shape, rng.uniform(0.6, 1, 2), strict=False))
    top, left = rng.integers(pixels.shape[0] - height + 1), rng.integers(pixels.shape[1] - width + 1)
    part = pixels[top : top + height, left : left + width, :][:, :: int(rng.choice([1, -1]))]
    scale = float(rng.choice([320, 480, 640, 640])) / max(height, width)
    part = cv2.resize(np.ascontiguousarray(part), None, fx=scale, fy=scale * rng.uniform(0.85, 1.15))
    for name, often in (("jpeg", 0.3), ("brightness", 0.3)):
        if rng.random() < often:
            part = DISTORTIONS[name](part, rng.uniform(0, 0.7), rng)
    return part


# --- The evidence -------------------------------------------------------------


def _positive(number: int, thumbnails: Sequence[Path], backgrounds: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Features of a scene's quads, and how right each is: how well it fits any of the thumbnails in sight."""
    scene = compose(EVIDENCE_SEED + number, thumbnails, backgrounds, _frame(number, EVIDENCE_SCENES[0]), SMALL)
    corners, features, *_ = proposals(scene.pixels)
    there = [scene.corners, *scene.others]
    overlap = np.array([max(iou(quad, each) for each in there) for quad in corners])
    return features, np.clip((overlap - GOOD[0]) / (GOOD[1] - GOOD[0]), 0, 1)


def _negative(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features of the quads of a plain picture, and of parts of it at other sizes: none of them is right."""
    pixels = read(path).pixels
    rng = np.random.default_rng([1, *path.name.encode()])
    views = [pixels, *(_variant(pixels, rng) for _ in range(EVIDENCE_VARIANTS))]
    parts = [features for _, features, *_ in map(proposals, views) if len(features)]
    features = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return features, np.zeros(len(features))


def fit(features: np.ndarray, right: np.ndarray, seed: int) -> dict[str, Any]:
    """Two hidden layers by Adam (Kingma & Ba 2015) on the cross-entropy; the features' scale goes into the first."""
    rng = np.random.default_rng(seed)
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    inputs, targets = ((features - mean) / deviation).astype(np.float32), right.astype(np.float32)
    shapes = [(inputs.shape[1], HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)]
    weights: list[np.ndarray] = []
    for rows, columns in shapes:
        weights += [rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32), np.zeros(columns, np.float32)]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    steps = len(inputs) // BATCH * EPOCHS
    order = itertools.chain.from_iterable(
        rng.permutation(len(inputs))[: len(inputs) // BATCH * BATCH].reshape(-1, BATCH) for _ in range(EPOCHS)
    )
    for step, batch in enumerate(order, 1):
        x, y = inputs[batch], targets[batch, None]
        w1, b1, w2, b2, w3, b3 = weights
        one = np.maximum(x @ w1 + b1, 0)
        two = np.maximum(one @ w2 + b2, 0)
        back = (1 / (1 + np.exp(-np.clip(two @ w3 + b3, -30, 30))) - y) * (1 + (POSITIVE - 1) * y) / BATCH
        into_two = back @ w3.T * (two > 0)
        into_one = into_two @ w2.T * (one > 0)
        gradients = [x.T @ into_one, into_one.sum(0), one.T @ into_two, into_two.sum(0), two.T @ back, back.sum(0)]
        rate = 4e-3 * (1 - step / steps) + 1e-5
        for w, g, m, v in zip(weights, gradients, first, second, strict=True):
            m += 0.1 * (g - m)
            v += 0.01 * (g * g - v)
            w -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
    w1, b1, w2, b2, w3, b3 = weights
    scaled = (w1 / deviation[:, None]).astype(np.float32)
    shift = (b1 - mean @ scaled).astype(np.float32)
    return {"w1": scaled, "b1": shift[None], "w2": w2, "b2": b2[None], "w3": w3, "b3": b3[None]}


def fit_evidence(thumbnails: Sequence[Path], backgrounds: Sequence[Path], pool: ProcessPoolExecutor) -> None:
    """Make capture/evidence.npz."""
    anything, numbers = [*thumbnails, *backgrounds], range(sum(EVIDENCE_SCENES))
    scenes = pool.map(partial(_positive, thumbnails=anything, backgrounds=anything), numbers, chunksize=8)
    plain = pool.map(_negative, anything, chunksize=8)
    found = [each for each in (*scenes, *plain) if len(each[0])]
    features, right = (np.concatenate(parts) for parts in zip(*found, strict=True))
    file = io.BytesIO()
    networks = [fit(features, right, seed) for seed in range(NETWORKS)]
    arrays: dict[str, Any] = {name: np.stack([network[name] for network in networks]) for name in networks[0]}
    np.savez(file, **arrays)
    write_atomically(evidence.WEIGHTS, file.getvalue())
    print(f"fitted on {len(features)} quads, {(right > 0.5).sum()} of them right")


def main() -> None:
    """Parse the arguments and fit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fit_screens", description=__doc__)
    parser.add_argument("--thumbnails", type=Path, default=ROOT / "thumbnails", help="folder of 16:9 pictures")
    parser.add_argument("--backgrounds", type=Path, default=ROOT / "photos", help="folder of photographs")
    parser.add_argument("--only", choices=("outline", "evidence"), help="one of the two")
    asked = parser.parse_args()
    thumbnails = [path for path in pictures(asked.thumbnails) if not path.name.endswith(".mask.png")][::2]
    backgrounds = pictures(asked.backgrounds)[::2]
    cv2.setNumThreads(1)  # in the processes that share the work
    for name, fitting in (("outline", fit_outline), ("evidence", fit_evidence)):
        if asked.only in (None, name):
            with ProcessPoolExecutor(os.cpu_count()) as pool:  # forked before TensorFlow has threads
                fitting(thumbnails, backgrounds, pool)


if __name__ == "__main__":
    main()
