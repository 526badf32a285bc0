"""The search for screens, thumbnails and prints: segmentation, lines, candidate quads, classification of each quad.

The first look expects the sides of a screen where the segmentation sees them. If nothing is sure, a second look expects them
everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from capture import candidates, lines, patches, quad, quad_classifier, segmentation
from capture.quad import Quad
from capture.rectification import corners_without_bars

SEARCH_SIDE = 560  # pixels of the longer side at which the search runs
MIN_CONFIDENCE = 0.7  # a quad with this confidence counts as a screen
SURE = 0.85  # without a quad of this confidence there is a second look
# Quads whose patches are scored: of the most probable place, of each other place, and altogether.
PATCHES_OF_FIRST, PATCHES_OF_OTHERS, MAX_PATCHES = 20, 3, 40
LEAST = -12.0  # logit of the features from which a patch is scored
# The logit for displays: that of the patch, that of the features with a weight and a limit, and a constant; only from a least
# logit of the features. The logit for thumbnails: that of the features, that of the patch with a weight, and a constant.
DISPLAY_WEIGHT, DISPLAY_MOST, DISPLAY_BIAS, DISPLAY_LEAST = 0.3, 6.0, -0.3, -0.5
THUMBNAIL_PATCH_WEIGHT, THUMBNAIL_BIAS = 0.2, 0.45
SECOND_LOOK_COST = (
    0.7  # subtracted from the logit at the second look, which has more candidates in pictures without a screen
)
# Where nothing is probable enough: the least confidence of a guess, how many there are, the largest IoU of two of them.
MIN_GUESS, MAX_GUESSES, SAME = 0.2, 3, 0.7
MAX_AREA_SHARE = 0.97  # share of the photograph; a larger quad is the border of the photograph itself
MIN_PHOTO_SIDE = 32  # pixels; a photograph with a shorter side is not searched
MAX_PHOTO_ASPECT = 8  # longer side / shorter side; a narrower photograph is not searched
MAX_OTHER_SCREENS = 8  # screens that are offered beside the most prominent one
MAX_OVERLAP = 0.1  # share of the smaller of two quads; with a larger overlap only one of them is kept
# Dark bars with this mean screen probability belong to the screen and are kept. Bars with a lower one are cut off.
KEEP_BARS_ABOVE = 0.5
OVERSAMPLING = 4  # a quad is drawn with so many pixels per cell of a map, in both directions


@dataclass(frozen=True)
class Search:
    """The result of a search. `quad`: the most prominent screen, or None; then `reason` says why, in one sentence.

    `others`: further screens that do not overlap it, the most prominent first. `guesses`: where no screen is probable enough,
    up to 3 quads that may be one, the most probable first.
    """

    quad: Quad | None
    others: tuple[Quad, ...] = ()
    reason: str = ""
    guesses: tuple[Quad, ...] = ()


@dataclass(frozen=True)
class Candidates:
    """Quads of a photograph that may be screens, and the maps that they come from.

    `corners`: (N, 4, 2), x and y in pixels of the photograph. `features`: (N, F), for `quad_classifier.score`. `segments`: the
    result of `segmentation.segment`. `reduced`: the photograph at the size of the search, uint8 (h, w, 3).
    """

    corners: np.ndarray
    features: np.ndarray
    segments: np.ndarray
    reduced: np.ndarray


def find_screen(image: np.ndarray) -> Quad | None:
    """The most prominent screen, thumbnail or print in a photograph uint8 RGB (H, W, 3); None if there is none.

    >>> import numpy as np
    >>> find_screen(np.full((90, 160, 3), 200, np.uint8)) is None
    True
    """
    return search(image).quad


def search(image: np.ndarray, min_confidence: float = MIN_CONFIDENCE, second_look: bool = True) -> Search:
    """Find all screens in a photograph.

    Args:
        image: The photograph, uint8 RGB (H, W, 3).
        min_confidence: The smallest confidence of a screen, in [0, 1].
        second_look: Whether to look again, for three times as long, if nothing is sure.

    Returns:
        The most prominent screen and up to 8 others, or the reason why there is none.

    Raises:
        ValueError: The array is not uint8 (H, W, 3).

    >>> import numpy as np
    >>> search(np.full((90, 160, 3), 200, np.uint8)).reason
    'No four straight edges enclose a part of the picture.'
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"A photograph is a uint8 array (H, W, 3) of red, green, blue, not {image.dtype} {image.shape}."
        )
    if min(image.shape[:2]) < MIN_PHOTO_SIDE or max(image.shape[:2]) > MAX_PHOTO_ASPECT * min(image.shape[:2]):
        return Search(None, reason="The picture is too small or too narrow to hold a screen.")
    height_width = image.shape[:2]
    proposed = propose_quads(image)
    confidence = judge(proposed, height_width)
    if second_look and not (confidence >= SURE).any():
        proposed = look_again(proposed, height_width)
        confidence = judge(proposed, height_width, SECOND_LOOK_COST)
    if not len(proposed.corners):
        return Search(None, reason="No four straight edges enclose a part of the picture.")
    if not (confidence >= min_confidence).any():
        reason = f"No screen was found; the most probable quadrilateral has a confidence of {confidence.max():.0%}."
        return Search(None, reason=reason, guesses=_guess(proposed.corners, confidence, height_width))
    chosen = _choose_separate_quads(proposed.corners, confidence, min_confidence)
    prominence = quad.prominence(proposed.corners[chosen], height_width)
    first, *others = (
        Quad(proposed.corners[index], float(confidence[index]), quad.aspect_of(proposed.corners[index], height_width))
        for index in np.array(chosen)[np.argsort(-prominence, kind="stable")]
    )
    return Search(_cut_off_bars(first, proposed, height_width), tuple(others))


def _guess(corners: np.ndarray, confidence: np.ndarray, height_width: tuple[int, int]) -> tuple[Quad, ...]:
    """The most probable quads (N, 4, 2) that differ from each other, the most probable first."""
    guesses: list[Quad] = []
    for index in np.argsort(-confidence, kind="stable"):
        if len(guesses) == MAX_GUESSES or confidence[index] < MIN_GUESS:
            break
        if all(quad.iou(corners[index], guess.corners) < SAME for guess in guesses):
            aspect = quad.aspect_of(corners[index], height_width)
            guesses.append(Quad(corners[index], float(confidence[index]), aspect))
    return tuple(guesses)


def _choose_separate_quads(corners: np.ndarray, confidence: np.ndarray, min_confidence: float) -> list[int]:
    """The indices of the confident quads (N, 4, 2). Of overlapping quads, keep the most probable one."""
    confident = np.flatnonzero(confidence >= min_confidence)
    chosen: list[int] = []
    for index in confident[np.argsort(-confidence[confident], kind="stable")]:
        if all(not _overlap(corners[index], corners[other]) for other in chosen):
            chosen.append(int(index))
        if len(chosen) > MAX_OTHER_SCREENS:
            break
    return chosen


def _cut_off_bars(screen: Quad, proposed: Candidates, height_width: tuple[int, int]) -> Quad:
    """The screen without the dark bars of a player; the same screen if it has none or if they belong to the screen."""
    reduced_size = proposed.reduced.shape[1::-1]  # (width, height)
    scale = np.array(reduced_size) / height_width[::-1]
    outer = screen.corners * scale
    inner = corners_without_bars(proposed.reduced, outer)
    if inner is None:
        return screen
    any_screen = proposed.segments[..., segmentation.ANY]
    if _mean_between(any_screen, outer / reduced_size, inner / reduced_size) >= KEEP_BARS_ABOVE:
        return screen
    corners = inner / scale
    return Quad(corners, screen.confidence, quad.aspect_of(corners, height_width))


def _mean_between(values: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> float:
    """The mean of a map (h, w) between two quads, whose corners are shares of width and height; 0 for an empty ring."""
    ring = np.zeros((values.shape[0] * OVERSAMPLING, values.shape[1] * OVERSAMPLING), np.uint8)
    for corners, value in ((outer, 255), (inner, 0)):
        points = np.rint(corners * ring.shape[::-1] - 0.5).astype(np.int32)
        cv2.fillConvexPoly(ring, points, value)
    weight = cv2.resize(ring, values.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return float((weight * values).sum() / max(weight.sum(), 1))


def propose_quads(image: np.ndarray) -> Candidates:
    """The quads of a photograph uint8 RGB (H, W, 3) that may be screens, at the first look."""
    scale = min(1.0, SEARCH_SIDE / max(image.shape[:2]))
    width_height = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    reduced = segmentation.reduce(image, width_height) if scale < 1 else image
    segments = segmentation.segment(reduced)
    corners, features = _propose(reduced, segments, everywhere=False)
    return Candidates(corners * image.shape[1::-1], features, segments, reduced)


def look_again(first: Candidates, height_width: tuple[int, int]) -> Candidates:
    """The quads of a photograph of a height and width at the first and at the second look."""
    corners, features = _propose(first.reduced, first.segments, everywhere=True)
    if not len(corners):
        return first
    corners = np.concatenate([first.corners, corners * height_width[::-1]])
    features = np.concatenate([first.features, features]) if len(first.features) else features
    return replace(first, corners=corners, features=features)


def _propose(reduced: np.ndarray, segments: np.ndarray, everywhere: bool) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, 4, 2) as shares of width and height, and the features (N, F) of quads that may be screens."""
    height_width = reduced.shape[:2]
    edges = lines.find_lines(reduced, segments[..., segmentation.EDGE], everywhere)
    if everywhere:
        screen_maps = [np.full(segments.shape[:2], lines.EVERYWHERE, np.float32)]
    else:
        screen_maps = segmentation.separate_screens(segments)
    corners, sides = candidates.candidate_quads(edges, screen_maps, height_width)
    inside = quad.area(corners) <= MAX_AREA_SHARE * height_width[0] * height_width[1]
    corners, sides = corners[inside], sides[inside]
    if len(corners):
        features = candidates.quad_features(edges, segments, corners, sides, height_width)
    else:
        features = np.zeros((0, 1), np.float32)
    return (corners / height_width[::-1] + 0.5).clip(0, 1), features


def judge(proposed: Candidates, height_width: tuple[int, int], cost: float = 0.0) -> np.ndarray:
    """The probability (N,) that each quad is a screen; 0 if it is not listed. `cost` is subtracted from its logit.

    Two scores compete, and the higher one counts: for thumbnails, and for displays of every shape. Both use the features of the
    quad and its patch.
    """
    confidence = np.zeros(len(proposed.corners))
    if not len(confidence):
        return confidence
    thumbnails, displays = (
        quad_classifier.score(proposed.features, weights)
        for weights in (quad_classifier.THUMBNAILS, quad_classifier.DISPLAYS)
    )
    listed = shortlist(proposed.corners, np.maximum(thumbnails, displays))
    if len(listed):
        scale = np.array(proposed.reduced.shape[1::-1]) / height_width[::-1]
        seen = patches.score(proposed.reduced, proposed.corners[listed] * scale)
        thumbnails, displays = thumbnails[listed], displays[listed]
        as_thumbnail = thumbnails + THUMBNAIL_PATCH_WEIGHT * seen + THUMBNAIL_BIAS
        as_display = seen + DISPLAY_WEIGHT * np.minimum(displays, DISPLAY_MOST) + DISPLAY_BIAS
        logit = np.where(displays > DISPLAY_LEAST, np.maximum(as_thumbnail, as_display), as_thumbnail) - cost
        confidence[listed] = 1 / (1 + np.exp(-logit.clip(-30, 30)))
    return confidence


def shortlist(corners: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The indices of the most probable quads (N, 4, 2) of each place, by the logits (N,) of their features."""
    places: list[tuple[int, int]] = []  # the most probable quad of a place, and how many of the place are listed
    listed: list[int] = []
    for index in np.argsort(-logits, kind="stable"):
        if logits[index] < LEAST or len(listed) >= MAX_PATCHES:
            break
        place = next((n for n, (lead, _) in enumerate(places) if _overlap(corners[index], corners[lead])), len(places))
        if place == len(places):
            if place > MAX_OTHER_SCREENS:
                continue
            places.append((int(index), 0))
        lead, count = places[place]
        if count < (PATCHES_OF_FIRST if place == 0 else PATCHES_OF_OTHERS):
            places[place] = (lead, count + 1)
            listed.append(int(index))
    return np.array(listed, np.intp)


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two quads share more than a tenth of the smaller one."""
    shared = cv2.intersectConvexConvex(first.astype(np.float32), second.astype(np.float32))[0]
    return bool(shared > MAX_OVERLAP * min(quad.area(first), quad.area(second)))
