"""A visitor without a browser: opens the page, changes its components, and runs their events as Gradio's page does."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
from gradio_client.utils import apply_diff


class RefusedError(Exception):
    """The server did not run an event: its sentence."""


class PageClient:
    """One visitor.

    `values` holds what the visitor's page shows, by the number of the component.

    Args:
        address: Of the page, without a slash at the end.
        http: Shared by all visitors; it needs no limit of connections.
        config: The config of the page, which is the same for all visitors.
    """

    def __init__(self, address: str, http: httpx.AsyncClient, config: dict[str, Any]) -> None:
        self.address, self.http = address, http
        self.session = secrets.token_hex(6)
        self.values = {item["id"]: item["props"].get("value") for item in config["components"]}
        self._numbers = {item["props"].get("elem_id"): item["id"] for item in config["components"]}
        self._events = {event["id"]: event for event in config["dependencies"]}
        self._messages: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._finished: set[str] = set()
        self._shown = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None
        self._heartbeat: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the page. Closing it is what a browser does when its tab is closed."""
        (await self.http.get(f"{self.address}/")).raise_for_status()
        self._heartbeat = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._stream, self._heartbeat):
            if task:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def number(self, elem_id: str) -> int:
        """The number of a component."""
        return self._numbers[elem_id]

    def value(self, elem_id: str) -> Any:
        """What a component shows."""
        return self.values[self._numbers[elem_id]]

    async def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file. Returns it as the page names it."""
        answer = await self.http.post(f"{self.address}/gradio_api/upload", files={"files": (name, content)})
        if answer.status_code != 200:
            raise RefusedError(_sentence(answer))
        path = answer.json()[0]
        return {
            "path": path, "url": f"{self.address}/gradio_api/file={path}", "orig_name": name, "size": len(content),
            "mime_type": "image/jpeg", "meta": {"_type": "gradio.FileData"},
        }  # fmt: skip

    async def change(self, elem_id: str, value: Any, event: str = "input") -> None:
        """Give a component a value, and run what follows until the end. Raises RefusedError."""
        self.values[self._numbers[elem_id]] = value
        await self.trigger(elem_id, event)

    async def trigger(self, elem_id: str, event: str, event_data: Any = None) -> None:
        """Run the events of a component, all at once, each with those that follow it. Raises RefusedError."""
        number = self._numbers[elem_id]
        started = [event_ for event_ in self._events.values() if [number, event] in event_["targets"]]
        await asyncio.gather(*(self._run_chain(dependency, number, event_data) for dependency in started))

    async def wait_for(self, elem_id: str) -> Any:
        """What a component shows, once it shows something."""
        number = self._numbers[elem_id]
        while not self.values[number]:
            self._shown.clear()
            await self._shown.wait()
        return self.values[number]

    async def call(self, name: str, data: list[Any]) -> list[Any]:
        """Call an endpoint as gradio_client and curl do, without a session. Raises RefusedError."""
        number = (await self._post(f"call/{name}", {"data": data}))["event_id"]
        event, content = "", ""
        async with self.http.stream("GET", f"{self.address}/gradio_api/call/{name}/{number}") as stream:
            async for line in stream.aiter_lines():
                field, _, rest = line.partition(": ")
                event, content = (
                    (rest, content) if field == "event" else (event, rest) if field == "data" else (event, content)
                )
        if event != "complete":
            raise RefusedError(content)
        return list(json.loads(content))

    async def download(self, file: dict[str, Any]) -> bytes:
        """The content of a file that the page shows."""
        answer = await self.http.get(file["url"])
        return answer.raise_for_status().content

    async def _run_chain(self, dependency: dict[str, Any], trigger: int, event_data: Any) -> None:
        if dependency["backend_fn"]:
            await self.run(dependency["id"], trigger, event_data)
        for following in self._events.values():
            if following["trigger_after"] == dependency["id"]:
                await self._run_chain(following, trigger, None)

    async def run(self, event: int, trigger: int, event_data: Any = None) -> None:
        """Run one event with the values of its inputs, and show its outputs. Raises RefusedError."""
        dependency = self._events[event]
        if dependency["queue"] is False:
            answer = await self._post("run/predict", self._body(dependency, trigger, event_data))
            self._show(dependency, answer["data"])
            return
        number = await self._join(dependency, trigger, event_data)
        chunk: list[Any] | None = None
        try:
            while (message := await self._next_message(number))["msg"] != "process_completed":
                if message["msg"] == "process_generating" and message["success"]:
                    data = message["output"]["data"]
                    chunk = list(data) if chunk is None else list(map(apply_diff, chunk, data))
                    self._show(dependency, chunk)
            self._show(dependency, message["output"]["data"])
        finally:
            del self._messages[number]

    async def stream(self, elem_id: str, frame: str) -> AsyncIterator[list[Any]]:
        """Show a camera the same frame, a "data:" URL, again and again.

        Yields the outputs for each frame. Raises RefusedError.
        """
        trigger = self._numbers[elem_id]
        self.values[trigger] = {"path": None, "url": frame}
        dependency = next(event for event in self._events.values() if [trigger, "stream"] in event["targets"])
        number = await self._join(dependency, trigger, None)
        try:
            while (message := await self._next_message(number))["msg"] != "process_completed":
                if message["msg"] == "process_streaming":
                    yield message["output"]["data"]
                    await self._post(f"stream/{number}", self._body(dependency, trigger, None))
        finally:
            del self._messages[number]
            await self.http.post(f"{self.address}/gradio_api/stream/{number}/close")

    def _body(self, dependency: dict[str, Any], trigger: int, event_data: Any) -> dict[str, Any]:
        return {
            "data": [self.values[number] for number in dependency["inputs"]], "event_data": event_data,
            "fn_index": dependency["id"], "trigger_id": trigger, "session_hash": self.session,
        }  # fmt: skip

    async def _post(self, place: str, body: Any) -> Any:
        answer = await self.http.post(f"{self.address}/gradio_api/{place}", json=body)
        if answer.status_code != 200:
            raise RefusedError(_sentence(answer))
        return answer.json()

    async def _join(self, dependency: dict[str, Any], trigger: int, event_data: Any) -> str:
        """Put an event into the queue. Returns its number."""
        answer = await self._post("queue/join", self._body(dependency, trigger, event_data))
        self._messages.setdefault(answer["event_id"], asyncio.Queue())
        if self._stream is None or self._stream.done():
            self._stream = asyncio.create_task(self._listen())
        return str(answer["event_id"])

    async def _next_message(self, number: str) -> dict[str, Any]:
        message = await self._messages[number].get()
        if message["msg"] in ("broken", "unexpected_error"):
            raise RefusedError(str(message.get("message")))
        if message["msg"] == "process_completed" and not message["success"]:
            raise RefusedError(str((message.get("output") or {}).get("error")))
        return message

    def _show(self, dependency: dict[str, Any], data: list[Any]) -> None:
        """Take over the outputs of an event. An update changes some properties of a component, or none."""
        for number, value in zip(dependency["outputs"], data, strict=False):
            if not (isinstance(value, dict) and value.get("__type__") == "update"):
                self.values[number] = value
            elif "value" in value:
                self.values[number] = value["value"]
        self._shown.set()

    async def _listen(self) -> None:
        """Hand the messages of the server to the events that wait for them, until the server has no more.

        The server can close the stream while the next event is on its way to it: then the stream is opened again.
        """
        reason = "the stream ended"
        try:
            while await self._read_stream():
                if self._messages.keys() <= self._finished:
                    return
        except httpx.HTTPError as error:
            reason = f"the stream broke: {error!r}"
        for waiting in self._messages.values():
            waiting.put_nowait({"msg": "broken", "message": reason})

    async def _read_stream(self) -> bool:
        """Read the stream once. Returns whether the server closed it because it has no more."""
        place, session = f"{self.address}/gradio_api/queue/data", {"session_hash": self.session}
        async with self.http.stream("GET", place, params=session) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                if message["msg"] == "close_stream":
                    return True
                if message.get("event_id"):
                    self._messages.setdefault(message["event_id"], asyncio.Queue()).put_nowait(message)
                    if message["msg"] == "process_completed":
                        self._finished.add(message["event_id"])
        return False

    async def _beat(self) -> None:
        async with self.http.stream("GET", f"{self.address}/gradio_api/heartbeat/{self.session}") as stream:
            async for _ in stream.aiter_raw():
                pass


def _sentence(answer: httpx.Response) -> str:
    try:
        content = answer.json()
        return f"{answer.status_code}: {content.get('detail') or content.get('error')}"
    except ValueError:
        return f"{answer.status_code}: {answer.text[:100]}"
