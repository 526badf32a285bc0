"""Fetch thumbnails of YouTube videos: of one video by its link, or of a channel's latest videos as training data.

    python -m training.youtube @computerphile @LinusTechTips --count 230 --test 30 --out data/

writes `data/train/CHANNEL/ID.jpg`, `data/test/...` and `data/metadata.csv`. A second run fetches only missing thumbnails.
Listing a channel needs yt-dlp (`pip install -r requirements-fetch.txt`). All thumbnails come from one fixed host.
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

from PIL import Image, UnidentifiedImageError

from core.cli import Parser, make_folder, print_error, run_command
from core.errors import UserError, describe_error
from core.files import write_atomically
from core.formats import FORMATS
from core.images import Picture, read
from training.youtube_links import list_address, video_id

PROGRAM = "training.youtube"
IMAGES = "https://i.ytimg.com/vi"
SIZES = (
    "maxresdefault",
    "hq720",
    "sddefault",
    "hqdefault",
    "mqdefault",
)  # largest first; sd and hq are 4:3 with black bars
MAX_BYTES = 8_000_000
TIMEOUT = 20.0  # seconds to wait for an answer
TRIES = 4
BACK_OFF = 0.5  # seconds before the second try, doubled before each further try
JOBS = 8  # simultaneous downloads


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow no redirect, because the host is fixed."""


_open = urllib.request.build_opener(_NoRedirect).open


@dataclass(frozen=True)
class Video:
    """A video as its channel lists it. `published`: YYYY-MM-DD, or empty where the list has no date."""

    id: str
    title: str
    published: str = ""


@dataclass(frozen=True)
class Channel:
    """A channel with its latest videos, newest first. `name`: usable as a folder name."""

    name: str
    videos: tuple[Video, ...]


def read_thumbnail(link: str, base: str = IMAGES, timeout: float = 8.0) -> Picture:
    """The thumbnail of a video, in the largest size available.

    Args:
        link: Link or id of the video.
        base: Address of the image server.
        timeout: Seconds to wait for each answer.

    Raises:
        UserError: The link is wrong, or the thumbnail cannot be fetched.
    """
    video = video_id(link)
    if video is None:
        raise UserError(
            "This is not a link to a YouTube video; paste a link such as https://youtu.be/dQw4w9WgXcQ, or the id."
        )
    return read(io.BytesIO(download_thumbnail(video, base, tries=2, timeout=timeout)))


def download_thumbnail(video: str, base: str = IMAGES, tries: int = TRIES, timeout: float = TIMEOUT) -> bytes:
    """The thumbnail of a video as the bytes of a JPEG, 16:9, in the largest size available.

    Args:
        video: Id of the video.
        base: Address of the image server.
        tries: Attempts for each size, see `_download`.
        timeout: Seconds to wait for each answer.

    Raises:
        UserError: There is no thumbnail, or it cannot be fetched.
    """
    for size in SIZES:
        content = _download(f"{base}/{video}/{size}.jpg", tries, timeout)
        if content is not None:
            return _crop_bars(content)
    raise UserError(f"There is no thumbnail of the video '{video}'; check the link.")


def _download(address: str, tries: int, timeout: float) -> bytes | None:
    """The picture at an address, or None where the server has none (404).

    Errors that may pass (5xx, 429, timeouts, broken connections) are tried again, each time after twice the wait.
    """
    problem = ""
    for number in range(tries):
        if number:
            time.sleep(BACK_OFF * 2 ** (number - 1))
        try:
            with _open(address, timeout=timeout) as answer:
                content = bytes(answer.read(MAX_BYTES + 1))
                if len(content) < int(answer.headers.get("Content-Length") or 0) and len(content) <= MAX_BYTES:
                    raise http.client.IncompleteRead(content)
            if len(content) > MAX_BYTES:
                raise UserError(f"The thumbnail is larger than {MAX_BYTES // 1_000_000} MB; it is not fetched.")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                image.load()
            return content
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code < 500 and error.code != 429:
                raise UserError(f"The image server answered {error.code}; try another video.") from error
            problem = f"its server answered {error.code}"
        except UnidentifiedImageError as error:
            raise UserError("The answer is not a picture; check whether the network asks for a login.") from error
        except urllib.error.URLError as error:
            timed_out = isinstance(error.reason, TimeoutError)
            problem = "its server does not answer in time" if timed_out else "its server cannot be reached"
        except TimeoutError:
            problem = "its server does not answer in time"
        except (http.client.HTTPException, OSError):  # a connection that broke, or a JPEG that ends early
            problem = "it arrives incomplete"
    raise UserError(f"The thumbnail cannot be fetched: {problem}; check the network and try again.")


def _crop_bars(content: bytes) -> bytes:
    """A JPEG without the black bars above and below: a 4:3 thumbnail contains the 16:9 one in its middle."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if abs(width / height - 4 / 3) > 0.02:
            return content
        inner = round(width * 9 / 16)
        middle = image.convert("RGB").crop((0, (height - inner) // 2, width, (height + inner) // 2))
    file = io.BytesIO()
    middle.save(file, "JPEG", quality=95)
    return file.getvalue()


def list_channel(channel: str, count: int, extract: Callable[[str, int], dict[str, Any]] | None = None) -> Channel:
    """List the latest videos of a channel.

    Args:
        channel: The channel's link or @handle, or a playlist; see `training.youtube_links.LINKS`.
        count: Largest number of videos.
        extract: Takes a link and a count and returns a flat list as yt-dlp does; by default yt-dlp.

    Returns:
        The channel with at most `count` videos.

    Raises:
        UserError: There is no such channel, no network or no yt-dlp.
    """
    listing = (extract or _list_with_yt_dlp)(list_address(channel), count)
    entries = [entry for entry in listing.get("entries") or () if entry and video_id(entry.get("id") or "")]
    if not entries:
        raise UserError(f"'{channel[:80]}' has no videos; check its spelling.")
    title = (listing.get("title") or channel).removesuffix(" - Videos")
    name = listing.get("channel") or listing.get("uploader") or title
    videos = [Video(entry["id"], entry.get("title") or "", _publication_day(entry)) for entry in entries[:count]]
    return Channel(_folder_name(name), tuple(videos))


def _publication_day(entry: dict[str, Any]) -> str:
    if (seconds := entry.get("timestamp")) is not None:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    day = entry.get("upload_date") or ""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 else ""


def _folder_name(name: str) -> str:
    """The name of a channel as a folder name that every system allows."""
    return re.sub(r'[\x00-\x1f<>:"/\\|?*]', " ", name).strip(" .")[:80] or "channel"


def _list_with_yt_dlp(link: str, count: int) -> dict[str, Any]:
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
        "extractor_args": {"youtubetab": {"approximate_date": [""]}},  # without this a flat list has no dates
    }
    try:
        with yt_dlp.YoutubeDL(options) as downloader:
            return dict(downloader.extract_info(link, download=False) or {})
    except yt_dlp.utils.DownloadError as error:
        raise UserError(f"'{link}' cannot be listed: {describe_error(error)[:200]}.") from error


class _Silent:
    """A logger for yt-dlp that prints nothing; its errors are also raised."""

    def debug(self, message: str) -> None:
        """Print nothing."""

    info = warning = error = debug


def fetch_channels(
    channels: Sequence[Channel],
    out: Path,
    test: int | Sequence[int],
    base: str = IMAGES,
    jobs: int = JOBS,
    advance: Callable[[], None] = lambda: None,
    tries: int = TRIES,
    timeout: float = TIMEOUT,
) -> list[tuple[str, str]]:
    """Fetch the missing thumbnails of channels, and write `metadata.csv` for all that exist. Files are written atomically.

    Args:
        channels: What to fetch.
        out: Folder for train/, test/ and metadata.csv.
        test: The oldest videos of each channel for testing; the others are for training. A number for all channels, or one
            per channel.
        base: Address of the image server.
        jobs: Simultaneous downloads.
        advance: Called after each video.
        tries: Attempts for each size.
        timeout: Seconds to wait for each answer.

    Returns:
        Failures as (channel/id, reason), sorted.
    """
    wanted = []
    tests = [test] * len(channels) if isinstance(test, int) else test
    for channel, held_out in zip(channels, tests, strict=True):
        for index, video in enumerate(channel.videos):
            split = "train" if index < len(channel.videos) - held_out else "test"
            wanted.append((channel.name, video, split, out / split / channel.name / f"{video.id}.jpg"))

    def fetch(video: str, path: Path) -> None:
        if not path.exists():
            write_atomically(path, download_thumbnail(video, base, tries, timeout))

    failures = []
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(fetch, video.id, path): f"{name}/{video.id}" for name, video, _, path in wanted}
        try:
            for future in as_completed(futures):
                try:
                    future.result()
                except (UserError, OSError) as error:
                    failures.append((futures[future], describe_error(error)))
                advance()
        except BaseException:  # Ctrl-C: running downloads end, the others do not start
            pool.shutdown(cancel_futures=True)
            raise
    _write_metadata(out / "metadata.csv", wanted)
    return sorted(failures)


def share_for_testing(videos: int, count: int, test: int) -> int:
    """How many of a channel's videos are for testing: `test` of `count`, and in proportion where there are fewer videos.

    At least one is left for training.

    >>> share_for_testing(230, 230, 30), share_for_testing(20, 230, 30), share_for_testing(1, 230, 30)
    (30, 3, 0)
    """
    if videos >= count:
        return test
    return min(max(round(videos * test / count), min(test, 1)), max(videos - 1, 0))


def _write_metadata(path: Path, wanted: Iterable[tuple[str, Video, str, Path]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["channel", "video_id", "title", "published", "width", "height", "split"])
    for name, video, split, file in wanted:
        if file.exists():
            with Image.open(file, formats=FORMATS) as image:
                writer.writerow([name, video.id, video.title, video.published, *image.size, split])
    write_atomically(path, text.getvalue().encode())


def main(arguments: Sequence[str] | None = None, base: str = IMAGES, extract: Callable[..., Any] | None = None) -> int:
    """Fetch thumbnails. Each one that fails is one line on stderr.

    Args:
        arguments: The arguments of the command line; by default those of the process.
        base: Address of the image server; tests give another one.
        extract: Lists a channel, see `list_channel`.

    Returns:
        The exit status, see `core.cli.run_command`; 2 where a thumbnail failed.
    """
    return run_command(PROGRAM, lambda: _fetch(_parser().parse_args(arguments), base, extract))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        PROGRAM,
        "Fetch the thumbnails of the latest videos of YouTube channels.",
        (
            ("@computerphile @LinusTechTips", "200 thumbnails per channel for training and 30 for testing, in data/"),
            ("@computerphile --count 60 --test 10 --out small/", "fewer, in another folder"),
        ),
    )
    parser.add_argument("channels", nargs="+", metavar="URL_OR_@HANDLE", help="channels")
    parser.add_argument(
        "--count", type=int, default=230, metavar="N", help="videos per channel, test videos included; by default 230"
    )
    parser.add_argument(
        "--test",
        type=int,
        default=30,
        metavar="N",
        help="number of the oldest videos that are for testing, in proportion for a channel with fewer videos than --count; "
        "by default 30",
    )
    parser.add_argument("--out", type=Path, default=Path("data"), metavar="DIR", help='folder, by default "data"')
    parser.add_argument(
        "--jobs", type=int, default=JOBS, metavar="N", help=f"simultaneous downloads, by default {JOBS}"
    )
    return parser


def _fetch(options: argparse.Namespace, base: str, extract: Callable[..., Any] | None) -> int:
    from tqdm import tqdm

    if not 0 <= options.test < options.count <= 5000 or not 1 <= options.jobs <= 32:
        raise UserError("--count is at most 5000 and more than --test, --jobs is 1 to 32.")
    make_folder(options.out)
    try:
        channels = [list_channel(channel, options.count, extract) for channel in options.channels]
        tests = [share_for_testing(len(channel.videos), options.count, options.test) for channel in channels]
        with tqdm(total=sum(len(channel.videos) for channel in channels), unit="video") as bar:
            failures = fetch_channels(channels, options.out, tests, base, options.jobs, bar.update)
    except KeyboardInterrupt:
        print_error(PROGRAM, "Stopped; run it again to fetch the rest.")
        raise
    for channel, held_out in zip(channels, tests, strict=True):
        total = len(channel.videos)
        fewer = (
            f" (fewer than {options.count}, so --test {options.test} is in proportion)" if total < options.count else ""
        )
        print(f"{channel.name}: {total} videos, {total - held_out} for training and {held_out} for testing{fewer}")
    for name, problem in failures:
        print_error(PROGRAM, f"{name}: {problem}")
    if failures:
        count = sum(len(channel.videos) for channel in channels)
        raise UserError(f"{len(failures)} of {count} thumbnails failed; run the command again to retry.")
    print(f"All are in {options.out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
