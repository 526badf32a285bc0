"""Robustness: adversarial attacks, the minimal perturbation, patches, defences and corruption curves."""

from __future__ import annotations

from robustness.adversarial import attack, stream_attack
from robustness.attack_methods import ATTACKS
from robustness.defences import DEFENCES, run_defences
from robustness.minimal import find_minimal_perturbation, stream_minimal_perturbation
from robustness.patch import train_patch
from robustness.problem import AttackResult

__all__ = [
    "ATTACKS", "DEFENCES", "AttackResult", "attack", "find_minimal_perturbation", "run_defences", "stream_attack",
    "stream_minimal_perturbation", "train_patch",
]  # fmt: skip
