"""The verdict on classifiers whose cue is known because they were made so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from audit import audit
from audit.regions import border_mask, corners_mask
from audit.verdict import CUE_NAMES, Judgement, Reliance, judge
from tests.audit.known_cues import (
    LABELS,
    SIZE,
    MaskedBrightness,
    audit_of,
    background_mask,
    classifier_of,
    subject_mask,
)

MASKS = {"border": border_mask(SIZE), "corners": corners_mask(SIZE)}


@pytest.mark.parametrize("kind", ["border", "corners"])
def test_a_cue_that_is_all_there_is_turns_the_whole_margin_round(kind: str) -> None:
    result = audit_of(MASKS[kind])
    assert result.accuracy == 1
    assert (result.verdict, result.kind) == ("shortcut", kind)
    for each in result.classes:
        assert each.kind == kind
        reliances = {reliance.kind: reliance for reliance in each.reliances}
        assert reliances[kind].effect_size == pytest.approx(2, abs=0.05)  # as far on the other side
        assert reliances[kind].accuracy_with_own_cue == 1
        assert reliances[kind].accuracy_with_other_cue == 0
        assert abs(reliances["background"].effect_size) < 0.05
        assert each.advice
        for fact in (each.label, CUE_NAMES[kind], f"{reliances[kind].effect_size:.0%}", "0%", "100%"):
            assert fact in each.sentence
    assert CUE_NAMES[kind] in result.sentence


def test_the_background_is_recognised_by_its_texture_where_its_lightness_is_matched() -> None:
    """Stripes against their own mean: the exchange moves lightness to the picture's, not the pattern."""
    wide = np.where(np.arange(SIZE[1]) // 24 % 2, 1, -1)  # wider than any stroke of text
    stripes = np.repeat(wide[None], SIZE[0], 0).astype(np.float32)

    class Stripes(MaskedBrightness):
        def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return super().forward(120 + (batch - batch.mean((1, 2), keepdims=True)) * stripes[..., None])

    classifier = classifier_of(Stripes(background_mask()), "stripes")
    rng = np.random.default_rng(1)
    pictures, labels = [], []
    for at in range(12):
        pixels = 120 + rng.normal(0, 6, SIZE) + 30 * stripes * (1 if at % 2 else -1)
        pictures.append(np.repeat(np.clip(pixels, 0, 255).astype(np.uint8)[..., None], 3, -1))
        labels.append(LABELS[at % 2])
    result = audit(classifier, pictures, labels, subjects=[subject_mask()] * 12, sample=6)
    assert (result.verdict, result.kind) == ("shortcut", "background")
    effects = [r.effect_size for each in result.classes for r in each.reliances if r.kind == "background"]
    assert effects == [pytest.approx(2, abs=0.3)] * 2
    unmasked = audit(classifier, pictures, labels, sample=2)
    assert not unmasked.subjects_given
    assert all(each.verdict != "shortcut" or each.kind != "background" for each in unmasked.classes)


def test_the_weather_is_told_as_brightness_and_by_statistics_alone() -> None:
    result = audit_of(np.ones(SIZE, bool))
    assert (result.verdict, result.kind) == ("shortcut", "brightness")
    assert result.probe > 0.95
    assert "lightness" in result.strongest_statistics
    assert result.chance == 0.5


def test_who_looks_at_the_subject_is_clean() -> None:
    result = audit_of(subject_mask())
    assert result.verdict == "clean"
    assert result.kind == ""
    assert result.sentence.startswith("Clean")
    for each in result.classes:
        assert each.evidence["kept"]["mean"] == 1
        effects = {reliance.kind: reliance.effect_size for reliance in each.reliances}
        assert max(abs(effects[kind]) for kind in ("background", "border", "corners", "text")) < 0.05
    high = next(each for each in result.classes if each.label == "high")
    # Cells of 32 that the subject only touches hold the same evidence, so that some of the heat lies just outside it.
    share, area = high.shares["subject"]
    assert area == pytest.approx(subject_mask().mean(), abs=1e-3)
    assert share > 5 * area


def test_the_keys_of_audit_json_stay() -> None:
    """Those of the first release, in their order: programs read them."""
    facts = json.loads(json.dumps(audit_of(border_mask(SIZE)).to_dict(), allow_nan=False))
    assert list(facts) == [
        "model", "method", "pictures", "accuracy", "classes", "probe", "chance", "telling", "refused", "given", "verdict",
        "kind", "sentence",
    ]  # fmt: skip
    assert list(facts["classes"][0]) == [
        "label", "pictures", "accuracy", "shares", "clusters", "reliances", "evidence", "verdict", "kind", "sentence",
        "advice",
    ]  # fmt: skip
    assert list(facts["classes"][0]["reliances"][0]) == ["kind", "part", "error", "own", "other"]
    assert list(facts["classes"][0]["clusters"][0]) == ["members", "typical", "accuracy"]


@pytest.mark.parametrize(("corners", "kind"), [(1.05, "corners"), (1.03, "text"), (0.1, "text")])
def test_text_in_a_corner_is_judged_as_the_corners(corners: float, kind: str) -> None:
    """Where the corners have at least 70% of the effect of text."""
    reliances = [Reliance("corners", corners, 0.01, 1, 0), Reliance("text", 1.5, 0.01, 1, 0)]
    judgement = judge(reliances)
    assert judgement.verdict == "shortcut"
    assert judgement.strongest
    assert judgement.strongest.kind == kind


@pytest.mark.parametrize(
    ("effect", "error", "given", "verdict"),
    [
        (0.6, 0.1, True, "shortcut"),
        (0.6, 0.1, False, "suspect"),
        (0.4, 0.1, True, "suspect"),
        (0.4, 0.2, True, "clean"),
        (0.1, 0.01, True, "clean"),
    ],
)
def test_a_background_is_judged_by_its_effect_its_error_and_the_masks(
    effect: float, error: float, given: bool, verdict: str
) -> None:
    reliance = Reliance("background", effect, error, 1, 0)
    assert judge([reliance], given) == Judgement(verdict, None if verdict == "clean" else reliance)  # type: ignore[arg-type]
