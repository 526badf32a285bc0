"""The report is one file, it holds every figure, and it escapes what comes from file names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit import Audit
from audit.auditor import Auditor, AuditSettings
from audit.cues import KINDS
from audit.regions import border_mask
from audit.report import (
    EXAMPLES,
    describe_class,
    describe_probe,
    heatmap_tile,
    picture_tile,
    render_effects,
    render_overview,
    render_report,
)
from audit.summarise import summarise
from audit.verdict import CUE_NAMES
from tests.audit.known_cues import SIZE, make_pictures, masked_classifier, subject_mask


@pytest.fixture(scope="module")
def auditor() -> Auditor:
    mask = border_mask(SIZE)
    pictures, labels = make_pictures(mask)
    return Auditor(
        masked_classifier(mask), pictures, labels, subjects=[subject_mask()] * 12, settings=AuditSettings(sample=6)
    )


@pytest.fixture(scope="module")
def result(auditor: Auditor) -> Audit:
    return summarise(auditor, [auditor.measure(range(12))])


def test_the_report_is_one_file_with_every_part(auditor: Auditor, result: Audit) -> None:
    html = render_report(result, auditor)
    assert "http" not in html.replace("http-equiv", "")
    assert html.startswith("<!doctype html>")
    pictures = sum(2 + 3 * EXAMPLES for _ in result.classes)
    pictures += sum(1 + len(cluster.typical[:4]) for each in result.classes for cluster in each.clusters)
    assert html.count("data:image/jpeg;base64,") == pictures
    assert html.count(render_overview(result)) == html.count(render_effects(result)) == 1
    assert result.sentence in html
    assert describe_probe(result) in html
    for each in result.classes:
        assert each.sentence in html
        assert each.advice in html
        assert all(sentence in html for sentence in describe_class(each))


def test_tables_show_every_class_and_cue(result: Audit) -> None:
    effects = render_effects(result)
    assert all(f"<th>{kind}</th>" in effects for kind in KINDS)
    for each in result.classes:
        assert each.label in effects
        assert all(f"{r.effect_size:.0%}<small> ± {r.standard_error:.0%}</small>" in effects for r in each.reliances)
    strong = sum(r.significant and r.effect_size >= 1 for each in result.classes for r in each.reliances)
    weak = sum(not r.significant for each in result.classes for r in each.reliances)
    assert strong >= 2  # the border, of both classes
    assert weak >= 2
    assert effects.count("0.70)") == strong  # full shade
    assert effects.count("0.00)") >= weak  # none


def test_text_from_outside_is_escaped(auditor: Auditor, result: Audit) -> None:
    hostile = replace(result, model="<b>m</b>", excluded=((0, "'<script>.jpg' is damaged"),))
    html = render_report(hostile, auditor)
    assert "<b>m</b>" not in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_sentences_hold_the_figures(result: Audit) -> None:
    probe = describe_probe(result)
    assert f"{result.probe:.0%}" in probe
    assert f"{result.chance:.0%}" in probe
    assert all(name in probe for name in result.strongest_statistics)
    assert CUE_NAMES["border"] in result.sentence
    assert np.isfinite(result.probe)
    assert "too few" in describe_probe(replace(result, probe=float("nan")))


def test_tiles_have_the_size_of_the_report(auditor: Auditor) -> None:
    assert heatmap_tile(np.eye(3)).shape == (108, 192, 3)
    assert picture_tile(auditor, 0, np.eye(3)).shape == picture_tile(auditor, 0).shape == (108, 194, 3)
