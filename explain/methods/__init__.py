"""All attribution methods. Importing a file registers its methods. The order here is the order of every menu and table."""

from __future__ import annotations

from explain.methods import cam, gradients, regions, attention, perturbation, extremal, consensus  # isort: skip
from explain.registry import METHODS, find_method

__all__ = [
    "METHODS",
    "attention",
    "cam",
    "consensus",
    "extremal",
    "find_method",
    "gradients",
    "perturbation",
    "regions",
]
