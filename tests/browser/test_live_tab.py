"""The Live tab, and screens in the Explain tab, as a visitor with a camera meets them."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from samples import ROOT
from samples.photographs import Scene, compose, list_pictures
from tests.browser.actions import download
from tests.browser.test_explain_tab import give, overlay_source, wait_for_another_view, wait_for_status


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Path]:
    """A photograph of a screen."""
    thumbnails = [path for path in list_pictures(ROOT / "thumbnails") if path.suffix == ".jpg"]
    made = compose(1005, thumbnails, list_pictures(ROOT / "photos"))
    path = tmp_path_factory.mktemp("photograph") / "screen.png"
    Image.fromarray(made.pixels).save(path)
    return made, path


def stream(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.locator("#camera").get_by_text("Click to Access Webcam").click()
    page.wait_for_function("() => document.querySelector('#camera video')?.videoWidth > 0")
    page.locator("#camera button[aria-label='capture photo']").click()
    page.wait_for_selector("#live-view img", timeout=30_000)


def shown(page: Page) -> np.ndarray:
    source = page.locator("#live-view img").get_attribute("src") or ""
    data = page.evaluate("async (url) => [...new Uint8Array(await (await fetch(url)).arrayBuffer())]", source)
    return np.asarray(Image.open(io.BytesIO(bytes(data)))).astype(int)


def test_the_stream_moves_unmirrored_and_freezes(page: Page) -> None:
    stream(page)
    pixels = shown(page)
    height, width = pixels.shape[:2]
    left, right = pixels[:, : width // 3].mean((0, 1)), pixels[:, -width // 3 :].mean((0, 1))
    assert left[0] - left[2] > 40, "the frame is red on the left"
    assert right[2] - right[0] > 40
    assert 1.2 < width / height < 1.9
    expect(page.locator("#live-view p")).to_contain_text(re.compile(r"\d+ frames per second"), timeout=20_000)
    page.locator("#freeze").click()
    wait_for_status(page, "Grad-CAM on MobileNetV2")
    expect(page.get_by_role("tab", name="Explain")).to_have_attribute("aria-selected", "true")


def test_a_frozen_screen_keeps_its_corners(page: Page, scene: tuple[Scene, Path]) -> None:
    made, path = scene
    page.evaluate(
        """async (data) => {
          const image = new Image();
          image.src = "data:image/png;base64," + data;
          await image.decode();
          const canvas = Object.assign(document.createElement("canvas"), { width: 1280, height: 720 });
          const draw = () => canvas.getContext("2d").drawImage(image, 0, 0);
          setInterval(draw, 100);
          draw();
          navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(10);
        }""",
        base64.b64encode(path.read_bytes()).decode(),
    )
    stream(page)
    expect(page.locator("#live-view p")).to_contain_text("Screen found", timeout=30_000)
    page.locator("#freeze").click()
    expect(page.locator("#screen-note")).to_contain_text("Frozen frame", timeout=20_000)
    wait_for_status(page, "Grad-CAM on MobileNetV2")
    parameters = json.loads(download(page, "download-json"))["parameters"]
    assert parameters["frozen_live"] is True
    assert parameters["screen"]["photograph"] == [540, 960]
    assert np.abs(np.array(parameters["screen"]["corners"]) / 0.75 - made.corners).max() < 16


def test_two_viewers_both_keep_moving(visit: Callable) -> None:
    with visit() as one, visit() as other:
        for page in (one, other):
            page.evaluate(
                """() => {
                  const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
                  const context = canvas.getContext("2d");
                  let step = 0;
                  setInterval(() => {
                    context.fillStyle = `hsl(${(step += 7)} 80% 50%)`;
                    context.fillRect(0, 0, 640, 360);
                  }, 50);
                  navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(20);
                }"""
            )
            stream(page)
        for page in (one, other):
            page.evaluate(
                """() => {
                  window.views = new Set();
                  setInterval(() => window.views.add(document.querySelector("#live-view img").src), 50);
                }"""
            )
        for page in (one, other):
            page.wait_for_function("() => window.views.size > 5", timeout=30_000)


TROUBLES = {
    "NotAllowedError": "The camera is blocked. Click the icon left of the address",
    "NotReadableError": "The camera is busy. Close the other tab or program",
    "NotFoundError": "No camera was found. Connect one and try again",
}


def test_a_camera_that_cannot_be_had_says_what_to_do(browser: Browser, url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', window.trouble); };"
    )
    page.goto(url)
    page.get_by_role("tab", name="Live").click()
    for name, words in TROUBLES.items():
        page.evaluate("(name) => (window.trouble = name)", name)
        page.locator("#camera").get_by_text("Click to Access Webcam").click()
        expect(page.locator(".camera-hint:visible")).to_contain_text(words)
    context.close()


def test_a_page_without_https_says_so(browser: Browser, url: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined, configurable: true });")
    page.goto(url)
    page.get_by_role("tab", name="Live").click()
    page.locator("#camera").get_by_text("Click to Access Webcam").click()
    expect(page.locator(".camera-hint:visible")).to_contain_text("Open this page with https")
    context.close()


def test_a_screen_is_found_corrected_and_passed_over(visit: Callable, scene: tuple[Scene, Path]) -> None:
    made, path = scene
    with visit() as page:
        give(page, path)
        expect(page.locator("#screen-note")).to_contain_text("A screen was found", timeout=20_000)
        wait_for_status(page, "Grad-CAM on MobileNetV2")
        facts = json.loads(download(page, "download-json"))
        corners = np.array(facts["parameters"]["screen"]["corners"])
        assert np.abs(corners - made.corners).max() < 12

        photograph = page.locator("#screen-photo img")
        box = photograph.bounding_box()
        assert box is not None
        scale = min(box["width"] / 1280, box["height"] / 720)  # the picture is fitted into its place

        def tap(x: float, y: float) -> None:
            left, top = (box["width"] - 1280 * scale) / 2, (box["height"] - 720 * scale) / 2
            photograph.click(position={"x": left + x * scale, "y": top + y * scale})

        x, y = corners[0]
        tap(x, y)
        expect(page.locator("#screen-note")).to_contain_text("Now tap", timeout=20_000)
        before = overlay_source(page)
        tap(x + 40, y + 40)
        expect(page.locator("#screen-note")).to_contain_text("The corner was moved", timeout=20_000)
        wait_for_another_view(page, before)

        page.locator("#screen-toggle").click()
        expect(page.locator("#screen-note")).to_contain_text("The whole photograph is explained", timeout=20_000)
        for _ in range(50):
            facts = json.loads(download(page, "download-json"))
            if "screen" not in facts["parameters"]:
                break
        assert facts["parameters"]["size"] == [720, 1280]


def test_a_plain_picture_offers_corners_by_hand(page: Page) -> None:
    give(page, ROOT / "photos" / "cat.jpg")
    wait_for_status(page, "Egyptian cat")
    expect(page.locator("#screen")).to_be_hidden()
    page.locator("#screen-mark").click()
    expect(page.locator("#screen-note")).to_contain_text("Tap near a corner", timeout=20_000)
