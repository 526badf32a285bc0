"""Sample pictures: free photographs, and thumbnails of three invented video channels with a planted cue each."""

from __future__ import annotations

from samples.catalogue import CHANNEL_NAMES, PRACTICE, ROOT, SAMPLES, Sample

__all__ = ["CHANNEL_NAMES", "PRACTICE", "ROOT", "SAMPLES", "Sample"]
