"""A stable quad over the frames of a camera: small movements are smoothed, jumps must be confirmed, gaps are bridged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from capture.quad import Quad

STILL = 0.01  # of the quad's size: smaller movements are camera shake
MOVES = 0.25  # of the quad's size: larger movements are another screen, or an error
CALM, FOLLOW = 0.25, 0.7  # share of a movement that is applied per frame: when still, when moving
PATIENCE = 6  # frames for which a quad is kept without a detection
PROOF = 2  # consecutive frames with a detection before a new quad is shown


@dataclass(frozen=True)
class Track:
    """The state between two frames.

    `quad`: the estimated place of the screen, or None. `missed`: frames since its last detection. `rival`: another place with
    recent detections; `seen`: how many in a row.
    """

    quad: Quad | None = None
    missed: int = 0
    rival: Quad | None = None
    seen: int = 0

    def follow(self, detected: Quad | None) -> Track:
        """The state after the next frame; `detected`: the result of its search."""
        if detected is None:
            lost = self.missed + 1
            return Track() if lost > PATIENCE else replace(self, missed=lost, rival=None, seen=0)
        if self.quad is not None and (moved := corner_shift(self.quad, detected)) <= MOVES:
            share = CALM + (FOLLOW - CALM) * min(1.0, moved / (5 * STILL)) if moved > STILL else CALM
            corners = self.quad.corners + share * (detected.corners - self.quad.corners)
            return Track(replace(detected, corners=corners))
        again = self.rival is not None and corner_shift(self.rival, detected) <= MOVES
        seen, lost = self.seen + 1 if again else 1, self.missed + 1
        if seen >= PROOF:
            return Track(detected)
        return Track(None if lost > PATIENCE else self.quad, lost, detected, seen)


def corner_shift(first: Quad, second: Quad) -> float:
    """The largest movement of a corner, relative to the quad's size."""
    size = np.linalg.norm(np.ptp(first.corners, axis=0))
    return float(np.linalg.norm(first.corners - second.corners, axis=1).max() / size)
