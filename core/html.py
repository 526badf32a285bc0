"""Parts of HTML reports: templates, pictures inside the page, and small line plots."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


def render_template(template: Path, **values: Any) -> str:
    """Fill a Jinja2 template and return the HTML.

    Args:
        template: The template file. It may extend "report.html", the frame of every report, and include files of its folder.
        **values: Variables of the template. Text is escaped, unless it is a `markupsafe.Markup`.

    Returns:
        The HTML as one string.

    Raises:
        jinja2.UndefinedError: If the template uses a variable that is not given.
    """
    loader = FileSystemLoader([template.parent, TEMPLATES])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template.name).render(**values)


def encode_html(html: str) -> bytes:
    """The bytes of an HTML page. A file name that is no UTF-8 is written with escapes: it must not lose the report."""
    return html.encode("utf-8", "backslashreplace")


def data_url(pixels: np.ndarray, quality: int = 82) -> str:
    """uint8 pixels (H, W, 3) as a `data:` URL with a JPEG of that quality, so that a page needs no other file.

    >>> data_url(np.zeros((16, 16, 3), np.uint8))[:27]
    'data:image/jpeg;base64,/9j/'
    """
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


class Plot:
    """A small line plot in SVG. Its text has the text colour of the page.

    Args:
        x_label: Name of the horizontal axis.
        y_label: Name of the vertical axis.
        x: The first and the last value on the horizontal axis.
        y: The lowest and the highest value on the vertical axis; values outside are moved to the edge.

    >>> plot = Plot("epoch", "accuracy", (1, 3), (0, 1))
    >>> plot.line([1, 2, 3], [0.5, 0.7, 0.8], "#36c", title="held out")
    >>> plot.svg()[:20]
    '<svg viewBox="0 0 38'
    """

    width, height, left, bottom, top = 380, 240, 48, 36, 12

    def __init__(self, x_label: str, y_label: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x: Callable[[float], float] = lambda value: (
            self.left + (value - x[0]) / (x[1] - x[0]) * (self.width - self.left - 12)
        )
        self._y: Callable[[float], float] = lambda value: (
            self.top + (y[1] - min(max(value, y[0]), y[1])) / (y[1] - y[0]) * (self.height - self.bottom - self.top)
        )
        self._legend = 0
        self._parts = []
        for share in (0, 0.25, 0.5, 0.75, 1):
            level, place = y[0] + share * (y[1] - y[0]), x[0] + share * (x[1] - x[0])
            place = round(place) if x[1] > 1 else place  # epochs are whole numbers
            at = f"{self._y(level):.1f}"
            self._parts += [
                f'<line x1="{self.left}" x2="{self.width - 12}" y1="{at}" y2="{at}" stroke="#8883"/>',
                f'<text x="{self.left - 6}" y="{at}" dy="4" text-anchor="end">{level:.2g}</text>',
                f'<text x="{self._x(place):.1f}" y="{self.height - 20}" text-anchor="middle">{place:.3g}</text>',
            ]
        self._parts += [
            f'<text x="{self.width / 2}" y="{self.height - 4}" text-anchor="middle">{escape(x_label)}</text>',
            f'<text transform="translate(11 {self.height / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
        ]

    def line(self, x: Sequence[float], y: Sequence[float], colour: str, title: str = "", dots: bool = False) -> None:
        """Draw a line through points.

        Args:
            x: Horizontal positions.
            y: Vertical positions, one for each of `x`.
            colour: Any CSS colour.
            title: Name in the legend; without it the line is not in the legend.
            dots: Whether to mark every point.
        """
        points = [(self._x(a), self._y(b)) for a, b in zip(x, y, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        self._parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if dots or len(points) == 1:
            self._parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in points]
        if title:
            self._legend += 1
            place = self.top + 14 * self._legend
            self._parts.append(
                f'<line x1="{self.width - 96}" x2="{self.width - 80}" y1="{place - 4}" y2="{place - 4}" stroke="{colour}" '
                f'stroke-width="3"/><text x="{self.width - 75}" y="{place}">{escape(title)}</text>'
            )

    def band(self, x: Sequence[float], mean: Sequence[float], deviation: Sequence[float], colour: str) -> None:
        """Fill the area between mean - deviation and mean + deviation.

        Args:
            x: Horizontal positions.
            mean: The middle of the band, one for each of `x`.
            deviation: Half the height of the band, such as a standard deviation.
            colour: Any CSS colour.
        """
        rows = list(zip(x, mean, deviation, strict=True))
        edge = [(a, m + d) for a, m, d in rows] + [(a, m - d) for a, m, d in reversed(rows)]
        path = " ".join(f"{self._x(a):.1f},{self._y(b):.1f}" for a, b in edge)
        self._parts.append(f'<polygon points="{path}" fill="{colour}" opacity="0.18"/>')

    def svg(self) -> str:
        """The plot as an SVG element."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" role="img" fill="currentColor" '
            f'font-family="system-ui, sans-serif" font-size="11">{"".join(self._parts)}</svg>'
        )
