"""The register: a method without its facts is not finished."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from explain import METHODS, Method, explain
from models.classifier import Classifier
from tests.explain.nets import from_keras, picture

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def test_the_first_methods_are_there_the_default_first() -> None:
    assert next(iter(METHODS)) == "grad-cam"
    assert {"grad-cam", "cam", "saliency", "occlusion"} <= set(METHODS)
    assert inspect.signature(explain).parameters["method"].default == "grad-cam"


@every_method
def test_all_facts_are_given(method: Method) -> None:
    assert METHODS[method.name] is method
    assert re.fullmatch(r"[a-z0-9+-]+", method.name)
    assert method.family in {"cam", "gradient", "perturbation", "combination"}
    for text in (method.title, method.summary, method.cost, method.paper):
        assert text == text.strip() != ""
        assert "\n" not in text
    assert method.summary.endswith(".")
    assert f"{method.forward} forward" in method.cost
    assert 0 < method.percentile <= 100
    assert isinstance(method.sane, bool)


@every_method
def test_the_docstring_names_the_paper(method: Method) -> None:
    author, year = re.match(r"(\w+).*?(\d{4}), ", method.paper).groups()
    text = inspect.getdoc(method.function)
    assert author in text
    assert year in text
    assert "Signed" in text or "not negative" in text


@every_method
def test_it_takes_a_view_and_a_target_and_options_with_defaults(method: Method) -> None:
    first, second, *options = inspect.signature(method.function).parameters.values()
    assert (first.name, second.name) == ("view", "target")
    for option in options:
        assert option.kind is inspect.Parameter.KEYWORD_ONLY
        assert type(option.default) in (bool, int, float, str)
    assert list(method.options) == [option.name for option in options]
    assert method.check({}) == method.options
    for name in method.options:
        assert f"`{name}`" in inspect.getdoc(method.function)


@every_method
def test_it_can_be_used_from_the_table(method: Method) -> None:
    found = explain(picture(), from_keras("gap"), method.name, **method.options)
    assert found.method == method.name
    assert found.heatmap.shape == (16, 16)


def test_the_methods_can_be_told_apart() -> None:
    for fact in ("title", "summary", "paper"):
        assert len({getattr(method, fact) for method in METHODS.values()}) == len(METHODS)


@every_method
def test_it_costs_what_the_register_says(method: Method, mobilenet: Classifier, cat: Path) -> None:
    """Most on a small canvas, where a pass is cheap; the number of patches follows the canvas."""
    found = explain(cat, mobilenet, method.name, canvas=224 if method.name == "occlusion" else 64)
    assert found.forward_passes == pytest.approx(method.forward, rel=0.3)
    assert found.backward_passes == method.backward
