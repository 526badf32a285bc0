"""The page as it is served, inside the test's process, and a visitor who sends what a browser would not send."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import httpx
from starlette.middleware import Middleware

from ui.guard import Guard

_opened: list[str] = []
_watching = False


def _note_opened(event: str, args: tuple[Any, ...]) -> None:
    if _watching and event == "open" and isinstance(args[0], (str, bytes)):
        _opened.append(os.fsdecode(args[0]))


sys.addaudithook(_note_opened)


@contextmanager
def opened_files() -> Iterator[list[str]]:
    """The paths of all files that this process opens meanwhile."""
    global _watching
    _opened.clear()
    _watching = True
    try:
        yield _opened
    finally:
        _watching = False


@contextmanager
def running_app() -> Iterator[str]:
    """Serve `app.py` with its own settings, but without a limit on the number of requests. Yields the address."""
    import app

    guarded = {**app.SETTINGS["app_kwargs"], "middleware": [Middleware(Guard, joins=10**9, session_joins=10**9)]}
    with patch(
        "gradio.networking.url_ok", return_value=True
    ):  # Gradio gives up if the page takes 3 s on a busy machine
        _, address, _ = app.demo.launch(**{**app.SETTINGS, "app_kwargs": guarded}, quiet=True, server_name="127.0.0.1")
    try:
        yield address.rstrip("/")
    finally:
        app.demo.close()


class Stranger:
    """A visitor with a session of their own, who speaks HTTP."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = secrets.token_hex(6)
        self.http = httpx.Client(base_url=f"{address}/gradio_api", timeout=120)
        config = httpx.get(f"{address}/config", timeout=120).json()
        self.components = {component["id"]: component for component in config["components"]}
        self.events = {event["id"]: event for event in config["dependencies"] if event["backend_fn"]}

    def kinds(self, event: int) -> list[str]:
        """The kind of each input of an event, such as "image"."""
        return [self.components[number]["type"] for number in self.events[event]["inputs"]]

    def values(self, event: int) -> list[Any]:
        """The values that a new page would send."""
        return [self.components[number]["props"].get("value") for number in self.events[event]["inputs"]]

    def named(self, name: str) -> int:
        """The first event with this API name."""
        return next(number for number, event in self.events.items() if event["api_name"] == name)

    def upload(self, name: str, content: bytes) -> str:
        """The path of an uploaded file."""
        return self.http.post("/upload", files={"files": (name, content)}).raise_for_status().json()[0]

    def press(self, button: str) -> None:
        """Click the button with this elem_id, whose event does not wait in the queue."""
        number = next(key for key, part in self.components.items() if part["props"].get("elem_id") == button)
        event = next(key for key, event in self.events.items() if [number, "click"] in event["targets"])
        body = {"data": self.values(event), "fn_index": event, "session_hash": self.session}
        self.http.post("/run/predict", json=body).raise_for_status()

    def join(self, event: int, data: list[Any], event_data: Any = None) -> httpx.Response:
        """Ask for an event by the queue."""
        body = {"data": data, "fn_index": event, "session_hash": self.session, "event_data": event_data}
        return self.http.post("/queue/join", json=body)

    def run(self, event: int, data: list[Any], event_data: Any = None) -> dict[str, Any]:
        """The last message of an event: its "output" has "data" or "error"; `success` tells which."""
        messages = list(self.messages(event, data, event_data))
        return messages[-1]

    def messages(self, event: int, data: list[Any], event_data: Any = None) -> Iterator[dict[str, Any]]:
        """All messages of an event, until it is complete."""
        answer = self.join(event, data, event_data)
        if answer.status_code != 200:
            yield {"success": False, "output": answer.json(), "status": answer.status_code}
            return
        number = answer.json()["event_id"]
        with self.http.stream("GET", "/queue/data", params={"session_hash": self.session}) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                if message.get("event_id") == number:
                    yield message
                    if message["msg"] == "process_completed":
                        return


def file_data(path: Any, **changes: Any) -> dict[str, Any]:
    """A file as a browser names it."""
    return {"path": path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}, **changes}


def as_input(kind: str, props: dict[str, Any], file: dict[str, Any]) -> Any:
    """The value of an input that holds this file."""
    if kind == "gallery":
        return [{"image": file, "caption": None}]
    if kind == "uploadbutton" and props.get("file_count") != "single":
        return [file]
    return file
