"""Attribution: an image and a classifier give a heatmap.

>>> from explain import explain
>>> from models import load
>>> explain("samples/photos/cat.jpg", load("mobilenet_v2")).label
'Egyptian cat'
"""

from __future__ import annotations

from explain.api import SMOOTH, ExplainSettings, explain, stream
from explain.quality import QUALITIES
from explain.registry import METHODS, Method
from explain.result import Explanation

__all__ = ["METHODS", "QUALITIES", "SMOOTH", "ExplainSettings", "Explanation", "Method", "explain", "stream"]
