"""Rate and delay of the Live tab: python -m benchmarks.live

Starts the app and opens its Live tab in headless Chromium, with Grad-CAM and tracking. A fake camera shows a screen in a
room. Prints the number of overlays per second, and the delay from a frame of the camera to its overlay on the page. To
measure the delay, each frame shows its number as a row of black and white blocks; a script reads the number from both
pictures. The measurement runs with one viewer, then with two at the same time.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page

from benchmarks import machine
from samples import ROOT
from samples.photographs import compose, list_pictures
from tests.browser.app import chromium, running

SIZE = (960, 540)
BLOCK = 24  # pixels per side of a block
BITS = 7  # of the number of a frame
RATE = 30  # frames per second of the fake camera
SCENE = 1005  # seed of the composed scene

# Reads the frame numbers from the shown pictures, and logs when each number first appears in the camera and in the overlay.
WATCH = """
({block, bits, width, rate}) => {
  const canvas = document.createElement("canvas");
  canvas.width = block * (bits + 2); canvas.height = block;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const read = (source, size) => {
    const scale = size / width;
    context.drawImage(source, 0, 0, canvas.width * scale, block * scale, 0, 0, canvas.width, block);
    const line = context.getImageData(0, block / 2, canvas.width, 1).data;
    const level = (i) => line[4 * (block * i + block / 2)] + line[4 * (block * i + block / 2) + 1];
    const middle = (level(0) + level(1)) / 2;
    let number = 0;
    for (let i = 0; i < bits; i++) number = 2 * number + (level(i + 2) > middle ? 1 : 0);
    return number;
  };
  // A busy page does not show every frame. The time of a missed frame follows from the last frame shown before it.
  const since = (number, now) => {
    let nearest = [Infinity, null];
    for (const [shown, time] of seen) {
      const later = (number - shown + (1 << bits)) % (1 << bits);
      if (later < nearest[0]) nearest = [later, now - time - later * 1000 / rate];
    }
    return nearest[0] < rate / 2 ? nearest[1] : null;
  };
  const seen = [], log = window.liveLog = [];
  let last = null, shown = null;
  const step = () => {
    const video = document.querySelector("#camera video"), image = document.querySelector("#live-view img");
    const now = performance.now();
    const number = video?.videoWidth ? read(video, video.videoWidth) : shown;
    if (number !== shown) { seen.push([number, now]); shown = number; }
    while (seen.length && now - seen[0][1] > 3000) seen.shift();  // the film restarts after four seconds
    if (image?.complete && image.src !== last) {
      last = image.src;
      log.push([now, since(read(image, image.naturalWidth), now)]);
    }
    requestAnimationFrame(step);
  };
  step();
}
"""


def write_film(folder: Path) -> Path:
    """Write a film of a screen in a room for Chromium's fake camera: one JPEG after the other, each with its number."""
    # The network is certain about this picture. Otherwise the tab would show no heatmap.
    scene = compose(SCENE, [ROOT / "photos" / "photographer.jpg"], list_pictures(ROOT / "photos"))
    pixels = np.asarray(Image.fromarray(scene.pixels).resize(SIZE))
    path = folder / "frames.mjpeg"
    with path.open("wb") as file:
        for number in range(2**BITS):
            frame = pixels.copy()
            blocks = [0, 1, *(number >> bit & 1 for bit in reversed(range(BITS)))]
            for place, lit in enumerate(blocks):
                frame[:BLOCK, place * BLOCK : (place + 1) * BLOCK] = 235 * lit
            jpeg = io.BytesIO()
            Image.fromarray(frame).save(jpeg, "JPEG", quality=85, subsampling="4:2:0")
            file.write(jpeg.getvalue())
    return path


def open_viewer(browser: Browser, url: str) -> Page:
    """Open a page whose Live tab shows overlays. The page logs their delays."""
    page = browser.new_context(permissions=["camera"], viewport={"width": 1400, "height": 1000}).new_page()
    page.goto(url)
    page.get_by_role("tab", name="Live").click()
    page.locator("#camera").get_by_text("Click to Access Webcam").click()
    page.wait_for_function("() => document.querySelector('#camera video')?.videoWidth > 0")
    page.locator("#camera button[aria-label='capture photo']").click()
    page.wait_for_selector("#live-view img", timeout=60_000)
    page.evaluate(WATCH, {"block": BLOCK, "bits": BITS, "width": SIZE[0], "rate": RATE})
    return page


def measure(pages: list[Page], seconds: float) -> list[str]:
    """One line per viewer: overlays per second, median and 90th percentile of the delay."""
    pages[0].wait_for_timeout(3000)  # the first frames are slow: the networks are prepared for the canvas
    for page in pages:
        page.evaluate("() => { window.liveLog.length = 0; }")
    pages[0].wait_for_timeout(1000 * seconds)
    lines = []
    for page in pages:
        assert page.locator("#live-view li").count(), "no class is shown, so there is no heatmap either"
        log = page.evaluate("() => window.liveLog")
        delays = [delay for _, delay in log if delay is not None]
        lines.append(
            f"{len(log) / seconds:.1f} overlays per second, delay {np.median(delays):.0f} ms (90th percentile "
            f"{np.percentile(delays, 90):.0f}); {page.locator('#live-view p').inner_text()}"
        )
    return lines


def main() -> None:
    """Parse the arguments, measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement (default: 15)")
    arguments = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as scratch, running() as url, chromium(write_film(Path(scratch))) as browser:
        first = open_viewer(browser, url)
        first.wait_for_timeout(12_000)  # meanwhile the gradients are prepared
        print("one viewer:", *measure([first], arguments.seconds))
        second = open_viewer(browser, url)
        for line in measure([first, second], arguments.seconds):
            print("of two viewers:", line)


if __name__ == "__main__":
    main()
