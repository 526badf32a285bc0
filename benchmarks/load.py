"""Many visitors at once: python -m benchmarks.load [--visitors 50] [--seconds 120]

Starts the page and sends it visitors who behave as browsers do (benchmarks/page_client.py). Every answer is compared with
the one that this process computes: the classes with their probabilities, and the pixels of the map. The visitors run
on the same cores as the server, so a machine of their own would give better figures.

Parts, one after the other:
at-once      all visitors upload a picture at the same instant
arrivals     new visitors come every second: open the page, upload, wait for the heatmap, leave
established  visitors who explain one picture after the other
crowd        everybody together: visitors who come and go, calls of the API, ten cameras, and one visitor each who compares,
             trains, audits and visualises
slow         a few visitors with pauses, alone and beside six visitors who run RISE
afterwards   memory and files of the server, once everybody has left
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import io
import os
import re
import resource
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import httpx
import numpy as np
from PIL import Image

from benchmarks import machine
from benchmarks.page_client import PageClient, RefusedError
from benchmarks.server_process import Server, start_server
from models import DEFAULT
from samples import SAMPLES
from ui import audit_tab, endpoints, explain_tab, live_tab, train_tab, visualise_tab
from ui.controls import PREDICTED
from ui.explain_texts import default_options
from ui.session import Session

METHODS = ("grad-cam", "layer-cam", "hires-cam", "eigen-cam")  # one forward pass each
SLOW = ("rise", "samples=1000 cells=7")
TOLERANCE = 1e-5  # of a probability: JSON and the sum of a shared forward pass round it
LEVELS = 0.1  # mean difference of a map, of 255: a level may be rounded otherwise in a few pixels
CAMERAS, SLOW_VISITORS = 10, 6
ADDRESSES = 50
TRAINING = {"train-views": 1, "train-folds": 2, "train-epochs": 5}
STEPS = 16


@dataclass
class Tally:
    """What the visitors of one part have seen. `seconds`: from the request to the downloaded answer."""

    seconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def describe(self) -> str:
        """The figures in one line."""
        found = np.array(self.seconds or [np.nan])
        quantiles = f"p50 {np.median(found):.2f} s, p95 {np.percentile(found, 95):.2f} s, longest {found.max():.2f} s"
        refused = f", {self.refused.total()} refused {dict(self.refused)}" if self.refused else ", 0 refused"
        return f"{len(self.seconds)} answers, {quantiles}{refused}, {self.wrong.total()} wrong {dict(self.wrong) or ''}"

    @asynccontextmanager
    async def timed(self) -> AsyncIterator[None]:
        """Note the time of what happens inside, or that it was refused."""
        start = time.monotonic()
        try:
            yield
            self.seconds.append(time.monotonic() - start)
        except (RefusedError, httpx.HTTPError) as error:
            self.refused[str(error)[:80] or type(error).__name__] += 1

    def check(self, what: str, right: bool) -> None:
        """Note an answer that differs from the one of this process."""
        if not right:
            self.wrong[what] += 1


# --- The answers of this process ---------------------------------------------


@functools.cache
def expected(sample: Path, method: str) -> tuple[dict[str, float], bytes]:
    """The classes and the PNG of the map that the Explain tab shows."""
    values = (DEFAULT, method, default_options(method), "224", "", explain_tab.NO_CLASS)
    results = list(explain_tab.explain_picture(Session(), str(sample), PREDICTED, *values))
    view = [result[1] for result in results if isinstance(result[1], dict) and "maps" in result[1]][-1]
    return shown_classes(results[-1][0]), shown_map(view)


def shown_classes(value: dict[str, Any]) -> dict[str, float]:
    """The probabilities in the value of the list of classes, by label."""
    return {row["label"]: row["probability"] for row in value["classes"]}


def shown_map(value: dict[str, Any]) -> bytes:
    """The PNG in the value of the viewer."""
    return base64.b64decode(value["maps"][0].split(",")[1])


@functools.cache
def expected_call(sample: Path) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """The answers of the endpoints `predict` and `explain`."""
    return endpoints.predict(str(sample)), endpoints.explain_upload(str(sample))[1]["top"]


@functools.cache
def expected_view(sample: Path) -> str:
    """The frame of the Live tab, as a "data:" URL."""
    html = live_tab.explain_frame(
        Session(), np.asarray(Image.open(sample).convert("RGB")), "mobilenet_v2", "grad-cam", True
    )
    return shown_frame(html)


def shown_frame(html: str) -> str:
    """The picture in the HTML of the Live tab."""
    found = re.search(r'src="([^"]+)"', html)
    return found[1] if found else ""


@functools.cache
def expected_long() -> dict[str, str]:
    """The last lines of a training, an audit and a visualisation, without their times."""
    session = Session()
    from ui.class_boxes import load_practice

    filled = load_practice(session)
    names, galleries = filled[:10], [[(path, None) for path in paths or []] for paths in filled[10:20]]
    views, folds, epochs = TRAINING.values()
    *_, trained = train_tab.run_training(session, next(iter(train_tab.HEADS)), views, folds, epochs, *names, *galleries)
    *_, audited = audit_tab.run_audit(Session(), next(iter(audit_tab.PLANTED)), "mobilenet_v2", None, None, None, None)
    request = ("mobilenet_v2", visualise_tab.CLASS, visualise_tab.FIRST_CLASS, None, 0, visualise_tab.NOISE, None)
    options = (STEPS, visualise_tab.OCTAVES, visualise_tab.SMOOTHNESS, 0, 0)
    *_, painted = visualise_tab.run_visualisation(Session(), *request, *options)
    session.close()
    return {"train": trained[5], "audit": audited[0], "visualise": re.sub(r", \d+ s", "", painted[1])}


def close(shown: dict[str, float], right: dict[str, float]) -> bool:
    """Whether two answers have the same classes with the same probabilities."""
    return shown.keys() == right.keys() and all(abs(shown[name] - right[name]) <= TOLERANCE for name in right)


def same_picture(shown: bytes, right: bytes) -> bool:
    """Whether two files show the same picture."""
    if shown == right:
        return True
    first, second = (np.asarray(Image.open(io.BytesIO(content)), float) for content in (shown, right))
    return first.shape == second.shape and float(np.abs(first - second).mean()) <= LEVELS


# --- Visitors ----------------------------------------------------------------


@dataclass
class Crowd:
    """Everything that the visitors share."""

    address: str
    clients: list[httpx.AsyncClient]
    config: dict[str, Any]

    def visitor(self, number: int) -> PageClient:
        """A new visitor, at one of ADDRESSES network addresses."""
        return PageClient(self.address, self.clients[number % len(self.clients)], self.config)


def a_sample(number: int) -> Path:
    """One of the samples of the page, in turns."""
    return Path(SAMPLES[number % len(SAMPLES)].path)


async def explain_upload(page: PageClient, sample: Path, method: str, tally: Tally) -> None:
    """Upload a picture, and wait for its heatmap. What the page does besides goes on after it."""
    rest: asyncio.Task[None] | None = None
    async with tally.timed():
        content = sample.read_bytes() + secrets.token_bytes(8)  # every visitor has a file of their own
        file = await page.upload(sample.name, content)
        rest = asyncio.create_task(page.change("picture", file))
        await first_shown(page, rest)
        await check_explanation(page, sample, method, tally)
    if rest:
        await asyncio.gather(rest, return_exceptions=True)


async def first_shown(page: PageClient, rest: asyncio.Task[None]) -> None:
    """Wait for the first heatmap. Raises RefusedError if the events end before."""
    page.values[page.number("viewer")] = None
    shown = asyncio.create_task(page.wait_for("viewer"))
    await asyncio.wait((shown, rest), return_when=asyncio.FIRST_COMPLETED)
    if not shown.done() and rest.done() and rest.exception() is None:
        await asyncio.sleep(0)
    if not shown.done():
        shown.cancel()
        await rest
        raise RefusedError("no heatmap")


async def check_explanation(page: PageClient, sample: Path, method: str, tally: Tally) -> None:
    """Compare what the Explain tab shows with the answer of this process."""
    right_bars, right_map = expected(sample, method)
    tally.check("classes", close(shown_classes(page.value("bars")), right_bars))
    tally.check("map", same_picture(shown_map(page.value("viewer")), right_map))


async def explain_by_method(page: PageClient, sample: Path, method: str, tally: Tally) -> None:
    """Choose another method for the picture."""
    async with tally.timed():
        await page.change("method", method)
        await check_explanation(page, sample, method, tally)


async def come_and_go(crowd: Crowd, number: int, tally: Tally, methods: int = 2) -> None:
    """Open the page, explain a picture with one method after the other, leave."""
    sample = a_sample(number)
    try:
        async with crowd.visitor(number) as page:
            await explain_upload(page, sample, METHODS[0], tally)
            for method in METHODS[1:methods]:
                await explain_by_method(page, sample, method, tally)
    except httpx.HTTPError as error:
        tally.refused[f"page: {error!r}"[:80]] += 1


async def call_api(crowd: Crowd, number: int, tally: Tally) -> None:
    """Call `predict` and `explain` as gradio_client does, without a session."""
    sample = a_sample(number)
    page = crowd.visitor(number)
    right_classes, right_top = expected_call(sample)
    for name in ("predict", "explain"):
        async with tally.timed():
            file = await page.upload(sample.name, sample.read_bytes() + secrets.token_bytes(8))
            data = [file, "mobilenet_v2"] + (["grad-cam", "", "inferno", 0.6] if name == "explain" else [])
            answer = await page.call(name, data)
            if name == "predict":
                found = {entry["label"]: entry["confidence"] for entry in answer[0]["confidences"]}
                tally.check("predict", close(found, right_classes))
            else:
                shown, right = ({p["label"]: p["probability"] for p in top} for top in (answer[1]["top"], right_top))
                tally.check("explain", close(shown, right))


async def watch(crowd: Crowd, number: int, until: float, tally: Tally) -> None:
    """Show the Live tab one picture until the end."""
    sample = a_sample(number % 4)
    frame = "data:image/jpeg;base64," + base64.b64encode(sample.read_bytes()).decode()
    async with crowd.visitor(number) as page:
        while time.monotonic() < until:
            try:
                start = time.monotonic()
                async for view, _ in page.stream("camera", frame):
                    tally.seconds.append(time.monotonic() - start)
                    tally.check("frame", shown_frame(view) == expected_view(sample))
                    if time.monotonic() > until:
                        break
                    await asyncio.sleep(0.06)
                    start = time.monotonic()
            except (RefusedError, httpx.HTTPError) as error:
                tally.refused[str(error)[:80]] += 1
                await asyncio.sleep(1)


async def work_long(crowd: Crowd, number: int, kind: str, tally: Tally) -> None:
    """Train, audit, visualise or compare, and compare the last lines."""
    async with crowd.visitor(number) as page, tally.timed():
        if kind == "train":
            for name, value in TRAINING.items():
                page.values[page.number(name)] = value
            await page.trigger("practice", "click")
            await page.trigger("train-start", "click")
            line = page.value("train-figures")
        elif kind == "audit":
            await page.trigger("audit-start", "click")
            line = page.value("audit-status")
        elif kind == "visualise":
            page.values[page.number("dream-steps")] = STEPS
            await page.trigger("paint", "click")
            line = re.sub(r", \d+ s", "", page.value("dream-status"))
        else:
            sample = a_sample(0)
            await page.change("compare-picture", await page.upload(sample.name, sample.read_bytes()))
            await page.trigger("compare", "click")
            line = str(len(page.value("tiles")))
        right = "6" if kind == "compare" else expected_long()[kind]
        tally.check(f"{kind}: {line[:60]}", line == right)


# --- Parts -------------------------------------------------------------------


async def at_once(crowd: Crowd, visitors: int) -> Tally:
    """All visitors upload at the same instant."""
    tally, pages = Tally(), [crowd.visitor(number) for number in range(visitors)]
    for page in pages:
        await page.__aenter__()
    await asyncio.gather(*(explain_upload(page, a_sample(n), METHODS[0], tally) for n, page in enumerate(pages)))
    for page in pages:
        await page.__aexit__()
    return tally


async def arrive(crowd: Crowd, rate: float, seconds: float) -> Tally:
    """New visitors come at a steady rate, whether the others have left or not."""
    tally, tasks, start = Tally(), [], time.monotonic()
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0, start + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(come_and_go(crowd, number, tally, methods=1)))
    await asyncio.gather(*tasks)
    return tally


async def keep_explaining(crowd: Crowd, visitors: int, seconds: float) -> Tally:
    """Visitors who explain one picture after the other."""
    tally, end = Tally(), time.monotonic() + seconds

    async def stay(number: int) -> None:
        async with crowd.visitor(number) as page:
            while time.monotonic() < end:
                await explain_upload(page, a_sample(number), METHODS[0], tally)
                number += 1

    await asyncio.gather(*map(stay, range(visitors)))
    return tally


async def beside_slow_runs(crowd: Crowd, visitors: int, seconds: float) -> tuple[Tally, Tally]:
    """A few visitors with a second between their pictures: alone, then beside six visitors who run RISE."""

    async def quick() -> Tally:
        tally, end = Tally(), time.monotonic() + seconds

        async def stay(number: int) -> None:
            async with crowd.visitor(number) as page:
                while time.monotonic() < end:
                    await explain_upload(page, a_sample(number), METHODS[0], tally)
                    await asyncio.sleep(1)

        await asyncio.gather(*map(stay, range(visitors)))
        return tally

    async def slow(number: int) -> None:
        async with crowd.visitor(number) as page:
            page.values[page.number("method")], page.values[page.number("options")] = SLOW
            page.values[page.number("picture")] = await page.upload("slow.jpg", a_sample(number).read_bytes())
            while True:
                await page.trigger("options", "submit")

    alone = await quick()
    runs = [asyncio.create_task(slow(number)) for number in range(SLOW_VISITORS)]
    await asyncio.sleep(2)
    beside = await quick()
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    return alone, beside


async def mix(crowd: Crowd, visitors: int, seconds: float) -> dict[str, Tally]:
    """Everybody together."""
    kinds = ("train", "audit", "visualise", "compare")
    tallies = {name: Tally() for name in ("visitors", "API calls", "camera frames", *kinds)}
    end = time.monotonic() + seconds

    async def repeat(work: Callable[[int], Awaitable[None]], number: int, pause: float) -> None:
        while time.monotonic() < end:
            await work(number)
            await asyncio.sleep(pause)
            number += 7

    visit = functools.partial(come_and_go, crowd, tally=tallies["visitors"])
    call = functools.partial(call_api, crowd, tally=tallies["API calls"])
    await asyncio.gather(
        *(repeat(lambda number: visit(number=number), number, 2) for number in range(visitors)),
        *(repeat(lambda number: call(number=number), number, 2) for number in range(max(1, visitors // 10))),
        *(watch(crowd, number, end, tallies["camera frames"]) for number in range(CAMERAS)),
        *(work_long(crowd, number, kind, tallies[kind]) for number, kind in enumerate(kinds)),
    )
    return tallies


async def measure(server: Server, visitors: int, seconds: float, rate: float, parts: list[str]) -> None:
    """Run the parts and print their lines."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_at(f"127.0.1.{number + 1}")) for number in range(ADDRESSES)]
        config = (await clients[0].get(f"{server.address}/config")).json()
        crowd = Crowd(server.address, clients, config)
        await at_once(crowd, 4)  # the first visitors load what is loaded late
        before = server.facts()
        print(f"{'before':12} {before}")

        async def part(name: str, work: Awaitable[Any]) -> Any:
            mine, its, start = used_seconds(), server.cpu_seconds(), time.monotonic()
            result = await work
            wall = time.monotonic() - start
            shares = (server.cpu_seconds() - its) / wall, (used_seconds() - mine) / wall
            print(
                f"{name:12} took {wall:.0f} s; cores in use: server {shares[0]:.2f}, visitors {shares[1]:.2f}",
                flush=True,
            )
            return result

        if "at-once" in parts:
            print(" ", (await part("at once", at_once(crowd, visitors))).describe(), flush=True)
        if "arrivals" in parts:
            print(" ", (await part(f"{rate:g} a second", arrive(crowd, rate, seconds / 8))).describe(), flush=True)
        if "established" in parts:
            tally = await part("established", keep_explaining(crowd, visitors, seconds / 8))
            print(f"  {len(tally.seconds) / (seconds / 8):.1f} pictures per second; {tally.describe()}", flush=True)
        if "crowd" in parts:
            for name, tally in (await part("crowd", mix(crowd, visitors, seconds / 2))).items():
                print(f"  {name}: {tally.describe()}", flush=True)
        if "slow" in parts:
            alone, beside = await part("slow runs", beside_slow_runs(crowd, 5, seconds / 8))
            print(f"  alone: {alone.describe()}\n  beside: {beside.describe()}", flush=True)
        await asyncio.sleep(5)
        print(f"{'afterwards':12} {server.facts()}")


def client_at(address: str) -> httpx.AsyncClient:
    """A client at a network address of this machine, as the server limits the requests of each address."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(
        timeout=120, transport=httpx.AsyncHTTPTransport(local_address=address, limits=limits, verify=False)
    )


def used_seconds() -> float:
    """The processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


PARTS = ("at-once", "arrivals", "established", "crowd", "slow")


def main() -> None:
    """Parse the arguments, compute the right answers, measure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120, help="of all parts together, about (default: 120)")
    parser.add_argument("--rate", type=float, default=12, help="new visitors per second (default: 12)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--address", help="of a page that runs already, such as http://127.0.0.1:7860")
    parser.add_argument("--app", nargs="*", default=[], help="arguments for app.py")
    arguments = parser.parse_args()
    print(machine.describe(), flush=True)
    for number in range(len(SAMPLES)):
        for method in METHODS:
            expected(a_sample(number), method)
        expected_call(a_sample(number))
    if "crowd" in arguments.parts:
        for number in range(4):
            expected_view(a_sample(number))
        expected_long()
    with (
        tempfile.TemporaryDirectory() as scratch,
        start_server(Path(scratch), arguments.address, arguments.app) as server,
    ):
        asyncio.run(measure(server, arguments.visitors, arguments.seconds, arguments.rate, arguments.parts))


if __name__ == "__main__":
    main()
