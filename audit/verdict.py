"""The verdict on a class: clean, suspect or shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from audit.cues import KINDS

Verdict = Literal["clean", "suspect", "shortcut"]

# Thresholds, chosen on planted data sets. docs/SHORTCUTS.md names the seeds, and the results on other seeds.
SUSPECT_EFFECT = 0.2  # effect size from which a class is suspect
SHORTCUT_EFFECT = 0.5  # effect size from which it is a shortcut
CORNER_SHARE = 0.7  # of the effect of text: if the corners reach it, the text is in a corner, which is more precise
SIGNIFICANT_ERRORS = 3.5  # an effect is significant if it is larger than this number of standard errors

CUE_NAMES = {
    "background": "the background",
    "border": "the border",
    "corners": "the corners",
    "text": "text in the picture",
    "brightness": "the brightness",
    "colour": "the colour cast",
    "sharpness": "the sharpness",
    "compression": "the JPEG compression",
}
ADVICE = {
    "background": "Photograph class {label} on the backgrounds of the other classes, and the other classes on its background.",
    "border": "Crop the borders, or give every class the same border.",
    "corners": "Crop or paint over logos and timestamps in the corners, or add them to every class.",
    "text": "Paint over the text, or collect pictures of every class with and without text.",
    "brightness": "Photograph all classes in the same weather and light, or vary the brightness in training.",
    "colour": "Use the same white balance for every class, or vary the colours in training.",
    "sharpness": "Use the same camera and resolution for every class, or vary the blur in training.",
    "compression": "Save the pictures of every class in the same way, or vary the JPEG quality in training.",
}


@dataclass(frozen=True)
class Reliance:
    """How much the answers for one class depend on one cue.

    `kind`: the cue, one of `audit.cues.KINDS`. `effect_size`: the loss of logit margin with the cue of another class, minus
    the loss with the cue of the same class, divided by the mean absolute margin. 0 is no effect, 1 removes the whole margin,
    2 reverses it. `standard_error`: of the effect size. `accuracy_with_own_cue`, `accuracy_with_other_cue`: the share of
    pictures that are classified correctly with a cue of their own class, and with a cue of another class.
    """

    kind: str
    effect_size: float
    standard_error: float
    accuracy_with_own_cue: float
    accuracy_with_other_cue: float

    @property
    def significant(self) -> bool:
        """Whether the effect is too large to be chance."""
        return self.effect_size > SIGNIFICANT_ERRORS * self.standard_error


@dataclass(frozen=True)
class Judgement:
    """The verdict on a class. `strongest`: the cue with the strongest effect, None where the class is clean."""

    verdict: Verdict
    strongest: Reliance | None = None


def judge(reliances: Sequence[Reliance], subjects_given: bool = True) -> Judgement:
    """Decide whether a class depends on a cue.

    Args:
        reliances: The effects of all cues on the class.
        subjects_given: Whether masks of the subjects were given. Without masks a background is at most suspect, because it
            may contain the subject.

    Returns:
        The verdict and the strongest cue.

    >>> judge([Reliance("border", 1.8, 0.1, 1.0, 0.2), Reliance("text", 0.1, 0.1, 1.0, 1.0)]).verdict
    'shortcut'
    """
    strong = [reliance for reliance in reliances if reliance.significant and reliance.effect_size >= SUSPECT_EFFECT]
    if not strong:
        return Judgement("clean")
    strongest = _prefer_corners(max(strong, key=lambda reliance: reliance.effect_size), strong)
    if strongest.kind == "background" and not subjects_given:
        return Judgement("suspect", strongest)
    if strongest.effect_size < SHORTCUT_EFFECT:
        return Judgement("suspect", strongest)
    return Judgement("shortcut", strongest)


def _prefer_corners(strongest: Reliance, strong: Sequence[Reliance]) -> Reliance:
    """The corners instead of text, where the text is in a corner; else the strongest cue itself."""
    if strongest.kind == "text":
        for reliance in strong:
            if reliance.kind == "corners" and reliance.effect_size >= CORNER_SHARE * strongest.effect_size:
                return reliance
    return strongest


def describe_verdict(label: str, judgement: Judgement, reliances: Sequence[Reliance], subjects_given: bool) -> str:
    """The verdict on a class in words, with its figures.

    Args:
        label: The class.
        judgement: What `judge` decided.
        reliances: The effects of all cues; may be empty where the class has too few pictures.
        subjects_given: Whether masks of the subjects were given.

    Returns:
        One to three sentences.
    """
    strongest = judgement.strongest
    if strongest is None:
        if not reliances:
            return "There are too few pictures for a verdict."
        largest = max(reliances, key=lambda reliance: reliance.effect_size)
        return (
            f"Clean: the logit margin depends on none of the {len(KINDS)} tested cues. The largest effect is that of "
            f"{CUE_NAMES[largest.kind]}: {max(0.0, largest.effect_size):.0%} of the margin."
        )
    sentences = (
        f"{judgement.verdict.capitalize()}: {strongest.effect_size:.0%} of the logit margin of {label} depends on "
        f"{CUE_NAMES[strongest.kind]}. With this cue from another class, {strongest.accuracy_with_other_cue:.0%} of the "
        f"pictures are still classified correctly. With this cue from the same class: {strongest.accuracy_with_own_cue:.0%}."
    )
    if strongest.kind == "background" and not subjects_given:
        sentences += " No subject masks were given, so the audit takes the middle of each picture as its subject."
    return sentences
