"""Folds of a cross-validation: by groups of near-duplicates, and for frames of a fixed camera by blocks of time.

All frames of a fixed camera are near-duplicates, so groups cannot split them. Neighbours in time are the most similar. A block
of consecutive frames is therefore held out, and the frames at its borders are in neither part (a gap).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from core.errors import UserError
from core.formats import FORMATS
from training.dataset import Dataset, DatasetPicture
from training.listing import quote_some

SERIES_SHARE = 0.5  # a class is a series of frames if more of its pictures than this are near-duplicates of each other
LEAST_FRAMES = 10  # of a series that can be split: two blocks of five
BLOCK = 5  # frames that a block has at least
GAP = 1 / 15  # of the frames of a class; at least one frame at each border of a block
EXIF_IFD, TAKEN, SUBSECONDS = 0x8769, 0x9003, 0x9291


@dataclass(frozen=True)
class FoldPlan:
    """How to cross-validate.

    `folds`: indices of the training part and of the held-out part for each fold; empty for no cross-validation. `notes`: what
    the figures are about, one sentence each.
    """

    folds: list[tuple[np.ndarray, np.ndarray]]
    notes: tuple[str, ...] = ()


def split_folds(
    class_indices: np.ndarray, groups: np.ndarray, folds: int, seed: int, labels: Sequence[str] = ()
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified folds that keep groups of near-duplicates together.

    Args:
        class_indices: True class of each picture (N,).
        groups: Group of each picture (N,).
        folds: Number of folds. Where a class has fewer groups, there are as many folds as it has groups.
        seed: Seed of the random split.
        labels: Names of the classes, for the error message.

    Returns:
        Indices of the training part and of the held-out part for each fold.

    Raises:
        UserError: A class has one group only, which cannot be in both parts.

    >>> folds = split_folds(np.array([0, 0, 0, 1, 1, 1]), np.arange(6), folds=3, seed=0)
    >>> sorted(index for _, held_out in folds for index in held_out.tolist())
    [0, 1, 2, 3, 4, 5]
    """
    from sklearn.model_selection import StratifiedGroupKFold

    counts = count_groups(class_indices, groups)
    smallest = min(counts, key=lambda class_index: counts[class_index])
    if counts[smallest] < 2:
        label = f"'{labels[smallest]}'" if labels else f"class {smallest}"
        raise UserError(f"All pictures of {label} are nearly the same; add other ones.")
    splitter = StratifiedGroupKFold(min(folds, counts[smallest]), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(class_indices)), class_indices, groups))


def count_groups(class_indices: np.ndarray, groups: np.ndarray) -> dict[int, int]:
    """The number of groups of near-duplicates in each class that occurs."""
    return {
        class_index: len(np.unique(groups[class_indices == class_index]))
        for class_index in np.unique(class_indices).tolist()
    }


def find_series(data: Dataset) -> list[int]:
    """The classes whose pictures are mostly near-duplicates of each other, as frames of a fixed camera are."""
    series = []
    for class_index in range(len(data.labels)):
        groups = data.groups[data.class_indices == class_index]
        if len(groups) and np.unique(groups, return_counts=True)[1].max() > SERIES_SHARE * len(groups):
            series.append(class_index)
    return series


def plan_folds(data: Dataset, folds: int, seed: int) -> FoldPlan:
    """The folds of a data set.

    Args:
        data: The pictures.
        folds: Number of folds, fewer where a class is small; 0 for none.
        seed: Seed of the random split of the pictures that are no series.

    Returns:
        No folds where a class is one group of near-duplicates with fewer than LEAST_FRAMES pictures.
    """
    if not folds:
        return FoldPlan([])
    groups = count_groups(data.class_indices, data.groups)
    sizes = np.bincount(data.class_indices, minlength=len(data.labels))
    series = [index for index in find_series(data) if sizes[index] >= LEAST_FRAMES]
    alike = [index for index, count in groups.items() if count < 2 and index not in series]
    if alike:
        return FoldPlan([], (_describe_no_split(data, alike),))
    if not series:
        return FoldPlan(split_folds(data.class_indices, data.groups, folds, seed, data.labels))
    count = min(folds, *(int(sizes[index]) // BLOCK for index in series))
    others = np.flatnonzero(~np.isin(data.class_indices, series))
    held_out_of = np.full(len(data.items), -1)
    if len(others):
        random_folds = split_folds(data.class_indices[others], data.groups[others], count, seed)
        count = len(random_folds)
        for number, (_, held_out) in enumerate(random_folds):
            held_out_of[others[held_out]] = number
    gaps: list[list[int]] = [[] for _ in range(count)]
    orders = set()
    for index in series:
        members = np.flatnonzero(data.class_indices == index)
        order, by = order_frames([data.items[member] for member in members])
        orders.add(by)
        gap = gap_size(len(members))
        for number, block in enumerate(np.array_split(np.arange(len(members)), count)):
            held_out_of[members[order[block]]] = number
            border = [
                *range(max(0, block[0] - gap), block[0]),
                *range(block[-1] + 1, min(len(members), block[-1] + 1 + gap)),
            ]
            gaps[number] += members[order[border]].tolist()
    everything = np.arange(len(data.items))
    plan = [
        (np.setdiff1d(everything[held_out_of != number], gaps[number]), np.flatnonzero(held_out_of == number))
        for number in range(count)
    ]
    return FoldPlan(plan, (_describe_series(data, series, count, " and by ".join(sorted(orders))),))


def gap_size(frames: int) -> int:
    """The number of frames that are left out at each border of a block."""
    return max(1, round(frames * GAP))


def order_frames(items: Sequence[DatasetPicture]) -> tuple[np.ndarray, str]:
    """The order of the frames of a class (N,), by the time at which all were taken, or by their names; and which of both.

    Numbers in names count as numbers. Frames with equal names stay in the order of the data set.
    """
    names = [[int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", i.name.casefold())] for i in items]
    times = [_time_taken(item) for item in items]
    keys: list[tuple[object, ...]] = [(time, name) for time, name in zip(times, names, strict=True)]
    if not all(times):
        keys = [(name,) for name in names]
    return np.array(sorted(range(len(items)), key=lambda index: keys[index])), "time" if all(times) else "name"


def _time_taken(item: DatasetPicture) -> str:
    """The time in the EXIF data of a picture, which sorts as text, or ""."""
    try:
        with Image.open(item.path, formats=FORMATS) as image:
            exif = image.getexif().get_ifd(EXIF_IFD)
    except Exception:  # noqa: BLE001  (Pillow raises many types for damaged EXIF data)
        return ""
    taken = str(exif.get(TAKEN, "")).strip("\0 ")
    return f"{taken}.{exif.get(SUBSECONDS, 0)}" if re.match(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", taken) else ""


def _describe_series(data: Dataset, series: Sequence[int], count: int, order: str) -> str:
    names = quote_some([data.labels[index] for index in series])
    return (
        f"The pictures of {names} are nearly the same, as those of a fixed camera. In order of {order}, {count} blocks of them "
        "were held out in turn, with a gap at their borders: the held-out figure is about this camera and this scene only."
    )


def _describe_no_split(data: Dataset, alike: Sequence[int]) -> str:
    names = quote_some([data.labels[index] for index in alike])
    return (
        f"There is no held-out figure: all pictures of {names} are nearly the same, and fewer than {LEAST_FRAMES}, so none "
        "can be kept apart; add other ones."
    )
