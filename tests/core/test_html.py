"""Reports: text is escaped, the frame is shared, pictures are inside the page, plots show what they are given."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import jinja2
import numpy as np
import pytest
from markupsafe import Markup

from core.html import Plot, data_url, render_template


def template(folder: Path, content: str, name: str = "page.html") -> Path:
    (folder / name).write_text(content)
    return folder / name


def test_labels_are_escaped(tmp_path: Path) -> None:
    page = template(tmp_path, '<p title="{{ label }}">{{ label }}</p>')
    label = "<script>alert('1 & 2')</script>\""
    html = render_template(page, label=label)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 2
    assert "1 &amp; 2" in html
    assert ElementTree.fromstring(html).text == label


def test_markup_is_not_escaped(tmp_path: Path) -> None:
    assert render_template(template(tmp_path, "{{ plot }}"), plot=Markup("<svg/>")) == "<svg/>"


def test_a_report_extends_the_shared_frame(tmp_path: Path) -> None:
    content = """{% extends "report.html" %}
    {% block title %}Audit of {{ name }}{% endblock %}
    {% block style %}.own { color: red }{% endblock %}
    {% block body %}<h1>{{ name }}</h1>{% endblock %}"""
    html = render_template(template(tmp_path, content), name="<tanks>")
    assert html.startswith("<!doctype html>")
    assert "<title>Audit of &lt;tanks&gt;</title>" in html
    assert "<h1>&lt;tanks&gt;</h1>" in html
    assert ".own { color: red }" in html
    assert "color-scheme: light dark" in html
    assert not re.search(r"(src|href)=", html), "the frame loads nothing"


def test_a_template_includes_its_neighbours(tmp_path: Path) -> None:
    template(tmp_path, "<td>{{ value }}</td>", "cell.html")
    page = template(tmp_path, '{% for value in values %}{% include "cell.html" %}{% endfor %}')
    assert render_template(page, values=["a", "<b>"]) == "<td>a</td><td>&lt;b&gt;</td>"


def test_a_missing_value_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="accuracy"):
        render_template(template(tmp_path, "{{ accuracy }}"))


def test_a_data_url_decodes_to_the_picture() -> None:
    rows, columns = np.mgrid[:48, :64]
    pixels = np.stack([rows * 4, columns * 3, 255 - rows - columns], axis=-1).astype(np.uint8)
    kind, encoded = data_url(pixels).split(",")
    assert kind == "data:image/jpeg;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).mean() < 3  # red is red, and JPEG loses little of smooth colours


def points(element: ElementTree.Element) -> np.ndarray:
    return np.array([pair.split(",") for pair in element.attrib["points"].split()], float)


def test_a_plot_maps_its_ranges_to_its_corners() -> None:
    plot = Plot("epoch", "accuracy", (1, 5), (0, 2))
    plot.line([1, 3, 5], [0, 1, 5], "red")  # 5 is above the range and moves to its edge
    (line,) = ElementTree.fromstring(plot.svg()).iter("polyline")
    left, right, bottom, top = plot.left, plot.width - 12, plot.height - plot.bottom, plot.top
    assert points(line) == pytest.approx(
        np.array([(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top)])
    )
    assert line.attrib["stroke"] == "red"


def test_a_band_is_one_deviation_either_side() -> None:
    plot = Plot("epoch", "loss", (0, 1), (0, 1))
    plot.band([0, 1], [0.5, 0.5], [0.25, 0.5], "blue")
    (band,) = ElementTree.fromstring(plot.svg()).iter("polygon")
    height = plot.height - plot.bottom - plot.top
    shares = (plot.height - plot.bottom - points(band)[:, 1]) / height
    assert shares == pytest.approx([0.75, 1, 0, 0.25], abs=1e-3)


def test_text_in_a_plot_is_escaped_and_named_lines_are_in_the_legend() -> None:
    plot = Plot("<epoch>", "a & b", (0, 1), (0, 1))
    plot.line([0, 1], [0, 1], "red", title="<held out>")
    plot.line([0.5], [0.5], "red")
    svg = ElementTree.fromstring(plot.svg())
    texts = [element.text for element in svg.iter("text")]
    assert {"<epoch>", "a & b", "<held out>"} <= set(texts)
    assert len(list(svg.iter("circle"))) == 1, "one point alone is a dot, for it has no line"
