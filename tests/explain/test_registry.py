"""The registry: every method has all its properties."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path

import pytest

from core.errors import UserError
from core.options import Choice, Range
from explain import METHODS, Method, explain
from explain.registry import default_method
from models.classifier import Classifier
from tests.networks import picture, small_classifier
from tests.transformers import transformer

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def test_the_first_methods_are_there_the_default_first() -> None:
    assert next(iter(METHODS)) == "grad-cam"
    assert {"grad-cam", "cam", "saliency", "occlusion"} <= set(METHODS)
    assert default_method(small_classifier("gap")) == "grad-cam"


@every_method
def test_all_facts_are_given(method: Method) -> None:
    assert METHODS[method.name] is method
    assert re.fullmatch(r"[a-z0-9+-]+", method.name)
    assert method.family in {"cam", "gradient", "attention", "perturbation", "combination"}
    for text in (method.title, method.summary, method.cost, method.paper, method.link):
        assert text == text.strip() != ""
        assert "\n" not in text
    assert method.summary.endswith(".")
    assert f"{method.forward_passes} forward" in method.cost
    assert 0 < method.percentile <= 100
    assert isinstance(method.passes_sanity_check, bool)


@every_method
def test_the_link_leads_to_a_publisher(method: Method) -> None:
    assert re.fullmatch(r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|doi\.org/10\.\d{4,}/\S+)", method.link)


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
    assert (first.name, second.name) == ("view", "objective")
    for option in options:
        assert option.kind is inspect.Parameter.KEYWORD_ONLY
        assert type(option.default) in (bool, int, float, str)
    takes_layer = method.family == "cam" or method.name == "guided-grad-cam"  # `layer` is the registry's own option
    assert (
        list(method.options)
        == [option.name for option in options] + ["sign"] * bool(method.sign) + ["layer"] * takes_layer
    )
    assert method.check({}) == method.options
    for name in (option.name for option in options):
        assert re.search(rf"`{name}`|^ +([a-z]+, )*{name}(, [a-z]+)*: ", inspect.getdoc(method.function), re.MULTILINE)


@every_method
def test_it_can_be_used_from_the_table(method: Method) -> None:
    classifier = transformer() if method.family == "attention" else small_classifier("gap")
    explanation = explain(picture(), classifier, method.name, **method.options)
    assert explanation.method == method.name
    assert explanation.heatmap.shape == (16, 16)


def test_the_methods_can_be_told_apart() -> None:
    for fact in ("title", "summary", "paper"):
        assert len({getattr(method, fact) for method in METHODS.values()}) == len(METHODS)


@every_method
def test_it_costs_what_the_register_says(method: Method, mobilenet: Classifier, cat: Path) -> None:
    """Most on a small canvas, where a pass is cheap; the number of patches follows the canvas."""
    if method.family == "attention":
        explanation = explain(cat, transformer(), method.name)
    else:
        explanation = explain(cat, mobilenet, method.name, side=224 if method.name == "occlusion" else 64)
    assert explanation.forward_passes == pytest.approx(method.forward_passes, rel=0.3)
    assert explanation.backward_passes == method.backward_passes


@every_method
def test_every_option_has_bounds_and_keeps_them(method: Method) -> None:
    assert list(method.bounds) == list(method.options)
    for name, bounds in method.bounds.items():
        default = method.options[name]
        bounds.check(method.name, name, default)
        if isinstance(bounds, Range):
            outside = [bounds.least - 1, bounds.most + 1]
            if isinstance(default, float):
                outside += [math.nan, math.inf, -math.inf]
        else:
            outside = ["x" * 5000]
        says = f"{re.escape(method.name)} needs {name} of at (least|most)"
        for value in outside:
            with pytest.raises(UserError, match="There is no sign" if isinstance(bounds, Choice) else says):
                method.check({name: value})
        if name == "seed":
            assert (bounds.least, bounds.most) == (0, 2**32 - 1)
