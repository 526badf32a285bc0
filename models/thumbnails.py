"""Fetch thumbnails of YouTube videos: one by its link, or a channel's latest for training.

    python -m models.thumbnails @computerphile @LinusTechTips --count 230 --test 30 --out data/

writes `data/train/CHANNEL/ID.jpg`, `data/test/...` and `data/metadata.csv`; a second run fetches only what is missing.
Listing a channel needs yt-dlp (`pip install -r requirements-fetch.txt`). Pictures come from one fixed host.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import io
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image, UnidentifiedImageError

from models.engine import write_atomically
from models.errors import UserError, reason
from models.picture import Picture, read

IMAGES = "https://i.ytimg.com/vi"
SIZES = ("maxresdefault", "hq720", "sddefault", "hqdefault", "mqdefault")  # best first; sd and hq are 4:3 with bars
HOSTS = ("youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com")
MAX_BYTES = 8_000_000
TIMEOUT = 20.0  # seconds without an answer
TRIES = 4
BACK_OFF = 0.5  # seconds before the second try; doubled for each one after
JOBS = 8  # fetched at a time


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """The host is fixed: an answer that points elsewhere is none."""


_open = urllib.request.build_opener(_NoRedirect).open


@dataclass(frozen=True)
class Video:
    """A video as its channel lists it; `published` as YYYY-MM-DD, empty where the list does not tell."""

    id: str
    title: str
    published: str = ""


@dataclass(frozen=True)
class Channel:
    """A channel and its latest videos, newest first."""

    name: str
    videos: tuple[Video, ...]


def video_id(text: str) -> str | None:
    """The id in a link to a video, or the id itself; None for anything else."""
    text = text.strip()
    if re.fullmatch(r"[\w-]{11}", text, re.ASCII):
        return text
    link = urlsplit(text if "//" in text else f"https://{text}")
    found = ""
    if link.hostname == "youtu.be":
        found = link.path.strip("/")
    elif link.hostname in HOSTS:
        path = re.fullmatch(r"/(?:shorts|embed|live|v)/([^/]+)/?", link.path)
        found = path[1] if path else parse_qs(link.query).get("v", [""])[0] if link.path == "/watch" else ""
    return found if re.fullmatch(r"[\w-]{11}", found, re.ASCII) else None


def fetch_one(link: str, base: str = IMAGES, timeout: float = 8.0) -> Picture:
    """The thumbnail of a video, by its link or id, at the best size there is. Raises UserError, in a sentence."""
    found = video_id(link)
    if found is None:
        raise UserError(
            "That is no link to a YouTube video; paste one such as https://youtu.be/dQw4w9WgXcQ, or its id."
        )
    return read(Image.open(io.BytesIO(thumbnail(found, base, tries=2, timeout=timeout))))


def thumbnail(video: str, base: str = IMAGES, tries: int = TRIES, timeout: float = TIMEOUT) -> bytes:
    """The JPEG of a video's thumbnail, 16:9, at the best size there is. Raises UserError with the reason."""
    for size in SIZES:
        content = _download(f"{base}/{video}/{size}.jpg", tries, timeout)
        if content is not None:
            return _without_bars(content)
    raise UserError(f"There is no thumbnail of the video '{video}'; check the link.")


def _download(address: str, tries: int, timeout: float) -> bytes | None:
    """What lies there, or None where there is nothing; what may pass is tried again, each time after twice the wait."""
    last = ""
    for number in range(tries):
        if number:
            time.sleep(BACK_OFF * 2 ** (number - 1))
        try:
            with _open(address, timeout=timeout) as answer:
                content = bytes(answer.read(MAX_BYTES + 1))
                if len(content) < int(answer.headers.get("Content-Length") or 0) and len(content) <= MAX_BYTES:
                    raise http.client.IncompleteRead(content)
            if len(content) > MAX_BYTES:
                raise UserError(f"The thumbnail is larger than {MAX_BYTES // 1_000_000} MB and was left alone.")
            with Image.open(io.BytesIO(content)) as image:
                image.load()
            return content
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code < 500 and error.code != 429:
                raise UserError(f"The picture's server answered {error.code}; try another video.") from error
            last = f"its server answered {error.code}"
        except UnidentifiedImageError as error:
            raise UserError(
                "What came is not a picture; is there a login page between here and the network?"
            ) from error
        except urllib.error.URLError as error:
            last = (
                "it does not answer in time"
                if isinstance(error.reason, TimeoutError)
                else "there is no way to its server"
            )
        except TimeoutError:
            last = "it does not answer in time"
        except (http.client.HTTPException, OSError):  # cut off: by the network, or found so when decoded
            last = "it arrives cut off"
    raise UserError(f"The thumbnail cannot be fetched: {last}; check the network and try again.")


def _without_bars(content: bytes) -> bytes:
    """A 4:3 thumbnail is a 16:9 one between black bars: the middle of it."""
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
        if abs(width / height - 4 / 3) > 0.02:
            return content
        inner = round(width * 9 / 16)
        middle = image.convert("RGB").crop((0, (height - inner) // 2, width, (height + inner) // 2))
    file = io.BytesIO()
    middle.save(file, "JPEG", quality=95)
    return file.getvalue()


def latest(channel: str, count: int, extract: Callable[[str, int], dict[str, Any]] | None = None) -> Channel:
    """A channel's latest videos by its link or @handle. `extract(link, count)` gives what yt-dlp does, flat.

    Raises UserError where there is no such channel, no network or no yt-dlp.
    """
    link = channel.strip().rstrip("/")
    if link.startswith("@"):
        link = f"https://www.youtube.com/{link}"
    if urlsplit(link).hostname not in HOSTS:
        raise UserError(f"'{channel[:80]}' is no channel; name its @handle or its youtube.com link.")
    if not link.endswith("/videos") and "/playlist" not in link:
        link += "/videos"
    found = (extract or _yt_dlp)(link, count)
    entries = [entry for entry in found.get("entries") or () if entry and video_id(entry.get("id") or "")]
    if not entries:
        raise UserError(f"'{channel[:80]}' lists no videos; check its spelling.")
    name = found.get("channel") or found.get("uploader") or (found.get("title") or channel).removesuffix(" - Videos")
    videos = [Video(entry["id"], entry.get("title") or "", _day(entry)) for entry in entries[:count]]
    return Channel(_folder(name), tuple(videos))


def _day(entry: dict[str, Any]) -> str:
    if (seconds := entry.get("timestamp")) is not None:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    day = entry.get("upload_date") or ""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 else ""


def _folder(name: str) -> str:
    """A channel's name as a folder can have it on any system."""
    return re.sub(r'[\x00-\x1f<>:"/\\|?*]', " ", name).strip(" .")[:80] or "channel"


def _yt_dlp(link: str, count: int) -> dict[str, Any]:
    try:
        import yt_dlp
    except ImportError as error:
        raise UserError("Listing a channel needs yt-dlp: pip install -r requirements-fetch.txt") from error
    options = {
        "extract_flat": "in_playlist",
        "playlistend": count,
        "quiet": True,
        "no_warnings": True,
        "logger": _Silent(),
        "extractor_args": {"youtubetab": {"approximate_date": [""]}},  # else a flat list tells no dates at all
    }
    try:
        with yt_dlp.YoutubeDL(options) as downloader:
            return dict(downloader.extract_info(link, download=False) or {})
    except yt_dlp.utils.DownloadError as error:
        raise UserError(f"'{link}' cannot be listed: {reason(error)[:200]}.") from error


class _Silent:
    """yt-dlp prints its errors as well as raising them."""

    def debug(self, message: str) -> None:
        """Say nothing."""

    info = warning = error = debug


def fetch_all(
    channels: Sequence[Channel],
    out: Path,
    test: int,
    base: str = IMAGES,
    jobs: int = JOBS,
    advance: Callable[[], None] = lambda: None,
    tries: int = TRIES,
    timeout: float = TIMEOUT,
) -> list[tuple[str, str]]:
    """Fetch what is missing of all channels: the newest for training, the last `test` of each for testing.

    Writes each picture whole or not at all, and `metadata.csv` of all there are. `advance` is called after each video.
    Returns what failed, as (channel/id, reason).
    """
    wanted = []
    for channel in channels:
        for index, video in enumerate(channel.videos):
            split = "train" if index < len(channel.videos) - test else "test"
            wanted.append((channel.name, video, split, out / split / channel.name / f"{video.id}.jpg"))

    def fetch(video: str, path: Path) -> None:
        if not path.exists():
            write_atomically(path, thumbnail(video, base, tries, timeout))

    failed = []
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(fetch, video.id, path): f"{name}/{video.id}" for name, video, _, path in wanted}
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                except (UserError, OSError) as error:
                    failed.append((futures[future], reason(error)))
                advance()
        except BaseException:  # Ctrl+C: what is under way ends, the rest is not begun
            pool.shutdown(cancel_futures=True)
            raise
    _write_metadata(out / "metadata.csv", wanted)
    return sorted(failed)


def _write_metadata(path: Path, wanted: Iterable[tuple[str, Video, str, Path]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["channel", "video_id", "title", "published", "width", "height", "split"])
    for name, video, split, file in wanted:
        if file.exists():
            with Image.open(file) as image:
                writer.writerow([name, video.id, video.title, video.published, *image.size, split])
    write_atomically(path, text.getvalue().encode())


def main(arguments: Sequence[str] | None = None, base: str = IMAGES, extract: Callable[..., Any] | None = None) -> int:
    """The command line; `base` and `extract` stand for the network in tests."""
    parser = argparse.ArgumentParser(
        prog="python -m models.thumbnails", description="Fetch channels' latest thumbnails."
    )
    parser.add_argument("channels", nargs="+", metavar="URL_OR_@HANDLE")
    parser.add_argument("--count", type=int, default=230, help="videos a channel, with those for testing (default 230)")
    parser.add_argument("--test", type=int, default=30, help="of them for testing: the oldest (default 30)")
    parser.add_argument("--out", type=Path, default=Path("data"), help="where to (default data/)")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"fetched at a time (default {JOBS})")
    options = parser.parse_args(arguments)
    if not 0 <= options.test < options.count <= 5000 or not 1 <= options.jobs <= 32:
        parser.error("--count is at most 5000 and more than --test, --jobs 1 to 32.")
    from tqdm import tqdm

    try:
        channels = [latest(channel, options.count, extract) for channel in options.channels]
        with tqdm(total=sum(len(channel.videos) for channel in channels), unit="video") as bar:
            failed = fetch_all(channels, options.out, options.test, base, options.jobs, bar.update)
    except UserError as error:
        print(f"models.thumbnails: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("models.thumbnails: stopped; run it again to fetch the rest.", file=sys.stderr)
        return 130
    for channel in channels:
        print(f"{channel.name}: {len(channel.videos)} videos")
    for name, why in failed:
        print(f"failed: {name}: {why}")
    print(f"{len(failed)} failed; run it again to try those once more." if failed else f"All are in {options.out}.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
