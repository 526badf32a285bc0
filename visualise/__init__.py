"""Feature visualisation: images that maximise a class, or a channel of a layer."""

from __future__ import annotations

from visualise.optimise import FeatureVisualisation, stream_visualisation, visualise

__all__ = ["FeatureVisualisation", "stream_visualisation", "visualise"]
