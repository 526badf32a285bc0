"""What is measured of one picture does not depend on the batch, and heat is shared out as it lies."""

from __future__ import annotations

import numpy as np
import pytest

from audit import audit
from audit.auditor import MAX_CELLS, REGIONS, Auditor, AuditSettings
from audit.regions import corners_mask
from audit.summarise import summarise
from core.errors import UserError
from models import load
from tests.audit.known_cues import SIZE, make_pictures, masked_classifier, subject_mask


def test_shares_are_those_of_the_heat() -> None:
    """Of a picture that is light all over, the heat is uniform: every region holds as much as it covers."""
    light = [np.full((*SIZE, 3), 200, np.uint8), np.full((*SIZE, 3), 40, np.uint8)] * 4
    classifier = masked_classifier(np.ones(SIZE, bool))
    auditor = Auditor(
        classifier, light, ["high", "low"] * 4, subjects=[subject_mask()] * 8, settings=AuditSettings(sample=2)
    )
    rows, excluded = auditor.measure([0, 2])
    assert excluded == []
    assert rows["heat"].shape == (2, 5, 9)
    np.testing.assert_allclose(rows["heat"], 1 / 45, rtol=1e-5)
    measured = [REGIONS.index(name) for name in ("border", "corners", "subject")]
    np.testing.assert_allclose(rows["share"][:, measured], rows["area"][:, measured], rtol=1e-3)
    result = summarise(auditor, [auditor.measure(range(8))])
    np.testing.assert_allclose(result.classes[1].heat, 1 / 45, rtol=1e-5)
    np.testing.assert_allclose(result.classes[1].standard_deviation, 0, atol=1e-6)


def test_no_way_of_cutting_the_work_changes_a_figure() -> None:
    mask = corners_mask(SIZE)
    pictures, labels = make_pictures(mask, 6)
    whole, _ = Auditor(masked_classifier(mask), pictures, labels, settings=AuditSettings(sample=3)).measure(range(12))
    other = Auditor(masked_classifier(mask), pictures, labels, settings=AuditSettings(sample=3))
    pieces = [other.measure(span)[0] for span in ([11], range(0, 5), range(5, 11))]
    for name, values in whole.items():
        joined = np.concatenate([pieces[1][name], pieces[2][name], pieces[0][name]])
        np.testing.assert_array_equal(values, joined, err_msg=name)


def test_stored_heatmaps_have_few_cells_where_a_long_picture_is_padded() -> None:
    """Of a method with one value per pixel: the picture of 5:1 covers 29,568 pixels of its canvas."""
    pictures = [np.random.default_rng(seed).integers(0, 256, (100, 500, 3), np.uint8) for seed in range(2)]
    auditor = Auditor(load("mobilenet_v2"), pictures, [0, 1], settings=AuditSettings("saliency", sample=2))
    assert auditor.classifier.geometry((100, 500)).padded
    assert np.prod(auditor.grid) <= MAX_CELLS
    assert Auditor(load("mobilenet_v2"), pictures, [0, 1]).grid == (2, 12)


def test_an_example_shows_the_exchange_and_its_control() -> None:
    mask = corners_mask(SIZE)
    pictures, labels = make_pictures(mask)
    auditor = Auditor(masked_classifier(mask), pictures, labels)
    low = labels.index("low")
    rival, control = (auditor.example(low, "corners", own_class=own_class) for own_class in (False, True))
    assert (rival.prediction_before[0], rival.prediction_after[0]) == ("low", "high")
    assert control.prediction_after[0] == "low"
    np.testing.assert_array_equal(rival.after[mask], rival.donor[mask])
    np.testing.assert_array_equal(rival.after[~mask], rival.before[~mask])


def test_what_cannot_be_audited_is_refused_in_a_sentence() -> None:
    classifier = masked_classifier(corners_mask(SIZE))
    pictures, _ = make_pictures(corners_mask(SIZE), 2)
    with pytest.raises(UserError, match="at least two"):
        audit(classifier, pictures, ["low"] * 4)
    with pytest.raises(UserError, match="no class 'middle'"):
        audit(classifier, pictures, ["low", "middle"] * 2)
    with pytest.raises(UserError, match="one label"):
        audit(classifier, pictures, ["low", "high"])
