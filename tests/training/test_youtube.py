"""Fetch thumbnails from a local server that makes mistakes on purpose."""

from __future__ import annotations

import csv
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from training import youtube
from training.youtube import Channel, Video, fetch_channels, list_channel, read_thumbnail, video_id


def jpeg(size: tuple[int, int], colour: tuple[int, int, int] = (200, 30, 60), bars: bool = False) -> bytes:
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    inset = (size[1] - size[0] * 9 // 16) // 2 if bars else 0
    pixels[inset : size[1] - inset] = colour
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


class Server(ThreadingHTTPServer):
    """Answers `/ID/SIZE.jpg` by what the id says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.base = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, content: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        video, size = self.path.strip("/").removesuffix(".jpg").split("/")
        server.asked[f"{video}/{size}"] += 1
        times = server.asked[f"{video}/{size}"]
        best = size == "maxresdefault"
        if video.startswith("small") and size != "hqdefault":
            self.answer(404, jpeg((120, 90)))  # as YouTube does: a grey placeholder with the 404
        elif video.startswith("small"):
            self.answer(200, jpeg((480, 360), bars=True))
        elif video.startswith("gone"):
            self.answer(404)
        elif video.startswith("flaky") and times < 3:
            self.answer(503)
        elif video.startswith("down"):
            self.answer(500)
        elif video.startswith("html"):
            self.answer(200, b"<html>Please log in</html>", **{"Content-Type": "text/html"})
        elif video.startswith("cut") and times == 1:
            content = jpeg((1280, 720))
            self.answer(200, content[: len(content) // 2], length=len(content))
        elif video.startswith("slow"):
            time.sleep(0.6)
            self.answer(200, jpeg((1280, 720)))
        elif video.startswith("huge"):
            self.answer(200, b"\xff" * (youtube.MAX_BYTES + 10))
        elif video.startswith("moved") and best:
            self.answer(302, Location=f"{server.base}/fine0000000/maxresdefault.jpg")
        else:
            self.answer(200, jpeg((1280, 720)))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(youtube, "BACK_OFF", 0.01)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def name(kind: str) -> str:
    return kind.ljust(11, "0")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        (" https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=3s ", "dQw4w9WgXcQ"),
        ("youtu.be/dQw4w9WgXcQ?si=x", "dQw4w9WgXcQ"),
        ("https://m.youtube.com/shorts/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/embed/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://www.youtube.com/live/dQw4w9WgXcQ?x", "dQw4w9WgXcQ"),
        ("https://evil.example/watch?v=dQw4w9WgXcQ", None),
        ("https://youtube.com.evil.example/watch?v=dQw4w9WgXcQ", None),
        ("https://www.youtube.com/watch?v=../../etc/p", None),
        ("https://www.youtube.com/@computerphile", None),
        ("file:///etc/passwd", None),
        ("https://[::1/", None),
        ("https://[::1]:x/watch?v=dQw4w9WgXcQ", None),
        ("", None),
        ("dQw4w9WgXc", None),
    ],
)
def test_ids_are_found_in_links_to_youtube_only(text: str, found: str | None) -> None:
    assert video_id(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "https://youtu.be/dQw4w9WgXcQ?si=AbC_123&t=7",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PL123&index=4",
        "youtube.com/shorts/dQw4w9WgXcQ?feature=share",
        "http://youtube.com/live/dQw4w9WgXcQ?si=AbC",
        "<https://m.youtube.com/watch?app=desktop&v=dQw4w9WgXcQ>",
        "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ",
        "https://i.ytimg.com/vi/dQw4w9WgXcQ/hqdefault.jpg",
        "www.youtu.be/dQw4w9WgXcQ/",
    ],
)
def test_a_video_as_people_paste_it(text: str) -> None:
    assert video_id(text) == "dQw4w9WgXcQ"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("@handle", "@handle/videos"),
        ("@handle/shorts", "@handle/shorts"),
        ("https://www.youtube.com/@handle", "@handle/videos"),
        ("https://www.youtube.com/@handle?si=AbC123", "@handle/videos"),
        ("youtube.com/@handle", "@handle/videos"),
        ("www.youtube.com/@handle/", "@handle/videos"),
        ("http://m.youtube.com/@handle?app=desktop", "@handle/videos"),
        ("https://www.youtube.com/@handle/shorts", "@handle/shorts"),
        ("https://www.youtube.com/@handle/streams", "@handle/streams"),
        ("https://www.youtube.com/@handle/featured", "@handle/videos"),
        ("https://www.youtube.com/@handle/playlists", "@handle/videos"),
        ("https://www.youtube.com/@handle/videos?view=0&sort=p", "@handle/videos"),
        ("https://www.youtube.com/c/Some-Name/videos", "c/Some-Name/videos"),
        ("youtube.com/user/name?si=x", "user/name/videos"),
        (
            "https://www.youtube.com/channel/UC9-y-6csu5WGm29I7JiwpnA/featured",
            "channel/UC9-y-6csu5WGm29I7JiwpnA/videos",
        ),
        ("https://www.youtube.com/LegacyName", "LegacyName/videos"),
        ("https://www.youtube.com/playlist?list=PL123&si=x", "playlist?list=PL123"),
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PL123", "playlist?list=PL123"),
        ("https://youtu.be/dQw4w9WgXcQ?list=PL123&si=x", "playlist?list=PL123"),
    ],
)
def test_a_channel_as_people_paste_it(text: str, asked: str) -> None:
    addresses: list[str] = []
    list_channel(text, 4, lambda link, count: addresses.append(link) or LISTED)
    assert addresses == [f"https://www.youtube.com/{asked}"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https://youtu.be/dQw4w9WgXcQ", "is one video"),
        ("https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=RDdQw4w9WgXcQ", "is one video"),
        ("https://www.youtube.com/feed/subscriptions", "not a channel"),
        ("https://www.youtube.com/", "not a channel"),
        ("https://www.youtube.com/channel/", "not a channel"),
        ("https://youtube.com.evil.example/@x", "not a channel"),
        ("computerphile", "not a channel"),
        ("@", "not a channel"),
        ("http://[", "not a channel"),
    ],
)
def test_what_is_no_channel_is_said(text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        list_channel(text, 4, lambda *_: pytest.fail("asked"))


def test_the_best_size_there_is_and_no_bars(server: Server) -> None:
    assert read_thumbnail(name("fine"), server.base).pixels.shape == (720, 1280, 3)
    assert server.asked == {f"{name('fine')}/maxresdefault": 1}
    small = read_thumbnail(f"https://youtu.be/{name('small')}", server.base).pixels
    assert small.shape == (270, 480, 3)
    assert np.abs(small.astype(int) - (200, 30, 60)).max() < 30  # the bars are black


def test_what_may_pass_is_tried_again(server: Server) -> None:
    assert youtube.download_thumbnail(name("flaky"), server.base)
    assert server.asked[f"{name('flaky')}/maxresdefault"] == 3
    assert Image.open(io.BytesIO(youtube.download_thumbnail(name("cut"), server.base))).size == (1280, 720)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("gone", "no thumbnail"),
        ("down", "answered 500"),
        ("html", "not a picture"),
        ("huge", "larger than 8 MB"),
        ("moved", "answered 302"),
    ],
)
def test_what_does_not_pass_is_said_in_a_sentence(server: Server, kind: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as caught:
        youtube.download_thumbnail(name(kind), server.base)
    assert str(caught.value).count(". ") == 0
    if kind in ("html", "moved"):  # trying again would not help
        assert sum(server.asked.values()) == 1


def test_a_slow_server_and_none_at_all(server: Server) -> None:
    with pytest.raises(UserError, match="in time"):
        youtube.download_thumbnail(name("slow"), server.base, tries=1, timeout=0.2)
    with pytest.raises(UserError, match="network"):
        read_thumbnail(name("fine"), "http://127.0.0.1:9")
    with pytest.raises(UserError, match="not a link"):
        read_thumbnail("https://example.com/cat.jpg", server.base)


# What yt-dlp 2026.10.26 gives for a channel's tab with extract_flat, keys that nobody here reads left out.
LISTED = {
    "id": "UC9-y-6csu5WGm29I7JiwpnA",
    "_type": "playlist",
    "channel": "Computer/phile",
    "channel_id": "UC9-y-6csu5WGm29I7JiwpnA",
    "title": "Computer/phile - Videos",
    "uploader_id": "@Computerphile",
    "webpage_url": "https://www.youtube.com/@computerphile/videos",
    "entries": [
        {
            "_type": "url", "ie_key": "Youtube", "id": f"fine{index:07}", "title": f"Video, {index}",
            "url": f"https://www.youtube.com/watch?v=fine{index:07}", "duration": 600.0,
            "timestamp": 1_760_000_000 - index * 86_400,
            "thumbnails": [{"url": "https://i.ytimg.com/vi/x/hqdefault.jpg", "height": 94, "width": 168}],
            "live_status": None, "channel": None,
        }
        for index in range(6)
    ],
}  # fmt: skip


def test_a_channel_is_listed_by_its_handle_newest_first() -> None:
    asked = []
    found = list_channel("@computerphile", 4, lambda link, count: asked.append((link, count)) or LISTED)
    assert asked == [("https://www.youtube.com/@computerphile/videos", 4)]
    assert found.name == "Computer phile"  # a folder
    assert found.videos[:2] == (
        Video("fine0000000", "Video, 0", "2025-10-09"), Video("fine0000001", "Video, 1", "2025-10-08"),
    )  # fmt: skip
    assert len(found.videos) == 4
    with pytest.raises(UserError, match="no videos"):
        list_channel("@nobody", 4, lambda *_: {"entries": [None]})
    with pytest.raises(UserError, match="not a channel"):
        list_channel("https://example.com/@x", 4, lambda *_: LISTED)


def test_channels_are_fetched_once_and_the_oldest_are_for_testing(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["@computerphile", "--count", "6", "--test", "2", "--out", str(tmp_path)]
    assert youtube.main(command, server.base, lambda *_: LISTED) == 0
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jpg"))
    assert files == [
        *(f"test/Computer phile/fine000000{index}.jpg" for index in (4, 5)),
        *(f"train/Computer phile/fine000000{index}.jpg" for index in range(4)),
    ]
    rows = list(csv.DictReader((tmp_path / "metadata.csv").open(encoding="utf-8")))
    assert [row["split"] for row in rows] == ["train"] * 4 + ["test"] * 2
    assert rows[5] == {
        "channel": "Computer phile", "video_id": "fine0000005", "title": "Video, 5", "published": "2025-10-04",
        "width": "1280", "height": "720", "split": "test",
    }  # fmt: skip
    server.asked.clear()
    (tmp_path / files[0]).unlink()
    assert youtube.main(command, server.base, lambda *_: LISTED) == 0
    assert server.asked == {"fine0000004/maxresdefault": 1}
    assert "All are in" in capsys.readouterr().out


def test_a_channel_with_few_videos_is_split_in_proportion(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {"channel": "Small", "entries": [{"id": f"fine{index:07}"} for index in range(20)]}
    assert youtube.main(["@small", "--out", str(tmp_path)], server.base, lambda *_: listed) == 0
    assert [len(list((tmp_path / split).rglob("*.jpg"))) for split in ("train", "test")] == [17, 3]
    assert (tmp_path / "test" / "Small" / "fine0000019.jpg").exists()  # the oldest
    said = capsys.readouterr().out
    assert all(fact in said for fact in ("20 videos", "17 for training and 3 for testing", "fewer than 230"))
    assert [youtube.share_for_testing(videos, 230, 30) for videos in (1, 2, 4, 229, 230)] == [0, 1, 1, 30, 30]
    assert youtube.share_for_testing(5, 230, 0) == 0


def test_what_failed_is_summed_up_and_leaves_no_half_files(server: Server, tmp_path: Path) -> None:
    channel = Channel("Mixed", tuple(Video(name(kind), kind) for kind in ("fine", "html", "gone", "small", "down")))
    ticks = []
    failed = fetch_channels([channel], tmp_path, 1, server.base, advance=lambda: ticks.append(1), tries=2)
    assert [what for what, _ in failed] == ["Mixed/down0000000", "Mixed/gone0000000", "Mixed/html0000000"]
    assert len(ticks) == 5
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "fine0000000.jpg", "metadata.csv", "small000000.jpg",
    ]  # fmt: skip


def test_a_thumbnail_that_fails_is_one_line_on_stderr_and_exit_status_2(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {"channel": "Mixed", "entries": [{"id": name(kind)} for kind in ("fine", "gone", "html")]}
    command = ["@mixed", "--count", "3", "--test", "1", "--out", str(tmp_path)]
    assert youtube.main(command, server.base, lambda *_: listed) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("training.youtube: ")]
    assert [fact in line for fact, line in zip((name("gone"), name("html"), "2 of 3"), lines, strict=True)] == [
        True
    ] * 3
    assert "Mixed: 3 videos" in printed.out
    assert "All are in" not in printed.out
    assert (tmp_path / "train" / "Mixed" / f"{name('fine')}.jpg").exists()


def test_yt_dlp_still_takes_the_options_and_names_its_errors() -> None:
    yt_dlp = pytest.importorskip("yt_dlp", reason="yt-dlp is an optional requirement")
    with pytest.raises(UserError, match="cannot be listed"):
        youtube._list_with_yt_dlp("https://127.0.0.1:9/@x/videos", 1)
    assert yt_dlp.extractor.gen_extractor_classes
