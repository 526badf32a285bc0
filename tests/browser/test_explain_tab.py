"""The Explain tab as a visitor meets it."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from samples import SAMPLES

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"
CAT, COFFEE = PHOTOS / "cat.jpg", PHOTOS / "coffee.jpg"


def give(page: Page, path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)


def wait_for_status(page: Page, text: str | re.Pattern, seconds: float = 30) -> None:
    expect(page.locator("#status")).to_contain_text(text, timeout=seconds * 1000)


def choose(page: Page, dropdown: str, option: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def download(page: Page, kind: str) -> bytes:
    button = page.locator(f"#download-{kind}")
    expect(button).to_be_enabled(timeout=10_000)
    with page.expect_download() as started:
        button.click()
    return Path(started.value.path()).read_bytes()


def overlay_source(page: Page) -> str:
    return page.locator("#overlay img").last.get_attribute("src") or ""


@pytest.fixture(scope="module")
def opened(visit: Callable) -> Iterator[Page]:
    """One page for many tests."""
    with visit() as page:
        yield page


@pytest.fixture
def cleared(opened: Page) -> Page:
    """That page without a picture, with the first method and model again."""
    remove = opened.locator("#picture button[aria-label='Remove Image']")
    if remove.is_visible():
        remove.click()
    for dropdown, first in (("method", "Grad-CAM"), ("model", "MobileNetV2")):
        if opened.locator(f"#{dropdown} input").input_value() != first:
            choose(opened, dropdown, first)
    expect(opened.locator("#note")).to_contain_text("Grad-CAM: ")
    expect(opened.locator("#note")).to_contain_text("MobileNetV2: ")
    wait_for_status(opened, "appear here as soon as there is a picture")
    expect(opened.locator("#download-json")).to_be_disabled()
    return opened


def test_empty_page_says_what_to_do(page: Page) -> None:
    expect(page.locator("#picture")).to_contain_text("Drop a picture here, paste it with Ctrl+V")
    wait_for_status(page, "appear here as soon as there is a picture")
    expect(page.locator("#download-png")).to_be_disabled()


def test_a_picture_is_explained_without_a_second_click(cleared: Page) -> None:
    give(cleared, COFFEE)
    wait_for_status(cleared, "espresso")
    expect(cleared.locator("#bars")).to_contain_text("espresso")
    expect(cleared.locator("#bars button")).to_have_count(5)
    expect(cleared.locator("#overlay img")).to_have_count(2)
    wait_for_status(cleared, re.compile(r"Grad-CAM on MobileNetV2: \d+ ms, 1 forward pass\."))


def test_clicking_a_bar_explains_that_class(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    before = overlay_source(cleared)
    cleared.locator("#bars button").nth(1).click()
    wait_for_status(cleared, "tiger cat")
    expect(cleared.locator("#target input")).to_have_value("tiger cat")
    assert overlay_source(cleared) != before
    give_again = cleared.locator("#picture button[aria-label='Remove Image']")
    give_again.click()
    give(cleared, COFFEE)
    wait_for_status(cleared, "espresso")
    expect(cleared.locator("#target input")).to_have_value("the predicted class")


def test_any_class_can_be_asked_for(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    cleared.locator("#target input").click()
    cleared.keyboard.type("french")
    cleared.get_by_role("option", name="French horn", exact=True).click()
    wait_for_status(cleared, "French horn")


def test_one_class_rather_than_another(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    plain = overlay_source(cleared)
    cleared.locator("#more button").first.click()
    cleared.locator("#against input").click()
    cleared.keyboard.type("tiger c")
    cleared.get_by_role("option", name="tiger cat", exact=True).click()
    wait_for_status(cleared, re.compile(r"Egyptian cat, [\d.]+% \(orange\), rather than tiger cat, [\d.]+% \(blue\)"))
    assert overlay_source(cleared) != plain
    for _ in range(50):
        if (json.loads(download(cleared, "json"))["against"] or {}).get("label") == "tiger cat":
            break
    else:
        pytest.fail("the facts do not say what it was set against")
    cleared.locator("#picture button[aria-label='Remove Image']").click()
    give(cleared, COFFEE)
    wait_for_status(cleared, "espresso")
    expect(cleared.locator("#against input")).to_have_value("no other")


def test_a_sample_is_one_click(cleared: Page) -> None:
    cleared.locator("#samples button.gallery-item").nth([s.path.name for s in SAMPLES].index("coffee.jpg")).click()
    wait_for_status(cleared, "espresso")


def test_paste_with_the_keyboard(cleared: Page) -> None:
    copy(cleared, COFFEE)
    cleared.locator("#title").click()
    cleared.keyboard.press("Control+V")
    wait_for_status(cleared, "espresso")
    copy(cleared, CAT)
    cleared.keyboard.press("Control+V")
    wait_for_status(cleared, "Egyptian cat")  # a second paste replaces the first picture


def copy(page: Page, path: Path) -> None:
    """Put a picture on the clipboard, as a program would."""
    page.evaluate(
        """async (data) => {
          const blob = await (await fetch("data:image/png;base64," + data)).blob();
          await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
        }""",
        base64.b64encode(_png(np.asarray(Image.open(path)))).decode(),
    )


def test_paste_with_the_clipboard_button(page: Page) -> None:
    copy(page, COFFEE)
    page.locator("#picture button[aria-label='Paste from clipboard']").click()
    wait_for_status(page, "espresso")


def test_the_camera_is_not_mirrored(page: Page) -> None:
    page.locator("#picture button[aria-label='Capture from camera']").click()
    page.locator("#picture").get_by_text("Click to Access Webcam").click()
    page.wait_for_function("() => document.querySelector('#picture video')?.videoWidth > 0")
    page.locator("#picture button[aria-label='capture photo']").click()
    wait_for_status(page, "Grad-CAM on MobileNetV2")
    page.locator("#opacity input[type=number]").fill("0")
    page.locator("#opacity input[type=number]").press("Enter")
    for _ in range(50):
        if json.loads(download(page, "json"))["opacity"] == 0:
            break
    seen = np.asarray(Image.open(io.BytesIO(download(page, "png"))).convert("RGB")).astype(int)
    left, right = seen[100:300, 50:250].mean((0, 1)), seen[100:300, -250:-50].mean((0, 1))
    assert left[0] > 150 > 100 > left[2]
    assert right[2] > 150 > 100 > right[0]


def test_colours_and_opacity_run_no_model(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    report, before = cleared.locator("#status").inner_text(), overlay_source(cleared)
    choose(cleared, "colormap", "viridis")
    expect(cleared.locator("#overlay img").last).not_to_have_attribute("src", before)
    second = overlay_source(cleared)
    cleared.locator("#opacity input[type=number]").fill("1")
    cleared.locator("#opacity input[type=number]").press("Enter")
    expect(cleared.locator("#overlay img").last).not_to_have_attribute("src", second)
    assert cleared.locator("#status").inner_text() == report, "the time taken is that of the one run there was"


def test_occlusion_fills_in_and_stops(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    choose(cleared, "method", "Occlusion")
    wait_for_status(cleared, re.compile(r"Occlusion on MobileNetV2: \d+% done"))
    cleared.locator("#stop").click()
    wait_for_status(cleared, "Stopped.")
    stopped = cleared.locator("#status").inner_text()
    expect(cleared.locator("#stop")).to_be_hidden()
    cleared.wait_for_timeout(500)
    assert cleared.locator("#status").inner_text() == stopped
    facts = json.loads(download(cleared, "json"))
    assert facts["method"] in {"occlusion", "grad-cam"}


def test_occlusion_finishes(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    choose(cleared, "method", "Occlusion")
    wait_for_status(cleared, re.compile(r"Occlusion on MobileNetV2: [\d.]+ m?s, \d+ forward passes\."), 60)
    expect(cleared.locator("#stop")).to_be_hidden()


def test_a_new_choice_takes_over_from_a_long_run(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    choose(cleared, "method", "Occlusion")
    wait_for_status(cleared, "Occlusion on MobileNetV2")
    choose(cleared, "method", "CAM")
    wait_for_status(cleared, re.compile(r"\bCAM on MobileNetV2: \d+ ms"))
    cleared.wait_for_timeout(800)
    wait_for_status(cleared, re.compile(r"\bCAM on MobileNetV2: \d+ ms"), 1)


def test_saliency_and_the_other_model(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    choose(cleared, "method", "Saliency")
    wait_for_status(cleared, "Saliency on MobileNetV2", 90)
    choose(cleared, "model", "EfficientNet-Lite0")
    wait_for_status(cleared, "Saliency on EfficientNet-Lite0", 90)
    expect(cleared.locator("#note")).to_contain_text("EfficientNet-Lite0: 4.7 million parameters")


def test_options_canvas_and_smoothing(page: Page) -> None:
    give(page, CAT)
    wait_for_status(page, "Egyptian cat")
    page.locator("#more button").first.click()
    choose(page, "canvas", "448")
    expect(page.locator("#download-npy")).to_be_enabled()
    for _ in range(50):
        if np.load(io.BytesIO(download(page, "npy"))).shape == (12, 18):
            break
    else:
        pytest.fail("the map is not finer")
    choose(page, "method", "RISE")
    expect(page.locator("#options textarea")).to_have_value(re.compile("samples=1000 cells=8"))
    page.locator("#stop").click()
    page.locator("#options textarea").fill("samples=64 cels=4")
    page.locator("#options textarea").press("Enter")
    wait_for_status(page, "did you mean 'cells'")
    page.locator("#options textarea").fill("samples=64 cells=4")
    page.locator("#options textarea").press("Enter")
    wait_for_status(page, re.compile(r"RISE on MobileNetV2: [\d.]+ m?s, 65 forward passes"))


def test_downloads_hold_what_is_shown(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    picture = Image.open(io.BytesIO(download(cleared, "png")))
    width, height = Image.open(CAT).size
    assert picture.width == width
    assert picture.height > height, "the legend is under it"
    facts = json.loads(download(cleared, "json"))
    assert facts["target"]["label"] == "Egyptian cat"
    assert facts["parameters"]["canvas"] == [192, 288]
    raw = np.load(io.BytesIO(download(cleared, "npy")))
    assert raw.shape == (6, 9)
    assert np.isfinite(raw).all()


WRONG = {
    "text.jpg": (b"this is no picture", "is not a picture"),
    "empty.png": (b"", "is empty"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "SVG"),
    "cut.jpg": (CAT.read_bytes()[:5000], "cut off or damaged"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_get_one_sentence(cleared: Page, tmp_path: Path, name: str) -> None:
    content, sentence = WRONG[name]
    (tmp_path / name).write_bytes(content)
    give(cleared, tmp_path / name)
    wait_for_status(cleared, sentence)
    assert "Traceback" not in cleared.content()
    cleared.locator("#picture button[aria-label='Remove Image']").click()
    give(cleared, COFFEE)
    wait_for_status(cleared, "espresso")


def test_a_link_that_leads_nowhere_gets_one_sentence(page: Page) -> None:
    page.locator("#link input, #link textarea").fill("https://example.org/video")
    page.locator("#link input, #link textarea").press("Enter")
    expect(page.locator(".toast-body")).to_contain_text("That is no link to a YouTube video")
    page.locator(".toast-close").click()
    page.locator("#link input, #link textarea").fill("https://youtu.be/dQw4w9WgXcQ")
    page.locator("#link input, #link textarea").press("Enter")
    expect(page.locator(".toast-body")).to_contain_text("network", timeout=30_000)


def test_a_tiny_picture_gets_one_sentence(cleared: Page, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    give(cleared, tmp_path / "dot.png")
    wait_for_status(cleared, "1x1 pixels")


def test_a_model_that_is_not_there_says_what_to_do(cleared: Page) -> None:
    """No network reaches the published weights in a test; the page must say so and stay usable."""
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    choose(cleared, "model", "ResNet50")
    wait_for_status(cleared, "check the network and try again", 120)
    choose(cleared, "model", "EfficientNet-Lite0")
    wait_for_status(cleared, "Grad-CAM on EfficientNet-Lite0")


def test_phone_has_no_sideways_scroll(visit: Callable) -> None:
    with visit(390, 844) as phone:
        check_phone(phone)


def check_phone(phone: Page) -> None:
    give(phone, SAMPLES[-1].path)
    wait_for_status(phone, "Grad-CAM on MobileNetV2")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("picture", "bars", "overlay", "model", "method", "target", "downloads"):
        box = phone.locator(f"#{name}").bounding_box()
        assert box is not None, name
        assert box["x"] >= 0, name
        assert box["x"] + box["width"] <= 390, name


def test_dark_mode_is_dark_and_works(visit: Callable) -> None:
    with visit(query="?__theme=dark") as page:
        give(page, COFFEE)
        wait_for_status(page, "espresso")
        shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
        assert np.median(shot) < 60


def test_visitors_do_not_see_each_other(visit: Callable) -> None:
    with visit() as first, visit() as second:
        give(first, CAT)
        give(second, COFFEE)
        wait_for_status(first, "Egyptian cat")
        wait_for_status(second, "espresso")
        choose(first, "colormap", "jet")
        assert json.loads(download(second, "json"))["target"]["label"] == "espresso"
        assert json.loads(download(first, "json"))["target"]["label"] == "Egyptian cat"


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
