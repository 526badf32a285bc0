"""Pictures from a browser: the file of an upload, and the frames of a camera."""

from __future__ import annotations

import base64
import io
import time

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import Image

from ui.picture_input import CameraInput


def frame(content: bytes, kind: str = "jpeg") -> ImageData:
    return ImageData(url=f"data:image/{kind};base64,{base64.b64encode(content).decode()}")


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def camera() -> CameraInput:
    with gr.Blocks():
        return CameraInput(sources=["webcam"], streaming=True)


def test_frames_become_pixels(camera: CameraInput) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    read = camera.preprocess(frame(encoded(pixels, "png"), "png"))
    assert np.array_equal(read, pixels)
    assert camera.preprocess(None) is None
    assert camera.preprocess(ImageData()) is None


@pytest.mark.parametrize(
    "payload",
    [
        ImageData(url="http://127.0.0.1/a.png"),
        ImageData(url="file:///etc/passwd"),
        ImageData(url="data:text/html;base64,AAAA"),
        ImageData(url="data:image/png;base64,A"),
        ImageData(url="data:image/png;base64"),
        ImageData(path="/etc/passwd"),
        ImageData(path="samples/photos/cat.jpg", url="data:image/png;base64,AAAA"),
        frame(b""),
        frame(b"no picture"),
        frame(encoded(np.zeros((4, 4, 3), np.uint8), "png")),
    ],
    ids=str,
)
def test_other_frames_are_a_sentence(camera: CameraInput, payload: ImageData) -> None:
    with pytest.raises(gr.Error) as caught:
        camera.preprocess(payload)
    assert str(caught.value.message).endswith(".")


def test_a_frame_of_too_many_pixels_is_not_decoded(camera: CameraInput, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("1", (13_000, 13_600)).save(file, "png")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    start = time.perf_counter()
    with pytest.raises(gr.Error, match="pixels; scale it down"):
        camera.preprocess(frame(file.getvalue(), "png"))
    assert time.perf_counter() - start < 0.5
