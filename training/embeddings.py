"""Embeddings: the last activation of a frozen network, averaged over the canvas, for pictures and their augmentations."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pooch

from core.corruptions import CORRUPTIONS
from core.errors import UserError, describe_error
from core.files import encode_npy, write_atomically
from models.classifier import Classifier
from models.engine import BATCH
from models.geometry import Geometry, following, letterboxed
from models.trained_head import SIDE, CanvasShape
from training.dataset import DatasetPicture

log = logging.getLogger(__name__)

MakeViews = Callable[[np.ndarray, np.random.Generator], list[np.ndarray]]
"""Makes pictures of one picture, all of its size: the picture itself, augmentations, corruptions."""

CAMERA = ("moire", "brightness", "zoom", "rotation", "perspective", "blur", "gaussian-noise")  # from screen to sensor
TWICE = ("moire", "zoom")  # drawn twice as often, because they change embeddings most
RECIPE = 3  # version of `augment`, part of the key of cached embeddings


def canvas_geometry(
    backbone: Classifier, size: tuple[int, int], canvas_shape: CanvasShape = "wide", side: int = SIDE
) -> Geometry:
    """Where a picture lies on the canvas that a head is trained for.

    Args:
        backbone: The network; its stride is the size of a cell.
        size: Height and width of the picture.
        canvas_shape: "wide" follows the aspect of the picture, "square" adds bars.
        side: The canvas has about side * side pixels.

    Returns:
        The place of the picture on that canvas.
    """
    return following(size, side, backbone.stride) if canvas_shape == "wide" else letterboxed(size, (side, side))


def embed(
    backbone: Classifier, pictures: Iterable[np.ndarray], canvas_shape: CanvasShape = "wide", side: int = SIDE
) -> np.ndarray:
    """Embeddings of pictures: the features of a network, averaged over the canvas.

    Args:
        backbone: The network.
        pictures: uint8 RGB (H, W, 3). Neighbours with canvases of the same size share forward passes.
        canvas_shape: "wide" follows the aspect of the picture, "square" adds bars.
        side: The canvas has about side * side pixels.

    Returns:
        float32 (N, channels).

    Raises:
        UserError: There are no pictures.

    >>> from models import load
    >>> embed(load("mobilenet_v2"), [np.zeros((90, 160, 3), np.uint8)], side=96).shape
    (1, 1280)
    """
    rows: list[np.ndarray] = []
    waiting: list[np.ndarray] = []

    def flush() -> None:
        if waiting:
            rows.append(backbone.forward(np.stack(waiting))[0].mean((1, 2)))
            waiting.clear()

    for pixels in pictures:
        canvas = canvas_geometry(backbone, pixels.shape[:2], canvas_shape, side).place(pixels)
        if waiting and (len(waiting) == BATCH or waiting[0].shape != canvas.shape):
            flush()
        waiting.append(canvas)
    flush()
    if not rows:
        raise UserError("There are no pictures to embed.")
    return np.concatenate(rows)


def augment(pixels: np.ndarray, count: int, rng: np.random.Generator, flip: bool = False) -> list[np.ndarray]:
    """Augmentations of a picture that imitate photographs of it on a screen.

    Each one has two corruptions of random strength: zoom (20 % in to 50 % out), rotation (up to 45 degrees), perspective,
    blur, brightness, moire or sensor noise. They are drawn in turns, so that each one occurs.

    Args:
        pixels: uint8 RGB (H, W, 3).
        count: Number of augmentations.
        rng: Source of the random numbers.
        flip: Mirror each augmentation with probability 1/2. Text becomes unreadable.

    Returns:
        `count` pictures of the same shape.

    >>> views = augment(np.full((90, 160, 3), 128, np.uint8), 4, np.random.default_rng(0))
    >>> [view.shape for view in views]
    [(90, 160, 3), (90, 160, 3), (90, 160, 3), (90, 160, 3)]
    """
    deck: list[str] = []
    views = []
    for _ in range(count):
        if len(set(deck)) < 2:
            deck = rng.permutation([*CAMERA, *TWICE]).tolist()
        first = deck.pop()
        second = deck.pop(next(place for place, name in enumerate(deck) if name != first))
        names = sorted((first, second), key=CAMERA.index)  # in the order in which they happen
        view = pixels[:, ::-1] if flip and rng.random() < 0.5 else pixels
        for name in names:
            strength = rng.uniform()
            if name == "zoom" and rng.random() < 0.2 / 0.7:
                view = _crop(view, 1 - 0.2 * strength, rng)
            else:
                view = CORRUPTIONS[name](view, strength, rng)
        views.append(view)
    return views


def _crop(pixels: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A random crop whose sides are `scale` times those of the picture, enlarged to its size."""
    height, width = pixels.shape[:2]
    crop_height, crop_width = round(height * scale), round(width * scale)
    top, left = rng.integers(height - crop_height + 1), rng.integers(width - crop_width + 1)
    crop = pixels[top : top + crop_height, left : left + crop_width]
    return np.asarray(cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR))


def cache_folder() -> Path:
    """The folder for embeddings between runs of the command line, inside the system's cache folder."""
    return Path(pooch.os_cache("thumbscope")) / "embeddings"


def embed_views(
    backbone: Classifier,
    items: Sequence[DatasetPicture],
    make_views: MakeViews,
    recipe: str,
    *,
    canvas_shape: CanvasShape = "wide",
    side: int = SIDE,
    seed: int = 0,
    cache: Path | None = None,
) -> Iterator[np.ndarray]:
    """Embeddings of the views of each picture, one picture at a time.

    Random numbers depend only on `seed` and the content of the picture. Two threads prepare the next pictures while the
    network runs.

    Args:
        backbone: The network.
        items: The pictures.
        make_views: Makes the views of a picture.
        recipe: A name for `make_views`, part of the key of cached embeddings.
        canvas_shape: "wide" follows the aspect of the picture, "square" adds bars.
        side: The canvas has about side * side pixels.
        seed: Seed of the random numbers.
        cache: A folder for embeddings. Their keys cover the content of the picture and all arguments.

    Yields:
        float32 (views, channels) for each picture.
    """

    def prepare(item: DatasetPicture, file: Path | None) -> np.ndarray:
        """Cached embeddings (views, channels), or canvases (views, h, w, 3) where there are none."""
        if file and (cached := _read_cached(file)) is not None:
            return cached
        pixels = item.pixels()
        geometry = canvas_geometry(backbone, pixels.shape[:2], canvas_shape, side)
        views = make_views(pixels, np.random.default_rng([seed, int(item.digest[:8], 16)]))
        return np.stack([geometry.place(view) for view in views])

    with ThreadPoolExecutor(2) as pool:
        prepared: deque[tuple[Path | None, Future[np.ndarray]]] = deque()
        remaining = iter(items)

        def prepare_next() -> None:
            while len(prepared) < 4 and (item := next(remaining, None)) is not None:
                key = f"{item.digest} {backbone.name} {canvas_shape} {side} {recipe} {seed}".encode()
                file = cache / f"{hashlib.sha256(key).hexdigest()}.npy" if cache else None
                prepared.append((file, pool.submit(prepare, item, file)))

        prepare_next()
        try:
            while prepared:
                file, future = prepared.popleft()
                array = future.result()
                prepare_next()
                if array.ndim == 4:
                    array = backbone.forward(array)[0].mean((1, 2))
                    if file and cache and not _keep(file, array):
                        cache = None
                yield array
        finally:
            for _, future in prepared:
                future.cancel()


def _read_cached(file: Path) -> np.ndarray | None:
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, MemoryError):  # missing or damaged: it is computed again
        return None
    usable = array.ndim == 2 and array.dtype == np.float32 and np.isfinite(array).all()
    return array if usable else None


def _keep(file: Path, array: np.ndarray) -> bool:
    """Put embeddings into the cache. False where its disk is full or read-only: the training goes on without a cache."""
    try:
        write_atomically(file, encode_npy(array))
    except OSError as error:
        log.warning("Embeddings cannot be kept in %s: %s", file.parent, describe_error(error))
        return False
    return True
