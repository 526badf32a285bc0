"""Attacks on the page while others use it: python -m benchmarks.survival [--seconds 8] [--only options pictures]

Starts the page and attacks it in nine ways, one after the other. Meanwhile two other visitors call the endpoints `predict`
and `explain` (Grad-CAM), again and again; the probabilities in each answer are compared with those of this process. A line
per attack: how many requests were refused or answered, how long an answer to a visitor took, and the memory of the server.
The exit status is 1 if the server ended, if an answer was wrong or missing, or if the memory was above the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import secrets
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from benchmarks import machine
from benchmarks.load import SLOW, Crowd, Tally, a_sample, call_api, client_at, expected_call
from benchmarks.page_client import PageClient, RefusedError
from benchmarks.server_process import Server, start_server

QUICK_VISITORS = 2
MEGABYTES = 4000
STAY = 8  # seconds after which an attacker leaves a run


@dataclass
class Attacker:
    """One address from which the server is attacked. `outcomes` counts what came back."""

    visitors: Crowd
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def page(self) -> PageClient:
        """A new session."""
        return self.visitors.visitor(0)

    async def note(self, work: Awaitable[Any]) -> None:
        """Wait for one request and count its outcome."""
        try:
            answer = await work
        except RefusedError:
            self.outcomes["refused"] += 1
        except TimeoutError:
            self.outcomes["left"] += 1
        except httpx.HTTPError as error:
            self.outcomes[type(error).__name__] += 1
        else:
            status = getattr(answer, "status_code", 200)
            self.outcomes["answered" if status < 400 else "refused" if status < 500 else f"status {status}"] += 1


# --- What is sent -------------------------------------------------------------


def png_16_bits(side: int) -> bytes:
    """A grey PNG of 16 bits per pixel that is small as a file."""
    rows = zlib.compress(bytes((1 + 2 * side) * side), 9)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def large_jpeg(width: int, height: int) -> bytes:
    """A JPEG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 30)).save(file, "JPEG", quality=30)
    return file.getvalue()


def tiff_of_many_pages(pages: int) -> bytes:
    """A TIFF with many tiny pages."""
    entries = [
        (256, 4, 1, 1),
        (257, 4, 1, 1),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (279, 4, 1, 1),
    ]
    content = bytearray(b"II*\0" + struct.pack("<I", 12) + bytes(4))
    for page in range(pages):
        following = len(content) + 2 + 12 * len(entries) + 4 if page < pages - 1 else 0
        content += struct.pack("<H", len(entries))
        content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + struct.pack("<I", following)
    return bytes(content)


def zip_bomb(files: int, size: int) -> bytes:
    """A zip of files of zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(files):
            archive.writestr(f"class {number % 2}/{number}.jpg", bytes(size))
    return file.getvalue()


OPTIONS = [
    ("lime", "segments=100000000"), ("integrated-gradients", "steps=40000"), ("rise", "cells=20000 samples=4"),
    ("integrated-gradients", "baseline=" + ",".join(["black"] * 20_000)), ("rise", "samples=1000000"),
    ("occlusion", "patch=1 stride=1"), ("rise", "seed=-1"), ("smoothgrad", "noise=inf"), ("rise", "samples=-5"),
    ("sobol", "rows=100000"), ("extremal", "steps=1000000"),
]  # fmt: skip
BODIES = {
    "cancel": b"[" * 200_000_000, "component_server": b"[]," * 2_500_000, "reset": b'{"a":' * 1_000_000,
    "queue/join": b'{"data":' + b"[" * 900_000, "vibe-edit": b"x" * 10_000_000,
}  # fmt: skip


# --- Attacks ------------------------------------------------------------------


async def explain_call(page: PageClient, file: dict[str, Any]) -> Any:
    """Call the endpoint `explain`."""
    return await page.call("explain", [file, "mobilenet_v2", "grad-cam", "", "viridis", 0.6])


async def foreign_files(attacker: Attacker) -> None:
    """Paths of files that the visitor has not uploaded."""
    for path in ("/etc/passwd", "/proc/self/environ", "samples/photos/cat.jpg", str(Path(a_sample(0)).resolve())):
        for file in ({"path": path}, {"path": path, "meta": {"_type": "gradio.FileData"}}):
            await attacker.note(explain_call(attacker.page, file))


async def explain_on_page(attacker: Attacker, method: str, options: str) -> None:
    """Type options in the Explain tab. Raises RefusedError where the page answers with a warning, TimeoutError on leaving."""
    async with attacker.page as page:
        page.values[page.number("picture")] = await page.upload("a.jpg", a_sample(0).read_bytes())
        page.values[page.number("method")], page.values[page.number("options")] = method, options
        await asyncio.wait_for(page.trigger("options", "submit"), STAY)
        if "⚠️" in str(page.value("status")):
            raise RefusedError(page.value("status"))


async def wild_options(attacker: Attacker) -> None:
    """Options that would need hours or all memory."""
    await asyncio.gather(*(attacker.note(explain_on_page(attacker, *option)) for option in OPTIONS))


async def large_pictures(attacker: Attacker) -> None:
    """Sixteen at the same instant, small as files and large in memory."""
    contents = [png_16_bits(12_000), large_jpeg(8000, 6000), large_jpeg(14_000, 12_600), tiff_of_many_pages(40_000)]

    async def send(number: int) -> None:
        page = attacker.page
        content = contents[number % len(contents)] + secrets.token_bytes(4)
        await explain_call(page, await page.upload("a.png", content))

    await asyncio.gather(*(attacker.note(send(number)) for number in range(16)))


async def large_frames(attacker: Attacker) -> None:
    """Camera frames of 176 megapixels."""
    frame = "data:image/jpeg;base64," + base64.b64encode(large_jpeg(14_000, 12_600)).decode()

    async def send() -> None:
        async with attacker.page as page:
            async for _ in page.stream("camera", frame):
                return

    await asyncio.gather(*(attacker.note(asyncio.wait_for(send(), STAY)) for _ in range(4)))


async def large_bodies(attacker: Attacker) -> None:
    """Bodies that take long to read or to parse."""
    http, address = attacker.visitors.clients[0], attacker.visitors.address
    for place, body in BODIES.items():
        headers = {"content-type": "application/json"}
        await attacker.note(http.post(f"{address}/gradio_api/{place}", content=body, headers=headers))


async def many_sessions(attacker: Attacker) -> None:
    """Calls without a session, each of which would make one."""
    file = await attacker.page.upload("a.jpg", a_sample(0).read_bytes())
    for _ in range(10):
        calls = (attacker.page.call("predict", [file, "mobilenet_v2"]) for _ in range(12))
        await asyncio.gather(*(attacker.note(call) for call in calls))


async def zip_bombs(attacker: Attacker) -> None:
    """Archives of small files that become large, for the Train tab."""
    content = zip_bomb(300, 100_000)
    page = attacker.page

    async def send() -> None:
        file = await page.upload("a.zip", content + secrets.token_bytes(4))
        await page.change("train-zip", file, "upload")

    await asyncio.gather(*(attacker.note(send()) for _ in range(6)))


async def long_runs(attacker: Attacker) -> None:
    """More feature visualisations from one address than the queue accepts."""

    async def send() -> None:
        async with attacker.page as page:
            page.values[page.number("dream-steps")] = 256
            await page.trigger("paint", "click")

    await asyncio.gather(*(attacker.note(asyncio.wait_for(send(), STAY)) for _ in range(25)))


async def slow_methods(attacker: Attacker) -> None:
    """RISE for many, by the queue and by routes that would skip it."""
    page = attacker.page
    file = await page.upload("a.jpg", a_sample(0).read_bytes())
    data = {"data": [file, "mobilenet_v2", "rise", "", "viridis", 0.6]}
    url = f"{page.address}/gradio_api"
    await asyncio.gather(
        *(attacker.note(page.http.post(f"{url}/run/explain", json=data)) for _ in range(32)),
        *(attacker.note(explain_on_page(attacker, *SLOW)) for _ in range(6)),
    )


ATTACKS: dict[str, Callable[[Attacker], Awaitable[None]]] = {
    "files": foreign_files, "options": wild_options, "pictures": large_pictures, "frames": large_frames,
    "bodies": large_bodies, "sessions": many_sessions, "zips": zip_bombs, "long-runs": long_runs, "slow-methods": slow_methods,
}  # fmt: skip


async def attack(name: str, visitors: Crowd, seconds: float) -> tuple[Counter[str], Tally]:
    """Attack again and again for some seconds, at least once, beside the quick visitors."""
    attacker, tally, over = Attacker(visitors), Tally(), asyncio.Event()

    async def stay(number: int) -> None:
        while not over.is_set():
            await call_api(visitors, number, tally)
            await asyncio.sleep(0.2)

    quick = [asyncio.create_task(stay(number + 1)) for number in range(QUICK_VISITORS)]
    end = time.monotonic() + seconds
    while True:
        await ATTACKS[name](attacker)
        if time.monotonic() > end:
            break
    over.set()
    await asyncio.gather(*quick)
    return attacker.outcomes, tally


async def measure(server: Server, names: list[str], seconds: float) -> bool:
    """Run the attacks and print their lines. Returns whether the server survived all of them."""
    survived = True
    async with contextlib.AsyncExitStack() as stack:
        addresses = (f"127.0.2.{number + 1}" for number in range(1 + QUICK_VISITORS))  # the first one is the attacker's
        clients = [await stack.enter_async_context(client_at(address)) for address in addresses]
        config = (await clients[0].get(f"{server.address}/config")).json()
        visitors = Crowd(server.address, clients, config)
        for name in names:
            outcomes, tally = await attack(name, visitors, seconds)
            survived &= not tally.refused and not tally.wrong and server.peak_megabytes() < MEGABYTES
            counted = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
            print(f"{name:12} {counted}; beside it {tally.describe()}; {server.facts()}", flush=True)
    return survived


def main() -> int:
    """Returns 1 if the server did not survive."""
    parser = argparse.ArgumentParser(description="Attack the page while others use it.")
    parser.add_argument("--seconds", type=float, default=8, help="at least, for each attack (default 8)")
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS), help="these attacks only")
    arguments = parser.parse_args()
    print(machine.describe(), flush=True)
    for number in range(QUICK_VISITORS):
        expected_call(a_sample(number + 1))
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        with start_server(scratch) as server:
            return 0 if asyncio.run(measure(server, arguments.only, arguments.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())
