"""The Train tab as a visitor meets it: collect, train, evaluate, use the model; and nobody else sees it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from core.images import read
from models import Classifier, load
from samples import PRACTICE, SAMPLES
from tests.browser.actions import download
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


def fill_setting(page: Page, name: str, value: int) -> None:
    field = page.locator(f"#train-{name} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


def shown_matrix(page: Page, classes: int) -> np.ndarray:
    """The confusion matrix on the page, a row per true class."""
    cell = "#confusion button[data-row='{}'][data-column='{}']"
    expect(page.locator(cell.format(classes - 1, classes - 1))).to_have_text(re.compile(r"\d+"))
    expect(page.locator("#confusion button")).to_have_count(classes**2)
    rows = [
        [int(page.locator(cell.format(row, column)).inner_text()) for column in range(classes)]
        for row in range(classes)
    ]
    return np.array(rows)


def check_figures(page: Page, matrix: np.ndarray) -> None:
    """The figures under the confusion matrix are those of the matrix."""
    figures = page.locator("#train-figures")
    expect(figures).to_contain_text(f"{matrix.sum()} held-out pictures")
    expect(figures).to_contain_text(f"accuracy {np.trace(matrix) / matrix.sum():.1%}")


def downloaded_head(page: Page, path: Path) -> Classifier:
    """The head behind the download button, loaded as the command line loads it."""
    path.write_bytes(download(page, "train-npz"))
    return load(path)


def practice_picture(channel: str, folder: Path) -> Path:
    """The first picture of a channel in the practice zip."""
    with zipfile.ZipFile(PRACTICE) as archive:
        name = min(name for name in archive.namelist() if Path(name).parent.name == channel)
        return Path(archive.extract(name, folder))


def check_in_explain_tab(page: Page, classifier: Classifier, pictures: dict[str, Path]) -> None:
    """The Explain tab classifies each picture as its channel, with the probabilities of `classifier`."""
    page.locator("#train-explain").click()
    choose(page, "model", "My model")
    for channel, path in pictures.items():
        give(page, path)
        wait_for_status(page, channel)
        top = page.locator("#bars .class")
        expect(top.first).to_contain_text(channel)
        predictions = classifier.predict(read(path).pixels)
        assert predictions[0].label == channel
        for number, prediction in enumerate(predictions[:2]):
            expect(top.nth(number)).to_contain_text(prediction.label)
            expect(top.nth(number)).to_contain_text(f"{prediction.probability:.0%}")


def test_collect_train_evaluate_and_use_the_model(page: Page, visit: Visit, tmp_path: Path) -> None:
    open_tab(page)
    page.locator("#train-start").click()
    say(page, "at least two classes")
    page.locator("#practice").click()
    say(page, "72 pictures in 3 classes")
    pictures(page, 0, 24)
    own_class(page, tmp_path)
    fill_setting(page, "views", 0)
    fill_setting(page, "folds", 2)

    page.locator("#train-start").click()
    say(page, re.compile(r"all pictures and augmentations.*left"))
    expect(page.locator("#train-stop")).to_be_visible()
    say(page, "Done after")
    expect(page.locator("#train-stop")).to_be_hidden()
    expect(page.locator("#train-curves svg")).to_have_count(2)
    matrix = shown_matrix(page, 4)
    assert matrix.sum(axis=1).tolist() == [24, 24, 24, 6], "every picture is held out once"
    check_figures(page, matrix)

    page.locator("#confusion button[data-row='0'][data-column='1']").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # by keyboard: the cell of row 1 and column 1
    expect(page.locator("#cell img")).to_have_count(3 * min(8, matrix[1, 1]), timeout=30_000)  # each with two heatmaps
    expect(page.locator("#cell .caption-label").nth(1)).to_contain_text("Heatmap: Crumb & Co")
    captions = page.locator("#cell .caption-label").all_inner_texts()
    shown = [float(re.findall(r"([\d.]+)%", caption)[0]) for caption in captions[1::3]]
    assert shown == sorted(shown, reverse=True), "the most confident picture first"
    assert shown[-1] > 25, "the predicted class has the highest of four probabilities"

    kept = tmp_path / "kept.npz"
    classifier = downloaded_head(page, kept)
    assert set(classifier.labels) == {"Bolt Squad", "Crumb & Co", "Orbit Lab", "Blocks"}
    expect(page.locator("#train-keras")).to_be_enabled(timeout=60_000)
    known = {"Crumb & Co": TEST, "Orbit Lab": practice_picture("Orbit Lab", tmp_path)}
    check_in_explain_tab(page, classifier, known)

    with visit() as other:  # somebody else sees nothing of it, until they are given the file
        other.locator("#model input").click()
        expect(other.get_by_role("option", name="MobileNetV2", exact=True)).to_be_visible()
        expect(other.get_by_role("option", name="My model")).to_have_count(0)
        other.keyboard.press("Escape")
        open_tab(other)
        expect(other.locator("#train-explain")).to_be_disabled()
        upload(other, "#train-open", kept)
        expect(other.locator("#train-used")).to_contain_text("Crumb & Co")
        check_in_explain_tab(other, classifier, {"Crumb & Co": TEST})


def test_a_bad_zip_is_a_sentence_and_stop_keeps_the_best_head(page: Page, tmp_path: Path) -> None:
    open_tab(page)
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../out.png", b"x")
    upload(page, "#train-zip", bad)
    say(page, re.compile(r"⚠️ 'bad\.zip'.*'\.\./out\.png'"))
    upload(page, "#train-zip", PRACTICE)
    say(page, "72 pictures in 3 classes")
    page.locator("#train-start").click()
    say(page, "left")
    page.locator("#train-stop").click()
    say(page, "Stopped before a head was trained")
    expect(page.locator("#train-stop")).to_be_hidden()
    expect(page.locator("#train-npz")).to_be_disabled()

    choose(page, "train-head", "Hidden layer with 100 units")
    for name, value in (("views", 0), ("folds", 5), ("epochs", 60)):
        fill_setting(page, name, value)
    page.locator("#train-start").click()
    say(page, re.compile("Training fold [2-4] of 5"))
    page.locator("#train-stop").click()
    say(page, "The best head so far is kept")
    expect(page.locator("#train-stop")).to_be_hidden()
    matrix = shown_matrix(page, 3)
    assert 72 / 5 < matrix.sum() < 72, "more than one fold, not all of them"
    check_figures(page, matrix)
    finished = matrix.sum() - 15  # Stop comes at any epoch of the last fold, which has up to 15 pictures
    assert np.trace(matrix) > 0.9 * finished, "the finished folds have learned; chance is a third"
    classifier = downloaded_head(page, tmp_path / "stopped.npz")
    assert classifier.figures["held_out"]["pictures"] == matrix.sum()
    check_in_explain_tab(page, classifier, {"Crumb & Co": TEST})
