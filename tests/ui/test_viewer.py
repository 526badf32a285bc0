"""What the server sends to the viewer, and links into the Explain tab."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explain import explain
from models import load
from models.classifier import Prediction
from samples import SAMPLES
from ui.class_maps import class_maps, gives_all_classes
from ui.controls import PREDICTED
from ui.explain_links import EXAMPLE, NO_CLASS, ORDER, Link, sample_name
from ui.viewer import HEAD, encode_classes, encode_small_map, encode_view

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)


def decoded(url: str) -> np.ndarray:
    assert url.startswith("data:image/")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))


def test_a_map_travels_as_grey_levels() -> None:
    values = np.linspace(0, 1, 90 * 160).reshape(90, 160)
    view = encode_view(PIXELS, values, "a sentence", label="cat")
    (grey,) = map(decoded, view["maps"])
    assert grey.shape == values.shape
    assert np.abs(grey / 255 - values).max() <= 0.5 / 255 + 1e-9
    assert (view["text"], view["label"]) == ("a sentence", "cat")
    assert decoded(view["picture"]).shape == PIXELS.shape


def test_a_signed_map_travels_as_two() -> None:
    values = np.array([[-1.0, 0.0, 0.5]])
    plus, minus = map(decoded, encode_view(None, values, "", signed=True)["maps"])
    np.testing.assert_array_equal(plus, [[0, 0, 128]])
    np.testing.assert_array_equal(minus, [[255, 0, 0]])


def test_large_maps_and_pictures_are_made_small() -> None:
    view = encode_view(np.zeros((1440, 2560, 3), np.uint8), np.ones((1440, 2560)), "")
    assert decoded(view["maps"][0]).shape == (270, 480)
    assert decoded(view["picture"]).shape == (540, 960, 3)


def test_the_picture_is_sent_once() -> None:
    assert encode_view(None, np.ones((2, 2)), "")["picture"] == ""


def test_the_list_of_classes_says_which_one_is_explained() -> None:
    top = [Prediction(0, "cat", 0.7), Prediction(1, "<dog>", 0.2)]
    value = encode_classes(PIXELS, top, "cat", "<dog>", {"cat": encode_small_map(np.ones((90, 160)))})
    assert [(row["label"], row["probability"], bool(row["map"])) for row in value["classes"]] == [
        ("cat", 0.7, True), ("<dog>", 0.2, False),
    ]  # fmt: skip
    assert (value["target"], value["against"]) == ("cat", "<dog>")


def test_every_class_has_its_own_map_from_one_pass() -> None:
    classifier, path = load("mobilenet_v2"), EXAMPLE.path
    pixels = np.asarray(Image.open(path).convert("RGB"))
    explanation = explain(pixels, classifier)
    assert gives_all_classes(explanation)
    maps = class_maps(explanation, classifier, pixels)
    assert list(maps) == [prediction.label for prediction in explanation.top]
    for label in list(maps)[:2]:
        np.testing.assert_allclose(maps[label], explain(pixels, classifier, target=label).heatmap, atol=1e-5)
    assert not gives_all_classes(explain(pixels, classifier, against=explanation.top[1].index))


def test_the_scripts_are_in_the_head_of_the_page() -> None:
    assert HEAD.count("<script>") == HEAD.count("</script>") == 3
    assert "window.attachViewer" in HEAD
    assert "window.attachClasses" in HEAD
    assert "http" not in HEAD


def test_thumbnails_come_first() -> None:
    kinds = [sample.kind for sample in ORDER]
    assert kinds == sorted(kinds, reverse=True)
    assert set(ORDER) == set(SAMPLES)


def test_a_link_is_read() -> None:
    assert Link.read({}) == Link(EXAMPLE, "mobilenet_v2", "grad-cam", PREDICTED, NO_CLASS, "")
    query = {"sample": "cat", "method": "rise", "target": "TABBY", "against": "tiger cat", "view": "only"}
    link = Link.read(query)
    assert link.sample.path.name == "cat.jpg"
    assert link[1:] == ("mobilenet_v2", "rise", "tabby", "tiger cat", "only")


@pytest.mark.parametrize("name", ["sample", "model", "method", "target", "against", "view"])
def test_what_a_link_gets_wrong_has_its_default(name: str) -> None:
    assert Link.read({name: "../../etc/passwd"}) == Link()
    assert Link.read({"model": "vgg16"}) == Link(), "a link starts no download"


def test_only_a_sample_has_a_name(tmp_path: Path) -> None:
    cat = next(sample.path for sample in SAMPLES if sample.path.name == "cat.jpg")
    copy = Path(shutil.copy(cat, tmp_path / "cat.jpg"))
    assert sample_name(str(copy)) == "cat"
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    assert sample_name(str(copy)) == ""
    assert sample_name(None) == ""
