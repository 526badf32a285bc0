"""Train the networks of capture/ again: python -m scripts.fit_capture --thumbnails DIR --backgrounds DIR

They learn from composed scenes and from pictures without a screen. From samples/photographs.py: capture/segmentation.tflite,
the coarse segmentation, and capture/quad_classifier.npz, which scores the candidate quads by their features. From
samples/displays.py: capture/display_classifier.npz, which scores them too, and capture/patches.tflite, which scores the best of
them by their patches. They learn from every second picture of the folders; benchmarks.screens measures on the others.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from capture import patches, quad_classifier, segmentation
from capture.detection import OVERSAMPLING, SEARCH_SIDE, look_again, propose_quads
from capture.quad import area, convex, iou
from core.corruptions import CORRUPTIONS
from core.files import write_atomically
from core.images import read
from core.resources import keep_freed_memory
from models.litert import convert_function
from samples import ROOT
from samples.displays import compose_display, compose_room
from samples.photographs import UPRIGHT, WIDE, compose, list_pictures

if TYPE_CHECKING:
    import keras

SCENES = (9000, 4000)  # training scenes of the segmentation: landscape, portrait
VARIANTS = 20  # of each plain picture, for the segmentation
PASSES = 7  # epochs of the segmentation
RATE = 2e-3
SMALL = 0.05  # share of the frame: the smallest thumbnail in training, half as large as in benchmarks.screens
SEGMENTATION_SEED, THUMBNAIL_SEED, MIXED_SEED, DISPLAY_SEED, ROOM_SEED = 200_000, 100_000, 700_000, 500_000, 600_000
NOTHING = np.zeros((0, 4, 2))
GRID = (64, 36)  # width and height of the segmentation, in cells
SIDE_WIDTH = 1.5  # drawn width of a side, in cells

# The classifier that knows thumbnails: scenes in landscape and in portrait format, views of each plain picture, networks,
# epochs, and the IoU from which a quad counts as partly correct, and as fully correct.
THUMBNAIL_SCENES, THUMBNAIL_VIEWS, THUMBNAIL_NETWORKS, THUMBNAIL_EPOCHS = (3000, 1000), 16, 3, 14
THUMBNAIL_GOOD = (0.85, 0.95)
# The same for the classifier that knows displays of every shape; and its scenes of displays, and of rooms without any.
MIXED_SCENES, MIXED_VIEWS, MIXED_NETWORKS, MIXED_EPOCHS, GOOD = (480, 160), 2, 2, 6, (0.85, 0.97)
DISPLAYS, ROOMS = 1920, 1440
HIDDEN = 96
BATCH = 512
POSITIVE = 8.0  # weight of a correct quad, because few of the candidates are correct
FAIR = 0.8  # IoU with another right answer from which a quad is neither right nor wrong

PATCH_STEPS, PATCH_BATCH, PATCH_RATE = 10_000, 64, 2e-3
PATCH_GOOD = (0.8, 0.97)  # as GOOD, for patches
# Patches of a scene: of the best quads by their features; of quads with an IoU of at least so much; around the true quads.
BEST, BY_OVERLAP, AROUND = 9, {0.93: 4, 0.8: 4, 0.5: 3, 0.0: 2}, 4
SHIFTS = (0.002, 0.01, 0.03)  # of the corners of the true quads, as a share of their size

# --- The segmentation ---------------------------------------------------------


def _network_input(pixels: np.ndarray, portrait: bool) -> np.ndarray:
    return cv2.resize(
        segmentation.transpose(pixels) if portrait else pixels, segmentation.SIZE, interpolation=cv2.INTER_AREA
    )


def _true_segmentation(size: tuple[int, int], aimed: np.ndarray, others: np.ndarray, portrait: bool) -> np.ndarray:
    """The true segmentation of quads in a picture of `size` (H, W): uint8 (36, 64, 3)."""
    if portrait:
        size, aimed, others = size[::-1], aimed[:, ::-1], others[..., ::-1]
    scale = np.array(GRID) * OVERSAMPLING / size[::-1]
    planes = np.zeros((3, GRID[1] * OVERSAMPLING, GRID[0] * OVERSAMPLING), np.uint8)
    for number, quad in enumerate((aimed, *others)):
        points = np.rint((quad * scale - 0.5) * 16).astype(np.int32)
        cv2.fillConvexPoly(planes[segmentation.ANY], points, 255, cv2.LINE_AA, 4)
        cv2.polylines(planes[segmentation.EDGE], [points], True, 255, round(SIDE_WIDTH * OVERSAMPLING), cv2.LINE_AA, 4)
        if number == 0:
            planes[segmentation.AIMED] = planes[segmentation.ANY]
    return cv2.resize(cv2.merge(list(planes)), GRID, interpolation=cv2.INTER_AREA)


def _frame(number: int, wide: int) -> tuple[int, int]:
    """Width and height of a scene by its number: the first `wide` scenes are in landscape format."""
    return WIDE if number < wide else UPRIGHT[number % len(UPRIGHT)]


def _scene(number: int, thumbnails: Sequence[Path], backgrounds: Sequence[Path]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Input and true segmentation of a scene, and of a random crop that contains the thumbnail."""
    seed = SEGMENTATION_SEED + number
    scene = compose(seed, thumbnails, backgrounds, _frame(number, SCENES[0]), SMALL)
    portrait = segmentation.is_portrait(scene.pixels)
    rng = np.random.default_rng(seed)
    size = np.array(scene.pixels.shape[1::-1])
    room = np.clip(np.array([scene.corners.min(0), size - scene.corners.max(0)]), 0, None)
    cut = (room * rng.uniform(0, 1, (2, 2)) ** rng.uniform(0.3, 2)).astype(int)
    (left, top), (right, bottom) = cut[0], size - cut[1]
    part = scene.pixels[top:bottom, left:right]
    others = scene.others - (left, top)
    inside = ((others >= 0) & (others <= (right - left, bottom - top))).all((1, 2))
    return [
        (
            _network_input(scene.pixels, portrait),
            _true_segmentation(scene.pixels.shape[:2], scene.corners, scene.others, portrait),
        ),
        (
            _network_input(part, portrait),
            _true_segmentation(part.shape[:2], scene.corners - (left, top), others[inside], portrait),
        ),
    ]


def _plain(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    pixels = read(path).pixels
    rng = np.random.default_rng(list(path.name.encode()))
    views = [pixels, *(_variant(pixels, rng) for _ in range(VARIANTS))]
    return [
        (_network_input(view, segmentation.is_portrait(view)), np.zeros((*GRID[::-1], 3), np.uint8)) for view in views
    ]


def build_network() -> keras.Model:
    """A small U-Net down to 9x16 cells: (N, 144, 256, 3) in [0, 255] -> logits (N, 36, 64, 3).

    Ronneberger 2015, https://arxiv.org/abs/1505.04597
    """
    import keras
    from keras import layers

    def convolve(x: keras.KerasTensor, filters: int, stride: int = 1, size: int = 3) -> keras.KerasTensor:
        return layers.Conv2D(filters, size, stride, "same", activation="relu")(x)

    pixels = keras.Input((segmentation.SIZE[1], segmentation.SIZE[0], 3))
    half = convolve(layers.Rescaling(1 / 64, -2)(pixels), 12, 2)
    quarter = convolve(half, 24, 2)
    eighth = convolve(convolve(quarter, 48, 2), 48)
    x = convolve(convolve(convolve(eighth, 64, 2), 64), 64)
    for beside, filters in ((eighth, 32), (quarter, 20)):
        x = layers.UpSampling2D(interpolation="bilinear")(convolve(x, filters, 1, 1))
        x = convolve(layers.Concatenate()([x, beside]), filters)
    return keras.Model(pixels, layers.Conv2D(3, 1)(x))


def fit_segmentation(thumbnails: Sequence[Path], backgrounds: Sequence[Path], pool: ProcessPoolExecutor) -> None:
    """Train capture/segmentation.tflite on scenes and plain pictures.

    Any picture may be on the screen or behind it, since the place of a screen does not depend on what it shows.
    """
    anything = [*thumbnails, *backgrounds]
    scenes = pool.map(partial(_scene, thumbnails=anything, backgrounds=anything), range(sum(SCENES)), chunksize=16)
    plain = pool.map(_plain, anything, chunksize=16)
    inputs, truth = (np.stack(part) for part in zip(*itertools.chain(*scenes, *plain), strict=True))
    write_atomically(segmentation.WEIGHTS, train_segmentation(inputs, truth))


def train_segmentation(inputs: np.ndarray, truth: np.ndarray) -> bytes:
    """The `.tflite` of a network trained to map `inputs` (N, 144, 256, 3) to `truth` (N, 36, 64, 3), both uint8.

    Adam (Kingma & Ba 2015) on the cross-entropy of every cell.
    """
    import keras
    import tensorflow as tf

    keep_freed_memory()
    keras.utils.set_random_seed(0)
    network, rng, step = build_network(), np.random.default_rng(0), 32
    steps = PASSES * (len(inputs) // step)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=True,  # saves a quarter of the time
    )

    def batches() -> Any:
        for _ in range(PASSES):
            for batch in rng.permutation(len(inputs))[: len(inputs) // step * step].reshape(-1, step):
                x, y = inputs[batch].astype(np.float32), truth[batch].astype(np.float32) / 255
                light = rng.uniform(0.6, 1.3, (step, 1, 1, 1)) * rng.uniform(0.9, 1.1, (step, 1, 1, 3))
                mirrored = rng.random(step) < 0.5
                x[mirrored], y[mirrored] = x[mirrored, :, ::-1], y[mirrored, :, ::-1]
                yield np.clip(x * light, 0, 255).astype(np.float32), y

    for number, (x, y) in enumerate(batches()):  # `fit` takes twice as long: it returns memory after every step
        loss = network.train_on_batch(x, y)
        if number % 100 == 0:
            print(f"segmentation: {number} of {steps} steps, loss {float(loss):.3f}", flush=True)
    spec = tf.TensorSpec((1, segmentation.SIZE[1], segmentation.SIZE[0], 3), tf.float32)
    return convert_function(lambda batch: network(batch, training=False), [spec])


def _variant(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random crop of the picture, sometimes mirrored, resized, compressed or in another brightness."""
    height, width = (int(side * share) for side, share in zip(pixels.shape, rng.uniform(0.6, 1, 2), strict=False))
    top, left = rng.integers(pixels.shape[0] - height + 1), rng.integers(pixels.shape[1] - width + 1)
    part = pixels[top : top + height, left : left + width, :][:, :: int(rng.choice([1, -1]))]
    scale = float(rng.choice([320, 480, 640, 640])) / max(height, width)
    part = cv2.resize(np.ascontiguousarray(part), None, fx=scale, fy=scale * rng.uniform(0.85, 1.15))
    for name, probability in (("jpeg", 0.3), ("brightness", 0.3)):
        if rng.random() < probability:
            part = CORRUPTIONS[name](part, rng.uniform(0, 0.7), rng)
    return part


# --- The scores of quads --------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A scene at the size of the search: uint8 RGB (h, w, 3), the true quads (N, 4, 2), and other right answers (M, 4, 2)."""

    pixels: np.ndarray
    screens: np.ndarray
    fair: np.ndarray


@dataclass(frozen=True)
class Quads:
    """The candidate quads of an example: corners (N, 4, 2), features (N, F), the largest IoU with a true quad and with another
    right answer (N,).
    """

    corners: np.ndarray
    features: np.ndarray
    overlap: np.ndarray
    fair: np.ndarray


def _example(pixels: np.ndarray, screens: np.ndarray = NOTHING, fair: np.ndarray = NOTHING) -> Example:
    scale = min(1.0, SEARCH_SIDE / max(pixels.shape[:2]))
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    ratio = np.array(size) / pixels.shape[1::-1]
    reduced = segmentation.reduce(pixels, size) if scale < 1 else pixels
    return Example(reduced, screens * ratio, fair * ratio)


def _display(number: int, pictures: Sequence[Path], backgrounds: Sequence[Path]) -> Example:
    scene = compose_display(DISPLAY_SEED + number, pictures, backgrounds)
    return _example(scene.pixels, scene.corners[None], scene.fair)


def _room(number: int, backgrounds: Sequence[Path]) -> Example:
    return _example(compose_room(ROOM_SEED + number, backgrounds).pixels)


def _thumbnails(number: int, pictures: Sequence[Path], wide: int, seed: int) -> Example:
    scene = compose(seed + number, pictures, pictures, _frame(number, wide), SMALL)
    return _example(scene.pixels, np.concatenate([scene.corners[None], scene.others]))


def _plain_examples(path: Path, views: int) -> list[Example]:
    pixels = read(path).pixels
    rng = np.random.default_rng([1, *path.name.encode()])
    return [_example(view) for view in (pixels, *(_variant(pixels, rng) for _ in range(views - 1)))]


def find_quads(example: Example, again: bool) -> Quads:
    """The candidate quads of an example, at the first look; of one without a screen, at the second too if `again`."""
    height_width = example.pixels.shape[:2]
    proposed = propose_quads(example.pixels)
    if again and not len(example.screens):
        proposed = look_again(proposed, height_width)
    overlap, fair = (
        np.array([max((iou(quad, answer) for answer in answers), default=0.0) for quad in proposed.corners])
        for answers in (example.screens, example.fair)
    )
    return Quads(proposed.corners, proposed.features, overlap, fair)


def correctness(quads: Quads, good: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """How correct each quad is, in [0, 1], and which quads count: a fair answer is neither right nor wrong."""
    return np.clip((quads.overlap - good[0]) / (good[1] - good[0]), 0, 1), (quads.fair <= FAIR) | (
        quads.overlap >= GOOD[0]
    )


def choose_patches(example: Example, quads: Quads, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches (N, side, side, 3) of an example and how correct each is."""
    rng = np.random.default_rng(seed)
    chosen = set(
        np.argsort(-quad_classifier.score(quads.features, quad_classifier.DISPLAYS), kind="stable")[:BEST].tolist()
    )
    most = np.inf
    for least, count in BY_OVERLAP.items():
        of = np.flatnonzero((quads.overlap >= least) & (quads.overlap < most))
        chosen.update(rng.choice(of, min(count, len(of)), replace=False).tolist())
        most = least
    listed = sorted(chosen)
    corners, overlap, fair = quads.corners[listed], quads.overlap[listed], quads.fair[listed]
    for number in range(AROUND if len(example.screens) else 0):
        true = example.screens[0 if number < AROUND - 1 else rng.integers(len(example.screens))]
        shifted = true + rng.normal(0, rng.choice(SHIFTS), (4, 2)) * np.sqrt(area(true))
        if convex(shifted[None])[0]:
            corners = np.concatenate([corners, shifted[None]])
            overlap = np.append(overlap, max(iou(shifted, screen) for screen in example.screens))
            fair = np.append(fair, max((iou(shifted, answer) for answer in example.fair), default=0.0))
    targets, counts = correctness(Quads(corners, np.zeros(0), overlap, fair), PATCH_GOOD)
    return patches.patches(example.pixels, corners[counts]), targets[counts]


def fit_network(features: np.ndarray, correctness: np.ndarray, seed: int, epochs: int) -> dict[str, Any]:
    """Two hidden layers by Adam (Kingma & Ba 2015) on the cross-entropy; the first layer includes the features' scaling."""
    rng = np.random.default_rng(seed)
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    inputs, targets = ((features - mean) / deviation).astype(np.float32), correctness.astype(np.float32)
    shapes = [(inputs.shape[1], HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)]
    weights: list[np.ndarray] = []
    for rows, columns in shapes:
        weights += [rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32), np.zeros(columns, np.float32)]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    steps = len(inputs) // BATCH * epochs
    order = itertools.chain.from_iterable(
        rng.permutation(len(inputs))[: len(inputs) // BATCH * BATCH].reshape(-1, BATCH) for _ in range(epochs)
    )
    for step, batch in enumerate(order, 1):
        x, y = inputs[batch], targets[batch, None]
        w1, b1, w2, b2, w3, b3 = weights
        hidden1 = np.maximum(x @ w1 + b1, 0)
        hidden2 = np.maximum(hidden1 @ w2 + b2, 0)
        of_logit = (1 / (1 + np.exp(-np.clip(hidden2 @ w3 + b3, -30, 30))) - y) * (1 + (POSITIVE - 1) * y) / BATCH
        of_hidden2 = of_logit @ w3.T * (hidden2 > 0)
        of_hidden1 = of_hidden2 @ w2.T * (hidden1 > 0)
        gradients = [
            *(x.T @ of_hidden1, of_hidden1.sum(0)),
            *(hidden1.T @ of_hidden2, of_hidden2.sum(0)),
            *(hidden2.T @ of_logit, of_logit.sum(0)),
        ]
        rate = 4e-3 * (1 - step / steps) + 1e-5
        for w, g, m, v in zip(weights, gradients, first, second, strict=True):
            m += 0.1 * (g - m)
            v += 0.01 * (g * g - v)
            w -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.99**step)) + 1e-8)
    w1, b1, w2, b2, w3, b3 = weights
    scaled = (w1 / deviation[:, None]).astype(np.float32)
    shift = (b1 - mean @ scaled).astype(np.float32)
    return {"w1": scaled, "b1": shift[None], "w2": w2, "b2": b2[None], "w3": w3, "b3": b3[None]}


def fit_classifier(
    weights: Path, examples: Sequence[Quads], good: tuple[float, float], networks: int, epochs: int
) -> None:
    """Train an ensemble of `quad_classifier` and overwrite its file."""
    targets, counts = zip(*(correctness(quads, good) for quads in examples), strict=True)
    features = np.concatenate([quads.features[kept] for quads, kept in zip(examples, counts, strict=True)])
    correct = np.concatenate([target[kept] for target, kept in zip(targets, counts, strict=True)])
    file = io.BytesIO()
    fitted = [fit_network(features, correct, seed, epochs) for seed in range(networks)]
    arrays: dict[str, Any] = {name: np.stack([network[name] for network in fitted]) for name in fitted[0]}
    np.savez(file, **arrays)
    write_atomically(weights, file.getvalue())
    quad_classifier.layers.cache_clear()  # they are those of the file before
    print(f"{weights.stem}: fitted on {len(features)} quads, {(correct > 0.5).sum()} of them correct")


def build_patch_network() -> keras.Model:
    """Four strided convolutions and a hidden layer: normalised patches (N, 60, 60, 3) -> logits (N, 1)."""
    import keras
    from keras import layers

    x = inputs = keras.Input((patches.SIDE, patches.SIDE, 3))
    for filters in (10, 20, 32, 48):
        x = layers.Conv2D(filters, 3, 2, "same", activation="relu")(x)
    x = layers.Conv2D(64, 4, activation="relu")(x)
    return keras.Model(inputs, layers.Flatten()(layers.Conv2D(1, 1)(x)))


def train_patches(seen: np.ndarray, targets: np.ndarray, steps: int = PATCH_STEPS) -> bytes:
    """The `.tflite` of a network trained to map patches (N, 60, 60, 3), uint8, to how correct they are (N,).

    The patches are turned by multiples of 90 degrees and mirrored, so that the network cannot know what is upright.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    network, rng = build_patch_network(), np.random.default_rng(0)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(PATCH_RATE, steps)),
        keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=True,
    )
    for number in range(steps):
        batch = rng.integers(len(seen), size=PATCH_BATCH)
        x = np.rot90(seen[batch], int(rng.integers(4)), (1, 2))[:, :, :: int(rng.choice([1, -1]))]
        x = x * rng.uniform(0.88, 1.12, (PATCH_BATCH, 1, 1, 3)).astype(np.float32)
        y = targets[batch, None].astype(np.float32)
        loss = network.train_on_batch(np.ascontiguousarray(patches.normalise(x)), y, sample_weight=1 + y[:, 0])
        if number % 500 == 0:
            print(f"patches: {number} of {steps} steps, loss {float(loss):.3f}", flush=True)
    spec = tf.TensorSpec((patches.BATCH, patches.SIDE, patches.SIDE, 3), tf.float32)
    return convert_function(lambda batch: network(batch, training=False), [spec])


def fit_thumbnails(thumbnails: Sequence[Path], backgrounds: Sequence[Path], pool: ProcessPoolExecutor) -> None:
    """Train the classifier that knows thumbnails."""
    anything = [*thumbnails, *backgrounds]
    examples = itertools.chain(*_thumbnail_examples(pool, anything, THUMBNAIL_SCENES, THUMBNAIL_SEED, THUMBNAIL_VIEWS))
    found = [quads for quads in pool.map(partial(find_quads, again=False), examples, chunksize=8) if len(quads.corners)]
    fit_classifier(quad_classifier.THUMBNAILS, found, THUMBNAIL_GOOD, THUMBNAIL_NETWORKS, THUMBNAIL_EPOCHS)


def fit_displays(thumbnails: Sequence[Path], backgrounds: Sequence[Path], pool: ProcessPoolExecutor) -> None:
    """Train the classifier that knows displays, then the network of patches on the quads that it finds most probable."""
    anything = [*thumbnails, *backgrounds]
    composed = [
        pool.map(partial(_display, pictures=anything, backgrounds=backgrounds), range(DISPLAYS), chunksize=8),
        pool.map(partial(_room, backgrounds=backgrounds), range(ROOMS), chunksize=8),
        *_thumbnail_examples(pool, anything, MIXED_SCENES, MIXED_SEED, MIXED_VIEWS),
    ]
    examples = list(itertools.chain(*composed))
    found = list(pool.map(partial(find_quads, again=True), examples, chunksize=8))
    kept = [(example, quads) for example, quads in zip(examples, found, strict=True) if len(quads.corners)]
    fit_classifier(quad_classifier.DISPLAYS, [quads for _, quads in kept], GOOD, MIXED_NETWORKS, MIXED_EPOCHS)
    seen, targets = zip(*(choose_patches(*pair, seed) for seed, pair in enumerate(kept)), strict=True)
    write_atomically(patches.WEIGHTS, train_patches(np.concatenate(seen), np.concatenate(targets)))


def _thumbnail_examples(
    pool: ProcessPoolExecutor, anything: Sequence[Path], scenes: tuple[int, int], seed: int, views: int
) -> tuple[Iterator[Example], Iterator[Example]]:
    """Examples with thumbnails, and plain pictures."""
    make = partial(_thumbnails, pictures=anything, wide=scenes[0], seed=seed)
    plain = pool.map(partial(_plain_examples, views=views), anything, chunksize=8)
    return pool.map(make, range(sum(scenes)), chunksize=8), itertools.chain.from_iterable(plain)


FITS = {"segmentation": fit_segmentation, "thumbnails": fit_thumbnails, "displays": fit_displays}


def main() -> None:
    """Parse the arguments and fit."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fit_capture", description=__doc__)
    parser.add_argument("--thumbnails", type=Path, default=ROOT / "thumbnails", help="folder of 16:9 pictures")
    parser.add_argument("--backgrounds", type=Path, default=ROOT / "photos", help="folder of photographs")
    parser.add_argument("--only", choices=list(FITS), help="train one of the three")
    arguments = parser.parse_args()
    thumbnails = [path for path in list_pictures(arguments.thumbnails) if not path.name.endswith(".mask.png")][::2]
    backgrounds = list_pictures(arguments.backgrounds)[::2]
    cv2.setNumThreads(1)  # in the processes that share the work
    for name, fit in FITS.items():
        if arguments.only in (None, name):
            with ProcessPoolExecutor(os.cpu_count()) as pool:  # forked before TensorFlow has threads
                fit(thumbnails, backgrounds, pool)


if __name__ == "__main__":
    main()
