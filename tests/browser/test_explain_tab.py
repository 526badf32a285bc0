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
from tests.browser.actions import download
from ui.explain_links import ORDER

PHOTOS = Path(__file__).parents[2] / "samples" / "photos"
CAT, COFFEE = PHOTOS / "cat.jpg", PHOTOS / "coffee.jpg"


def give(page: Page, path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)


def wait_for_status(page: Page, text: str | re.Pattern, seconds: float = 30) -> None:
    expect(page.locator("#status")).to_contain_text(text, timeout=seconds * 1000)


def choose(page: Page, dropdown: str, option: str) -> None:
    page.locator(f"#{dropdown} input").click()
    page.get_by_role("option", name=option, exact=True).click()


# What the viewer has drawn, in 48x27 pixels: enough to tell two views apart, and much faster than the whole picture.
SKETCH = """(() => {
  const small = Object.assign(document.createElement("canvas"), { width: 48, height: 27 });
  const context = small.getContext("2d", { willReadFrequently: true });
  context.drawImage(document.querySelector("#viewer canvas"), 0, 0, 48, 27);
  return context.getImageData(0, 0, 48, 27).data.join();
})()"""


def overlay_source(page: Page) -> str:
    """What the viewer has drawn."""
    return page.evaluate(SKETCH)


def wait_for_another_view(page: Page, before: str) -> None:
    """Wait until the viewer shows something else."""
    page.wait_for_function(f"(before) => {SKETCH} !== before", arg=before, timeout=20_000)


def set_opacity(page: Page, percent: int) -> None:
    """Move the slider of the viewer, as a visitor does with the keyboard or the mouse."""
    slider = page.locator("#viewer input[type=range]")
    slider.evaluate("(box, value) => { box.value = value; box.dispatchEvent(new Event('input')); }", percent)
    expect(slider).to_have_value(str(percent))


def wait_for_proof(page: Page) -> str:
    """The verdict of the proof, as soon as it is there."""
    expect(page.locator("#proof .proof")).to_be_visible(timeout=60_000)
    return page.locator("#proof .proof").get_attribute("data-verdict") or ""


@pytest.fixture(scope="module")
def opened(visit: Callable) -> Iterator[Page]:
    """One page for many tests."""
    with visit() as page:
        wait_for_status(page, "coffee mug")  # the example
        yield page


@pytest.fixture
def cleared(opened: Page) -> Page:
    """That page without a picture, with the first method and model again."""
    remove = opened.locator("#picture button[aria-label='Remove Image']")
    if opened.locator("#viewer .viewer-badge").is_visible():  # the example, which goes when a picture comes
        give(opened, CAT)
        wait_for_status(opened, "Egyptian cat")
    if remove.is_visible():
        remove.click()
    for dropdown, first in (("method", "Grad-CAM"), ("model", "MobileNetV2")):
        if opened.locator(f"#{dropdown} input").input_value() != first:
            choose(opened, dropdown, first)
    expect(opened.locator("#note")).to_contain_text("Grad-CAM: ")
    expect(opened.locator("#note")).to_contain_text("MobileNetV2: ")
    wait_for_status(opened, "Choose a picture. Its prediction")
    expect(opened.locator("#download-json")).to_be_disabled()
    return opened


def test_the_page_opens_with_a_worked_example_on_one_screen(visit: Callable) -> None:
    """Without a click: a map, five classes with small maps, and the proof; all of it without scrolling."""
    with visit(1400, 900) as page:
        wait_for_status(page, "coffee mug")
        expect(page.locator("#viewer .viewer-badge")).to_have_text("Example")
        expect(page.locator("#bars .class")).to_have_count(5)
        assert wait_for_proof(page) in {"found", "partly"}
        for name in ("viewer", "bars", "famous", "status", "proof"):
            box = page.locator(f"#{name}").bounding_box()
            assert box is not None, name
            assert box["y"] + box["height"] <= 900, name
        expect(page.locator("#picture")).to_contain_text("Drop a picture here, paste it with Ctrl+V")


def test_what_the_viewer_does_needs_no_request(visit: Callable) -> None:
    """Opacity, colours, views and wipe change what is drawn, and the server hears nothing of it."""
    with visit() as page:
        wait_for_status(page, "coffee mug")
        wait_for_proof(page)
        expect(page.locator("#download-json")).to_be_enabled(timeout=20_000)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        stage = page.locator("#viewer .viewer-stage")
        for act in (
            lambda: set_opacity(page, 20),
            lambda: page.locator("#viewer select").select_option("viridis"),
            lambda: stage.press("ArrowRight"),
            lambda: stage.press("2"),
            lambda: stage.press("3"),
            lambda: set_opacity(page, 40),  # here the slider is the share of pixels that stay
            lambda: stage.press("4"),
            lambda: stage.press("5"),
        ):
            before = overlay_source(page)
            act()
            wait_for_another_view(page, before)
        stage.press("1")
        stage.hover()
        expect(page.locator("#viewer .viewer-reading")).to_have_text(re.compile(r"here: [01]\.\d\d of the peak"))
        assert [url for url in requests if not url.startswith(("data:", "blob:"))] == []


# Notes when the viewer draws, and when the proof of that map appears, in this order.
WATCH = """() => {
  window.order = [];
  const watch = (id, name, holds) => new MutationObserver(() => { if (holds()) window.order.push(name); }).observe(
    document.getElementById(id), { subtree: true, childList: true, attributes: true });
  const label = () => document.querySelector("#viewer .viewer").dataset.label;
  watch("viewer", "map", () => label() === "cup");
  watch("proof", "proof", () => document.querySelector("#proof .proof")?.textContent.includes("cup goes from"));
}"""


def test_the_proof_comes_after_the_map(visit: Callable) -> None:
    with visit() as page:
        wait_for_status(page, "coffee mug")
        wait_for_proof(page)
        page.evaluate(WATCH)
        page.locator("#bars .class[data-label='cup']").click()
        expect(page.locator("#proof .proof")).to_contain_text("cup goes from", timeout=60_000)
        order = page.evaluate("window.order")
        assert order[0] == "map"
        assert "proof" in order
        page.locator("#proof summary").click()
        expect(page.locator("#proof .proof-figures img")).to_have_count(2)
        expect(page.locator("#proof .proof-figures svg")).to_have_count(2)


def test_the_three_buttons_and_the_list_show_the_same_method(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    cleared.locator("#famous").get_by_role("radio", name="Saliency").check()
    wait_for_status(cleared, "Saliency on MobileNetV2", 60)
    expect(cleared.locator("#method input")).to_have_value("Saliency")
    choose(cleared, "method", "CAM")
    wait_for_status(cleared, re.compile(r"\bCAM on MobileNetV2"))
    expect(cleared.locator("#famous input:checked")).to_have_count(0)


def test_a_link_opens_what_it_was_copied_from(visit: Callable) -> None:
    with visit(query="?sample=cat&method=layer-cam&target=tabby&view=contours") as page:
        wait_for_status(page, "Layer-CAM on MobileNetV2")
        wait_for_status(page, "tabby")
        expect(page.locator("#viewer .viewer")).to_have_attribute("data-view", "contours")
        expect(page.locator("#method input")).to_have_value("Layer-CAM")
        expect(page.locator("#target input")).to_have_value("tabby")
        page.locator("#copy-link").click()
        expect(page.locator("#copy-link")).to_have_attribute("data-link", re.compile("sample=cat"))
        link = page.locator("#copy-link").get_attribute("data-link") or ""
        assert set(link.split("?")[1].split("&")) == {
            "sample=cat", "model=mobilenet_v2", "method=layer-cam", "target=tabby", "view=contours",
        }  # fmt: skip
        give(page, COFFEE)
        wait_for_status(page, "espresso")  # a sample by content, although it was uploaded
        expect(page.locator("#viewer .viewer")).to_have_attribute("data-sample", "coffee")


def test_no_picture_says_what_to_do(cleared: Page) -> None:
    expect(cleared.locator("#picture")).to_contain_text("Drop a picture here, paste it with Ctrl+V")
    expect(cleared.locator("#viewer .viewer")).to_be_hidden()
    expect(cleared.locator("#bars .class")).to_have_count(0)
    expect(cleared.locator("#download-png")).to_be_disabled()


def test_a_picture_is_explained_without_a_second_click(cleared: Page) -> None:
    give(cleared, COFFEE)
    wait_for_status(cleared, "espresso")
    expect(cleared.locator("#bars")).to_contain_text("espresso")
    expect(cleared.locator("#bars .class")).to_have_count(5)
    expect(cleared.locator("#viewer .viewer")).to_have_attribute("data-label", "espresso")
    wait_for_status(cleared, re.compile(r"Grad-CAM on MobileNetV2: \d+ ms, 1 forward pass\."))


def test_clicking_a_bar_explains_that_class(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    before = overlay_source(cleared)
    cleared.locator("#bars .class").nth(1).click()
    wait_for_status(cleared, "tiger cat")
    expect(cleared.locator("#target input")).to_have_value("tiger cat")
    wait_for_another_view(cleared, before)
    expect(cleared.locator("#bars .class").nth(1)).to_have_attribute("aria-pressed", "true")
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
    options = cleared.get_by_role("listbox").get_by_role("option")
    expect(options).to_have_count(3)  # before the list is filtered, a click may hit another row
    cleared.get_by_role("option", name="French horn", exact=True).click()
    wait_for_status(cleared, "French horn")


def test_one_class_rather_than_another(cleared: Page) -> None:
    give(cleared, CAT)
    wait_for_status(cleared, "Egyptian cat")
    plain = overlay_source(cleared)
    cleared.locator("#bars .versus[data-label='tiger cat']").click()
    wait_for_status(cleared, re.compile(r"Egyptian cat, [\d.]+% \(orange\), compared with tiger cat, [\d.]+% \(blue\)"))
    wait_for_another_view(cleared, plain)
    for _ in range(50):
        if (json.loads(download(cleared, "download-json"))["against"] or {}).get("label") == "tiger cat":
            break
    else:
        pytest.fail("the facts do not say what it was set against")
    cleared.locator("#picture button[aria-label='Remove Image']").click()
    give(cleared, COFFEE)
    wait_for_status(cleared, "espresso")
    cleared.locator("#more button").first.click()
    expect(cleared.locator("#against input")).to_have_value("none")
    cleared.locator("#more button").first.click()


def test_a_sample_is_one_click(cleared: Page) -> None:
    cleared.locator("#samples button.gallery-item").nth([s.path.name for s in ORDER].index("coffee.jpg")).click()
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
    viewer = page.locator("#viewer .viewer:not([hidden])")
    expect(viewer).to_have_attribute("data-sample", "", timeout=30_000)  # the photograph has replaced the example
    page.locator("#viewer .viewer-stage").press("5")  # the original
    expect(page.locator("#viewer .viewer")).to_have_attribute("data-view", "original")
    url = page.locator("#viewer canvas").evaluate(
        "async (canvas) => { await new Promise(requestAnimationFrame); return canvas.toDataURL('image/png'); }"
    )
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")).astype(int)
    left, right = seen[100:300, 50:250].mean((0, 1)), seen[100:300, -250:-50].mean((0, 1))
    assert left[0] > 150 > 100 > left[2]
    assert right[2] > 150 > 100 > right[0]


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
    facts = json.loads(download(cleared, "download-json"))
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
        if np.load(io.BytesIO(download(page, "download-npy"))).shape == (12, 18):
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
    picture = Image.open(io.BytesIO(download(cleared, "download-png")))
    width, height = Image.open(CAT).size
    assert picture.width == width
    assert picture.height > height, "the legend is under it"
    facts = json.loads(download(cleared, "download-json"))
    assert facts["target"]["label"] == "Egyptian cat"
    assert facts["parameters"]["canvas"] == [192, 288]
    raw = np.load(io.BytesIO(download(cleared, "download-npy")))
    assert raw.shape == (6, 9)
    assert np.isfinite(raw).all()


WRONG = {
    "text.jpg": (b"this is no picture", "is not a picture"),
    "empty.png": (b"", "is empty"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "SVG"),
    "cut.jpg": (CAT.read_bytes()[:5000], "incomplete or damaged"),
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
    expect(page.locator(".toast-body")).to_contain_text("not a link to a YouTube video")
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
    wait_for_status(cleared, "check the internet connection and try again", 120)
    choose(cleared, "model", "EfficientNet-Lite0")
    wait_for_status(cleared, "Grad-CAM on EfficientNet-Lite0")


def test_phone_has_no_sideways_scroll(visit: Callable) -> None:
    with visit(390, 844) as phone:
        check_phone(phone)


def check_phone(phone: Page) -> None:
    give(phone, SAMPLES[-1].path)
    wait_for_status(phone, "Grad-CAM on MobileNetV2")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    for name in ("#viewer .viewer", "#status p >> nth=0"):  # the map and the prediction are on the first screen
        box = phone.locator(name).bounding_box()
        assert box is not None, name
        assert box["height"] > 0, name
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 844, name
    for name in ("picture", "bars", "viewer", "model", "method", "target", "downloads"):
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
        assert json.loads(download(second, "download-json"))["target"]["label"] == "espresso"
        assert json.loads(download(first, "download-json"))["target"]["label"] == "Egyptian cat"


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
