"""The page as a process of its own, and how much memory, time and disk space it uses."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS_TO_START = 120


@dataclass(frozen=True)
class Server:
    """A running page. `pid` is None for a page that somebody else started; `scratch`: its temporary folder."""

    address: str
    pid: int | None = None
    scratch: Path | None = None

    def cpu_seconds(self) -> float:
        """The processor time that it has used; NaN where that is unknown."""
        if self.pid is None:
            return float("nan")
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_megabytes(self) -> float:
        """The most memory that it has used so far."""
        return float(self._status()["VmHWM"].split()[0]) / 1024

    def _status(self) -> dict[str, str]:
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return dict(line.split(":", 1) for line in lines)

    def facts(self) -> str:
        """Its memory, its threads, its open files, and the files in its temporary folder."""
        if self.pid is None or self.scratch is None:
            return "unknown, because the page runs elsewhere"
        status = self._status()
        memory, peak = int(status["VmRSS"].split()[0]) / 1024, self.peak_megabytes()
        files = [path for path in self.scratch.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        opened = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        return (
            f"{memory:.0f} MB (peak {peak:.0f}), {status['Threads'].strip()} threads, {opened} open files, "
            f"{len(files)} files of {size:.1f} MB"
        )


@contextlib.contextmanager
def start_server(scratch: Path, address: str | None = None, arguments: Sequence[str] = ()) -> Iterator[Server]:
    """Start `python app.py` and wait until it has also imported TensorFlow, or use the page at `address`.

    Raises RuntimeError if the process ends, TimeoutError if it does not answer.
    """
    if address:
        yield Server(address.rstrip("/"))
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "TMPDIR": str(scratch)}
    with (scratch.parent / f"{scratch.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py", *arguments], cwd=ROOT, env={**os.environ, **settings}, stdout=log, stderr=log
        )
    server = Server(address, process.pid, scratch)
    try:
        _wait_until_warm(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_warm(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Wait for the first answer, and until the process has used little processor time for two seconds."""
    deadline = time.monotonic() + SECONDS_TO_START
    answered, used = False, 0.0
    while True:
        if process.poll() is not None:
            raise RuntimeError("The page ended.")
        if time.monotonic() > deadline:
            raise TimeoutError(server.address)
        if not answered:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(server.address, timeout=2).read()
                answered = True
            time.sleep(0.2)
            continue
        before, used = used, server.cpu_seconds()
        if used - before < 0.4:
            return
        time.sleep(2)
