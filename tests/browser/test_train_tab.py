"""The Train tab as a visitor meets it: collect, train, look at a confusion, use the model; and nobody else sees it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from models.trained import load as load_head
from samples import PRACTICE, SAMPLES
from tests.browser.conftest import Visit
from tests.browser.test_explain_tab import choose, give, wait_for_status

TEST = next(sample.path for sample in SAMPLES if sample.path.name == "crumb-1.jpg")  # never trained on


def open_tab(page: Page, name: str = "Train") -> None:
    page.get_by_role("tab", name=name).click()


def say(page: Page, text: str | re.Pattern, seconds: float = 120) -> None:
    expect(page.locator("#train-status")).to_contain_text(text, timeout=seconds * 1000)


def pictures(page: Page, index: int, count: int) -> None:
    expect(page.locator("#balance li span:last-child").nth(index)).to_have_text(str(count), timeout=30_000)


def upload(page: Page, button: str, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.locator(button).click()
    chooser.value.set_files(file)


def own_class(page: Page, folder: Path) -> None:
    """Another class, out of files: six pictures of blocks of colour."""
    files = []
    rng = np.random.default_rng(0)
    for number in range(6):
        files.append(folder / f"blocks-{number}.png")
        blocks = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((192, 108), Image.Resampling.NEAREST).save(files[-1])
    page.locator("#train-more").click()
    page.locator("#class-name-3 textarea, #class-name-3 input").fill("Blocks")
    page.locator("#class-pictures-3 input[type=file]").first.set_input_files(files)
    pictures(page, 3, 6)


def test_collect_train_look_at_a_confusion_and_use_the_model(page: Page, visit: Visit, tmp_path: Path) -> None:
    open_tab(page)
    page.locator("#train-start").click()
    say(page, "at least two classes")
    page.locator("#practice").click()
    say(page, "72 pictures in 3 classes")
    pictures(page, 0, 24)
    own_class(page, tmp_path)
    for name, value in (("views", 0), ("folds", 2)):
        page.locator(f"#train-{name} input[type=number]").fill(str(value))
        page.locator(f"#train-{name} input[type=number]").press("Tab")

    page.locator("#train-start").click()
    say(page, re.compile(r"looks at every picture.*left"))
    expect(page.locator("#train-stop")).to_be_visible()
    say(page, "Done after")
    expect(page.locator("#train-stop")).to_be_hidden()
    expect(page.locator("#train-curves svg")).to_have_count(2)
    expect(page.locator("#train-figures")).to_contain_text("78 pictures it had not seen")

    page.locator("#confusion [data-testid='cell-1-2']").first.click()
    expect(page.locator("#cell img")).to_have_count(24, timeout=30_000)  # eight pictures, each with two maps
    expect(page.locator("#cell .caption-label").nth(1)).to_contain_text("Why Crumb & Co?")

    expect(page.locator("#train-npz")).to_be_enabled()
    with page.expect_download() as started:
        page.locator("#train-npz").click()
    kept = tmp_path / "kept.npz"
    kept.write_bytes(Path(started.value.path()).read_bytes())
    assert set(load_head(kept).labels) == {"Bolt Squad", "Crumb & Co", "Orbit Lab", "Blocks"}
    expect(page.locator("#train-keras")).to_be_enabled(timeout=60_000)

    page.locator("#train-explain").click()
    choose(page, "model", "My model")
    give(page, TEST)
    wait_for_status(page, "Crumb & Co")
    expect(page.locator("#bars button").first).to_contain_text("Crumb & Co")

    with visit() as other:  # somebody else sees nothing of it, until they are given the file
        other.locator("#model input").click()
        expect(other.get_by_role("option", name="MobileNetV2", exact=True)).to_be_visible()
        expect(other.get_by_role("option", name="My model")).to_have_count(0)
        other.keyboard.press("Escape")
        open_tab(other)
        expect(other.locator("#train-explain")).to_be_disabled()
        upload(other, "#train-open", kept)
        expect(other.locator("#train-used")).to_contain_text("tells apart")
        other.locator("#train-explain").click()
        choose(other, "model", "My model")


def test_stop_keeps_what_there_is_and_a_bad_zip_is_a_sentence(page: Page, tmp_path: Path) -> None:
    open_tab(page)
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../out.png", b"x")
    upload(page, "#train-zip", bad)
    say(page, "points outside of it")
    upload(page, "#train-zip", PRACTICE)
    say(page, "72 pictures in 3 classes")
    page.locator("#train-start").click()
    say(page, "left")
    page.locator("#train-stop").click()
    say(page, "Stopped")
    expect(page.locator("#train-stop")).to_be_hidden()
