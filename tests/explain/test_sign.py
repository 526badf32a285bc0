"""What a heatmap shows of a map whose pixels have both signs: the option `sign`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.errors import UnknownNameError
from explain import METHODS, ExplainSettings, explain, render
from explain.metrics.faithfulness import deletion, insertion
from explain.metrics.sanity import trust
from explain.metrics.similarity import spearman
from explain.result import Explanation
from explain.view import View
from tests.networks import linear, picture, small_classifier

SIGNED = ["gradient-x-input", "integrated-gradients", "blur-ig", "guided-ig"]


def _explain(method: str, **options: Any) -> Explanation:
    return explain(picture(40, 52), small_classifier("gap"), method, 0, **options)


def test_the_methods_whose_pixels_have_both_signs_have_the_option() -> None:
    assert [name for name, method in METHODS.items() if "sign" in method.options] == SIGNED
    for method in SIGNED:
        assert (_explain(method).raw < 0).any()
    with pytest.raises(UnknownNameError, match="saliency has no options; leave out 'sign'"):
        _explain("saliency", sign="absolute")
    with pytest.raises(UnknownNameError, match=r"There is no sign 'both'.*positive, absolute, signed"):
        _explain("blur-ig", sign="both")


@pytest.mark.parametrize("method", SIGNED)
def test_absolute_values(method: str) -> None:
    """The raw map keeps its signs; heatmap and peak are those of its size."""
    plain, found = _explain(method, sign="positive"), _explain(method, sign="absolute")
    np.testing.assert_array_equal(found.raw, plain.raw)
    size = np.abs(found.geometry.restore(found.raw))
    np.testing.assert_array_equal(found.ranking, size)
    assert spearman(found.heatmap.ravel(), size.ravel()) == pytest.approx(1, abs=1e-6)
    assert found.peak == np.unravel_index(size.argmax(), size.shape)
    assert found.heatmap[found.peak] == found.heatmap.max() == 1
    assert (found.heatmap > 0).mean() > 0.95 > (plain.heatmap > 0).mean()
    assert "absolute values" in " ".join(found.notes)
    assert "absolute values" not in " ".join(plain.notes)


def test_absolute_values_of_a_linear_model_are_those_of_weights_times_pixels() -> None:
    pixels, classifier = picture(), linear()
    wanted = np.abs((classifier.head.weights[..., 1] * pixels).sum(-1))
    found = explain(pixels, classifier, "gradient-x-input", 1, sign="absolute")
    np.testing.assert_allclose(found.ranking, wanted, atol=1e-4 * wanted.max())


@pytest.mark.parametrize("method", SIGNED)
def test_both_signs(method: str) -> None:
    plain, found = _explain(method, sign="positive"), _explain(method, sign="signed")
    values = found.geometry.restore(found.raw)
    assert plain.signed is None
    assert found.against is None
    assert found.signed is not None
    np.testing.assert_array_equal(found.heatmap, plain.heatmap)
    np.testing.assert_array_equal(np.sign(found.signed), np.sign(values))
    assert spearman(found.signed.ravel(), values.ravel()) == pytest.approx(1, abs=1e-6)
    drawn = render.draw(picture(40, 52), found, opacity=0.9)
    np.testing.assert_array_equal(drawn, render.overlay_signed(picture(40, 52), found.signed, 0.9))
    assert (render.legend(found, 600) != render.legend(plain, 600)).any()


def test_a_contrast_always_shows_both_signs() -> None:
    for sign in ("positive", "absolute"):
        found = _explain("integrated-gradients", against=2, sign=sign)
        assert found.parameters["sign"] == "signed"
        np.testing.assert_array_equal(found.heatmap > 0, found.signed > 0)


@pytest.mark.parametrize("sign", ["positive", "absolute", "signed"])
def test_what_checks_a_map_follows_what_it_shows(sign: str) -> None:
    pixels, classifier = picture(40, 52), small_classifier("gap")
    found = explain(pixels, classifier, "gradient-x-input", 0, sign=sign)
    values = found.geometry.restore(found.raw)
    values = np.abs(values) if sign == "absolute" else values
    graded, view = trust(found, classifier, pixels, samples=0), View(classifier, found.geometry, pixels)
    np.testing.assert_array_equal(graded.deletion.scores, deletion(view, values, 0).scores)
    np.testing.assert_array_equal(graded.insertion.scores, insertion(view, values, 0).scores)
    again = ExplainSettings.from_explanation(found).explain(pixels, classifier)
    np.testing.assert_array_equal(again.heatmap, found.heatmap)
