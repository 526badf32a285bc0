"""Embeddings: what a frozen network's last activation says of a picture and of its augmentations, a vector each."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pooch

from models.classifier import Classifier
from models.dataset import Item
from models.distortions import DISTORTIONS
from models.engine import BATCH, write_atomically
from models.errors import UserError
from models.geometry import Geometry, fitted, fixed
from models.trained import SIDE, Canvas

Views = Callable[[np.ndarray, np.random.Generator], list[np.ndarray]]  # pictures made of a picture, all of its size

CAMERA = ("moire", "brightness", "zoom", "rotation", "perspective", "blur", "gaussian-noise")  # from screen to sensor
HARD = ("moire", "zoom")  # come twice as often, since they move embeddings furthest
RECIPE = 3  # of `augment`; another one makes other embeddings


def lay(backbone: Classifier, size: tuple[int, int], spread: Canvas = "wide", side: int = SIDE) -> Geometry:
    """Where a picture (H, W) lies on the canvas that a head is trained for."""
    return fitted(size, side, backbone.stride) if spread == "wide" else fixed(size, (side, side))


def embed(
    backbone: Classifier, pictures: Iterable[np.ndarray], spread: Canvas = "wide", side: int = SIDE
) -> np.ndarray:
    """Embeddings (N, channels), float32: the features of uint8 pictures (H, W, 3), averaged over the canvas.

    Neighbours of one size share passes. Raises UserError for no pictures at all.
    """
    rows: list[np.ndarray] = []
    waiting: list[np.ndarray] = []

    def flush() -> None:
        if waiting:
            rows.append(backbone.forward(np.stack(waiting))[0].mean((1, 2)))
            waiting.clear()

    for pixels in pictures:
        canvas = lay(backbone, pixels.shape[:2], spread, side).place(pixels)
        if waiting and (len(waiting) == BATCH or waiting[0].shape != canvas.shape):
            flush()
        waiting.append(canvas)
    flush()
    if not rows:
        raise UserError("There are no pictures to embed.")
    return np.concatenate(rows)


def augment(pixels: np.ndarray, count: int, rng: np.random.Generator, flip: bool = False) -> list[np.ndarray]:
    """`count` pictures as a camera might take them of the picture on a screen.

    Each has two of: zoom from 20 % in to 50 % out and rotation by up to 45 degrees either way, as in the study; perspective,
    blur, brightness, moire and a sensor's noise. They take turns, so that every one occurs, at any strength. `flip`: every
    other one mirrored, which text does not bear.
    """
    deck: list[str] = []
    views = []
    for _ in range(count):
        if len(set(deck)) < 2:
            deck = rng.permutation([*CAMERA, *HARD]).tolist()
        first = deck.pop()
        second = deck.pop(next(place for place, name in enumerate(deck) if name != first))
        drawn = sorted((first, second), key=CAMERA.index)  # in the order in which they happen
        view = pixels[:, ::-1] if flip and rng.random() < 0.5 else pixels
        for name in drawn:
            strength = rng.uniform()
            if name == "zoom" and rng.random() < 0.2 / 0.7:
                view = _crop(view, 1 - 0.2 * strength, rng)
            else:
                view = DISTORTIONS[name](view, strength, rng)
        views.append(view)
    return views


def _crop(pixels: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """A part of the picture whose sides are `scale` of its own, at its size."""
    height, width = pixels.shape[:2]
    tall, wide = round(height * scale), round(width * scale)
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    part = pixels[top : top + tall, left : left + wide]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR))


def cache_folder() -> Path:
    """Where embeddings are kept between runs of the command line: the platform's folder for caches."""
    return Path(pooch.os_cache("thumbscope")) / "embeddings"


def embed_views(
    backbone: Classifier,
    items: Sequence[Item],
    views: Views,
    recipe: str,
    *,
    spread: Canvas = "wide",
    side: int = SIDE,
    seed: int = 0,
    cache: Path | None = None,
) -> Iterator[np.ndarray]:
    """For each picture in turn, the embeddings (views, channels) of what `views` makes of it.

    What is random depends on `seed` and the picture's content alone. With `cache`, a folder, embeddings are kept there
    under the content's hash and all that they depend on, `recipe` naming `views`. Two threads prepare the next pictures
    while the network runs.
    """

    def prepare(item: Item, place: Path | None) -> np.ndarray:
        """Embeddings (2-D) where they are kept, else canvases (4-D)."""
        if place and (kept := _kept(place)) is not None:
            return kept
        pixels = item.pixels()
        geometry = lay(backbone, pixels.shape[:2], spread, side)
        return np.stack(
            [geometry.place(view) for view in views(pixels, np.random.default_rng([seed, int(item.digest[:8], 16)]))]
        )

    with ThreadPoolExecutor(2) as pool:
        ahead: deque[tuple[Path | None, Future[np.ndarray]]] = deque()
        coming = iter(items)

        def fill() -> None:
            while len(ahead) < 4 and (item := next(coming, None)) is not None:
                key = f"{item.digest} {backbone.name} {spread} {side} {recipe} {seed}".encode()
                place = cache / f"{hashlib.sha256(key).hexdigest()}.npy" if cache else None
                ahead.append((place, pool.submit(prepare, item, place)))

        fill()
        try:
            while ahead:
                place, future = ahead.popleft()
                made = future.result()
                fill()
                if made.ndim == 4:
                    made = backbone.forward(made)[0].mean((1, 2))
                    if place:
                        file = io.BytesIO()
                        np.save(file, made)
                        write_atomically(place, file.getvalue())
                yield made
        finally:
            for _, future in ahead:
                future.cancel()


def _kept(place: Path) -> np.ndarray | None:
    try:
        return np.load(place, allow_pickle=False)
    except (OSError, ValueError, EOFError):  # not there, or damaged: made anew
        return None
