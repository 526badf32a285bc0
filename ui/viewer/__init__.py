"""The viewer: a picture and a map that the browser draws; colours, opacity and views need no request."""

from __future__ import annotations

from ui.viewer.component import HEAD, VIEWER_CSS, class_list, encode_classes, encode_small_map, encode_view, viewer

__all__ = ["HEAD", "VIEWER_CSS", "class_list", "encode_classes", "encode_small_map", "encode_view", "viewer"]
