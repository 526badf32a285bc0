"""How many pictures per second does `python -m explain DIR` explain? python -m benchmarks.folders [--count 2000] [--ray]

Copies the samples into folders until there are `count` pictures, and runs the command in ways that share the cores: in one
process, with 1 and with 2 workers, and with --ray on Ray. The last two rows are a run that is killed with SIGKILL when
half of the pictures are explained, and a second run that continues it. All rows but that of the killed run are checked: each
picture is in the results once, and no heatmap of the killed run is written again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine
from samples import ROOT
from samples.photographs import list_pictures

FOLDERS = 20


@dataclass
class Run:
    """One run of the command: seconds; MB of its first process, without workers, after a tenth of the pictures and at most."""

    seconds: float
    early: float
    most: float


def make_folders(home: Path, count: int) -> None:
    """Make `count` pictures in FOLDERS folders: copies of the samples, each with a name of its own."""
    samples = [*list_pictures(ROOT / "thumbnails"), *list_pictures(ROOT / "photos")]
    for number in range(count):
        sample = samples[number % len(samples)]
        folder = home / f"folder {number % FOLDERS}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample, folder / f"{number:06d}{sample.suffix}")


def explain_folder(home: Path, out: Path, options: Sequence[str], count: int, kill_at: int = 0) -> Run:
    """Run the command until its end, or kill it when `kill_at` pictures are explained. Raises RuntimeError if it fails."""
    start, memory, early = time.monotonic(), 0.0, 0.0
    command = [sys.executable, "-m", "explain", str(home), "--out", str(out), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        time.sleep(0.5)
        memory = max(memory, _megabytes(process.pid))
        finished = len(heatmaps(out)) if kill_at or not early else 0
        early = early or (memory if finished >= count / 10 else 0)
        if kill_at and finished >= kill_at:
            process.kill()
    if process.wait() and not kill_at:
        raise RuntimeError(f"`python -m explain` ended with status {process.returncode}.")
    return Run(time.monotonic() - start, early or memory, memory)


def heatmaps(out: Path) -> dict[Path, int]:
    """The heatmaps and when each was written, in nanoseconds."""
    return {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}


def check(out: Path, count: int, before: dict[Path, int]) -> str:
    """A word for the table: "yes" if each picture is explained once and nothing of `before` was written again."""
    after = heatmaps(out)
    repeated = sum(after.get(path) != written for path, written in before.items())
    lines = (out / "results.jsonl").read_text(encoding="utf-8").splitlines()
    listed = {json.loads(line)["image"] for line in lines}
    right = len(after) == len(lines) == len(listed) == count and not repeated
    return (
        "yes"
        if right
        else f"no: {len(after)} heatmaps, {len(lines)} lines, {len(listed)} pictures, {repeated} repeated"
    )


def check_parquet(out: Path, count: int) -> str:
    """The same for the rows that Ray has written."""
    from pyarrow import parquet

    paths = [path for part in out.rglob("part-*.parquet") for path in parquet.read_table(part)["image"].to_pylist()]
    return "yes" if len(paths) == len(set(paths)) == count else f"no: {len(paths)} rows, {len(set(paths))} pictures"


def _megabytes(process: int) -> float:
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--ray", action="store_true", help="also on Ray")
    arguments = parser.parse_args()
    count = arguments.count
    print(machine.describe())
    ways = {"in one process": [], "1 worker": ["--workers", "1"], "2 workers": ["--workers", "2"]}
    if arguments.ray:
        ways |= {"Ray, 1 actor": ["--ray", "--workers", "1"], "Ray, 2 actors": ["--ray", "--workers", "2"]}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "pictures"
        make_folders(home, count)
        print(
            f"{count} pictures\n{'way':24} {'seconds':>8} {'pictures/s':>11} {'MB early':>9} {'MB at most':>11}  each once"
        )
        for way, options in ways.items():
            out = Path(folder) / way
            run = explain_folder(home, out, options, count)
            right = check_parquet(out, count) if "--ray" in options else check(out, count, {})
            print_row(way, run, count, right)
        out = Path(folder) / "killed"
        first = explain_folder(home, out, [], count, kill_at=count // 2)
        before = heatmaps(out)
        print_row("killed half-way", first, len(before), "")
        second = explain_folder(home, out, [], count)
        print_row("started again", second, count - len(before), check(out, count, before))


def print_row(way: str, run: Run, count: int, right: str) -> None:
    """Print one row; `count` pictures were explained in this run."""
    speed = count / run.seconds
    print(f"{way:24} {run.seconds:8.1f} {speed:11.1f} {run.early:9.0f} {run.most:11.0f}  {right}", flush=True)


if __name__ == "__main__":
    main()
