"""A steady quad over the frames of a camera: small shifts are smoothed, jumps must last, gaps are bridged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from capture import Quad

STILL = 0.01  # of the quad's size: what moves less is the hand's trembling
MOVES = 0.25  # what moves more is another screen, or an error
CALM, FOLLOW = 0.25, 0.7  # how much of a shift is taken over at once, when still and when moving
PATIENCE = 6  # frames that a quad is kept without being seen
PROOF = 2  # frames in which one must be seen, the first or another, before it is believed


@dataclass(frozen=True)
class Track:
    """`quad`: where the screen is thought to be, or None. `missed`: frames since it was seen. `rival`, `seen`: another place
    where one has been found lately, and how often in a row."""

    quad: Quad | None = None
    missed: int = 0
    rival: Quad | None = None
    seen: int = 0

    def follow(self, found: Quad | None) -> Track:
        """After the next frame, in which `found` is what a search gave."""
        if found is None:
            lost = self.missed + 1
            return Track() if lost > PATIENCE else replace(self, missed=lost, rival=None, seen=0)
        if self.quad is not None and (moved := shift(self.quad, found)) <= MOVES:
            share = CALM + (FOLLOW - CALM) * min(1.0, moved / (5 * STILL)) if moved > STILL else CALM
            corners = self.quad.corners + share * (found.corners - self.quad.corners)
            return Track(replace(found, corners=corners))
        again = self.rival is not None and shift(self.rival, found) <= MOVES
        seen, lost = self.seen + 1 if again else 1, self.missed + 1
        if seen >= PROOF:
            return Track(found)
        return Track(None if lost > PATIENCE else self.quad, lost, found, seen)


def shift(one: Quad, other: Quad) -> float:
    """The furthest that a corner moved, as a part of the quad's size."""
    size = np.linalg.norm(np.ptp(one.corners, axis=0))
    return float(np.linalg.norm(one.corners - other.corners, axis=1).max() / size)
