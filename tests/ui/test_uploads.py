"""A walk over all events and endpoints of the page with files that are not the visitor's: nothing is read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio.utils import get_upload_folder
from PIL import Image

from core.errors import UserError
from samples import SAMPLES
from tests.ui.site import Stranger, as_input, file_data, opened_files
from ui import uploads
from ui.explain_links import ORDER
from ui.uploads import META, REFUSAL, FileRegister, Visitor

FILES = {"image", "gallery", "uploadbutton"}


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def foreign(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Files on the server that a stranger may know of."""
    other = Stranger(address)
    owned = other.upload("secret.png", png(1))
    assert other.run(other.named("set_picture"), [None, file_data(owned)])["success"]
    folder, cache = tmp_path_factory.mktemp("private"), Path(get_upload_folder())
    private = folder / "private.png"
    private.write_bytes(png(2))
    link = cache / "linked.png"
    link.unlink(missing_ok=True)
    link.symlink_to(private)
    uploads.FILES.add_uploads([str(link)])  # were a link ever taken for an upload
    inside = cache / "not-uploaded.png"
    inside.write_bytes(png(3))
    yield {
        "upload of another session": owned,
        "temporary folder": str(private),
        "working folder": str(Path("samples/photos/cat.jpg").resolve()),
        "relative": "samples/photos/cat.jpg",
        "link": str(link),
        "dots": f"{Path(owned).parent}/../{Path(owned).parent.name}/secret.png",
        "dots out": f"{cache}/../{folder.name}/private.png",
        "cache": str(inside),
        "passwords": "/etc/passwd",
        "environment": "/proc/self/environ",
        "folder": str(cache),
        "nothing": f"{cache}/nothing.png",
        "null": "a\0b",
        "long": f"{cache}/{'x' * 4800}",
    }
    link.unlink()
    inside.unlink()


def shapes(path: str) -> list[dict[str, Any]]:
    """The file as Gradio's own client names it, and as one that wants to avoid its check."""
    return [file_data(path), {"path": path}, {"path": path, "meta": None}, {"path": path, "meta": {"_type": "x"}}]


def refused(message: dict[str, Any]) -> bool:
    return not message["success"] and message["output"].get("error") == REFUSAL


def test_no_event_reads_a_foreign_file(stranger: Stranger, foreign: dict[str, str]) -> None:
    tried = set()
    with opened_files() as opened:
        for event in stranger.events:
            for position, kind in enumerate(stranger.kinds(event)):
                if kind not in FILES:
                    continue
                props = stranger.components[stranger.events[event]["inputs"][position]]["props"]
                repeated = kind == "gallery" and position % 10  # ten equal galleries: all paths for the first one only
                for name, path in list(foreign.items())[: 1 if repeated else None]:
                    data = stranger.values(event)
                    data[position] = as_input(kind, props, file_data(path))
                    assert refused(stranger.run(event, data)), (event, position, name)
                    tried.add((event, position))
    assert len(tried) > 60
    assert not {str(Path(path).resolve()) for path in opened} & _targets(foreign)


def test_no_shape_of_a_file_passes(stranger: Stranger, foreign: dict[str, str]) -> None:
    events = {
        name: stranger.named(name) for name in ("explain_new", "predict", "explain", "set_picture", "process_frame")
    }
    with opened_files() as opened:
        for name, path in foreign.items():
            for shape in shapes(path):
                for event in events.values():
                    data = stranger.values(event)
                    data[stranger.kinds(event).index("image")] = shape
                    assert refused(stranger.run(event, data)), (event, name)
    assert not {str(Path(path).resolve()) for path in opened} & _targets(foreign)


def test_inputs_that_take_no_files_take_none(stranger: Stranger, foreign: dict[str, str]) -> None:
    """Gradio copies files out of any input, also out of a text field."""
    path = foreign["temporary folder"]
    for event in stranger.events:
        if not FILES & set(stranger.kinds(event)) and stranger.kinds(event):
            data = [{"a": [file_data(path), {"b": {"path": path}}]} for _ in stranger.kinds(event)]
            assert refused(stranger.run(event, data)), event


def test_every_endpoint_refuses(stranger: Stranger, foreign: dict[str, str]) -> None:
    """Plain HTTP without a session."""
    for path in foreign.values():
        for name, rest in (
            ("predict", ["mobilenet_v2"]),
            ("explain", ["mobilenet_v2", "grad-cam", "", "viridis", 0.6]),
        ):
            for route in ("run", "api"):  # these would skip the queue
                answer = stranger.http.post(f"/{route}/{name}", json={"data": [{"path": path}, *rest]})
                assert answer.status_code == 404
            for route in (f"/call/{name}", f"/call/v2/{name}") if path in list(foreign.values())[:4] else ():
                body = {"image": {"path": path}} if "v2" in route else {"data": [{"path": path}, *rest]}
                event = stranger.http.post(route, json=body).json()["event_id"]
                answer = stranger.http.get(f"/call/{name}/{event}")
                assert "event: error" in answer.text
                assert REFUSAL in answer.text


def test_the_picture_of_all_tabs_is_the_visitors(stranger: Stranger, foreign: dict[str, str]) -> None:
    """A path that was refused is not handed back by the next event."""
    for path in foreign.values():
        stranger.run(stranger.named("set_picture"), [None, {"path": path}])
        answer = stranger.run(stranger.named("update_tab"), [None, "mobilenet_v2"])
        assert answer["output"]["data"][1] is None


def test_visitors_use_their_own_files(address: str) -> None:
    """Both upload the same file, so both have the same path; each can use it, again and again."""
    visitors = [Stranger(address) for _ in range(2)]
    assert len({visitor.upload("same.png", png(5)) for visitor in visitors}) == 1
    path = visitors[0].upload("same.png", png(5))
    for visitor in (*visitors, *visitors):
        answer = visitor.run(visitor.named("predict"), [file_data(path), "mobilenet_v2"])
        assert answer["success"]
    assert Stranger(address).run(visitors[0].named("predict"), [file_data(path), "mobilenet_v2"])["success"], (
        "third upload"
    )
    assert refused(Stranger(address).run(visitors[0].named("predict"), [file_data(path), "mobilenet_v2"]))


def test_a_call_without_a_session_uses_its_upload_twice(address: str) -> None:
    visitor = Stranger(address)
    path = visitor.upload("api.png", png(6))
    for _ in range(2):
        event = visitor.http.post("/call/predict", json={"data": [file_data(path), "mobilenet_v2"]}).json()["event_id"]
        assert "event: complete" in visitor.http.get(f"/call/predict/{event}").text


def test_a_sample_is_the_visitors_who_clicked_it(address: str) -> None:
    visitor = Stranger(address)
    clicked = visitor.run(visitor.named("load_example"), [0])
    sample = clicked["output"]["data"][0]["value"]
    assert Path(sample["path"]).name == ORDER[0].path.name
    assert visitor.run(visitor.named("set_picture"), [None, sample])["success"]
    pictures = visitor.run(visitor.named("update_tab"), [None, "mobilenet_v2"])["output"]["data"]
    assert pictures[1]["path"] == sample["path"]
    assert refused(Stranger(address).run(visitor.named("set_picture"), [None, sample]))


def test_a_file_that_is_gone_is_a_sentence(address: str) -> None:
    visitor = Stranger(address)
    path = visitor.upload("gone.png", png(7))
    assert visitor.run(visitor.named("set_picture"), [None, file_data(path)])["success"]
    Path(path).unlink()
    assert refused(visitor.run(visitor.named("predict"), [file_data(path), "mobilenet_v2"]))


def test_files_cannot_be_downloaded_by_path(address: str, foreign: dict[str, str]) -> None:
    for name, path in foreign.items():
        if name not in {"upload of another session", "dots", "cache", "null"}:  # the first two have a secret name
            answer = httpx.get(f"{address}/gradio_api/file={path}")
            assert answer.status_code in {403, 404, 414}, name


def test_components_check_again() -> None:
    """Without a visitor, such as outside of an event, nothing is let through."""
    for path in ("/etc/passwd", str(SAMPLES[0].path.resolve())):
        with pytest.raises(gr.Error, match="uploaded"):
            uploads.check_file(path)
        with pytest.raises(gr.Error, match="uploaded"):
            uploads.check_files([{"x": {"path": path, "meta": META}}])


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileRegister:
    """An empty register of an empty upload folder, on a day when nothing waits."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(uploads, "ORPHAN_SECONDS", 0.0)
    return FileRegister()


def uploaded(register: FileRegister, folder: Path, name: str, size: int = 10) -> str:
    path = folder / name / "a.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * size)
    register.add_uploads([str(path)])
    return str(path)


def test_files_stay_as_long_as_a_visitor_uses_them(register: FileRegister, tmp_path: Path) -> None:
    visitors = [Visitor(key, True) for key in "ab"]
    uploaded(register, tmp_path, "shared")
    shared = uploaded(register, tmp_path, "shared")
    own = uploaded(register, tmp_path, "own")
    assert all(register.may_use(shared, visitor) for visitor in visitors)
    assert register.may_use(own, visitors[0])
    assert register.sweep() == 0, "however old they are"
    register.release("a")
    assert register.sweep() == 1
    assert Path(shared).exists()
    assert not Path(own).parent.exists()
    register.release("b")
    assert register.sweep(keep={shared}) == 0, "samples belong to the page"
    assert Path(shared).exists()
    assert not any((register._owners, register._bytes, register._since, +register._unclaimed))


def test_an_upload_that_nobody_uses_is_deleted(
    register: FileRegister, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = uploaded(register, tmp_path, "unused")
    assert register.may_use(path, Visitor("", False)), "a call without a session"
    register.give(uploaded(register, tmp_path, "answer"), Visitor("", False))
    assert register.sweep() == 0
    assert register.sweep(unused_seconds=1e-9) == 2
    assert list(tmp_path.iterdir()) == []
    outside = tmp_path.parent / "outside.png"
    outside.write_bytes(b"x")
    register.add_uploads([str(outside)])
    register.sweep(unused_seconds=1e-9)
    assert outside.exists()


def test_the_files_of_a_visitor_have_a_limit(
    register: FileRegister, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    monkeypatch.setattr(uploads, "KEPT_FILES", 2)
    visitor = Visitor("a", True)
    first = uploaded(register, tmp_path, "first", 600)
    assert register.may_use(first, visitor)
    with pytest.raises(UserError, match="space"):
        register.may_use(uploaded(register, tmp_path, "second", 600), visitor)
    made = []
    for number in range(5):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(b"x" * 300)
        register.give(str(path), visitor)
        made.append(path)
    register.sweep()
    assert [path.exists() for path in made] == [False] * 3 + [True] * 2, "the newest files that the server made stay"
    assert Path(first).exists(), "and the uploads"
    monkeypatch.setattr(uploads, "MAX_OWNERS", 3)
    for number in range(5):
        register.give("/shared", Visitor(str(number), True))
    assert [register.may_use("/shared", Visitor(str(number), True)) for number in range(5)] == [False] * 2 + [True] * 3


def _targets(foreign: dict[str, str]) -> set[str]:
    names = ("upload of another session", "temporary folder", "working folder", "passwords", "environment", "cache")
    return {str(Path(foreign[name]).resolve()) for name in names}
