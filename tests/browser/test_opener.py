"""A visitor opens a zip file of Teachable Machine; a second visitor does not see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_explain_tab import choose, give, overlay_source, wait_for_status
from tests.browser.test_train_tab import upload
from tests.model_files import LABELS, colours, teachable_machine, to_tflite, zipped


def test_a_zip_of_teachable_machine_is_opened_and_explained(visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "converted_tflite.zip"
    file.write_bytes(zipped(model_unquant__tflite=to_tflite(teachable_machine()), labels__txt=LABELS))
    picture = tmp_path / "green.png"
    Image.fromarray(colours(3)[0][1].astype(np.uint8)).save(picture)
    with visit() as page:
        page.locator("#open-model button").first.click()
        upload(page, "#open-file", file)
        card = page.locator("#open-card")
        for text in (
            "Red thing, Green thing, Blue thing",
            "224 x 224 pixels",
            "-1..1",
            "crop",
            "7 x 7 cells, 1280 channels",
        ):
            expect(card).to_contain_text(text, timeout=60_000)
        expect(card).to_contain_text("Needs gradients with respect to the pixels")
        expect(page.locator("#open-samples img")).to_have_count(3)
        page.locator("#open-use").click()
        expect(page.locator("#model input")).to_have_value("converted_tflite")
        expect(page.locator("#note")).to_contain_text("your own model")
        give(page, picture)
        wait_for_status(page, "Green thing", 60)
        expect(page.locator("#bars")).to_contain_text("Green thing")
        assert overlay_source(page)
        page.locator("#method input").click()
        greyed = page.get_by_role("option", name="Saliency (needs gradients with respect to the pixels)")
        expect(greyed).to_have_css("opacity", "0.5")
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="Compare").click()
        choose(page, "compare-model", "converted_tflite")
    with visit() as other:
        other.locator("#model input").click()
        expect(other.get_by_role("option", name="MobileNetV2", exact=True)).to_be_visible()
        expect(other.get_by_role("option", name="converted_tflite")).to_have_count(0)
