"""The links to YouTube that people paste: what is understood, as the address of a list of videos or the id of one video."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from core.errors import UserError

HOSTS = ("youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com", "www.youtube-nocookie.com")
SHORT_HOSTS = ("youtu.be", "www.youtu.be")
IMAGE_HOSTS = ("i.ytimg.com", "img.youtube.com")
TABS = ("videos", "shorts", "streams")
"""Tabs of a channel that list videos. Every other tab, such as /featured, stands for /videos."""
LINKS = (
    ("@handle, with or without youtube.com/", "the videos of the channel"),
    ("/channel/ID, /c/NAME, /user/NAME, /NAME", "the videos of the channel"),
    ("a channel with /shorts or /streams", "what this tab lists"),
    ("a channel with /featured, /playlists, /about or another tab", "the videos of the channel"),
    ("/playlist?list=ID, and a video link with &list=ID", "the videos of the playlist"),
    ("/watch?v=ID, /shorts/ID, /live/ID, /embed/ID, youtu.be/ID, or the id", "one video: its thumbnail on the page"),
)
"""What is understood and what it stands for. What follows a ? and is not needed, such as si=, is ignored."""
_NOT_CHANNELS = {
    "watch",
    "shorts",
    "embed",
    "live",
    "v",
    "e",
    "playlist",
    "feed",
    "results",
    "hashtag",
    "post",
    "clip",
    "vi",
}
_ID = re.compile(r"[\w-]{11}", re.ASCII)


def _split(text: str) -> SplitResult:
    text = text.strip().strip("<>\"'")
    try:
        return urlsplit(text if "//" in text else f"https://{text}")
    except ValueError:  # such as an address with a single bracket
        return urlsplit("")


def video_id(text: str) -> str | None:
    """The id of a video from its link or the id itself; None for anything else.

    >>> video_id("https://youtu.be/dQw4w9WgXcQ?t=3")
    'dQw4w9WgXcQ'
    """
    text = text.strip()
    if _ID.fullmatch(text):
        return text
    link = _split(text)
    parts = [part for part in link.path.split("/") if part]
    video = ""
    if link.hostname in SHORT_HOSTS and len(parts) == 1:
        video = parts[0]
    elif link.hostname in IMAGE_HOSTS and len(parts) == 3 and parts[0] in ("vi", "vi_webp"):
        video = parts[1]
    elif link.hostname in HOSTS:
        if len(parts) == 2 and parts[0] in ("shorts", "embed", "live", "v", "e", "watch"):
            video = parts[1]
        elif parts in ([], ["watch"]):
            video = parse_qs(link.query).get("v", [""])[0]
    return video if _ID.fullmatch(video) else None


def list_address(text: str) -> str:
    """The address of the list of videos that a pasted channel or playlist stands for, see LINKS.

    Raises UserError for anything else.

    >>> list_address("youtube.com/@computerphile/featured?si=abc")
    'https://www.youtube.com/@computerphile/videos'
    """
    text = text.strip()
    link = _split(f"youtube.com/{text}" if text.startswith("@") else text)
    parts = [part for part in link.path.split("/") if part]
    if link.hostname in (*HOSTS, *SHORT_HOSTS):
        playlist = parse_qs(link.query).get("list", [""])[0]
        if re.fullmatch(r"[\w-]{2,}", playlist, re.ASCII) and not playlist.startswith("RD"):  # RD: a mix without an end
            return f"https://www.youtube.com/playlist?list={playlist}"
        if video_id(text):
            raise UserError(f"'{text[:80]}' is one video; give its channel's @handle or link, or a playlist.")
        named = 2 if parts[:1] in (["channel"], ["c"], ["user"]) else 1
        if link.hostname in HOSTS and len(parts) >= named and parts[0] not in _NOT_CHANNELS and parts[named - 1] != "@":
            tab = parts[named] if len(parts) > named and parts[named] in TABS else "videos"
            return f"https://www.youtube.com/{'/'.join(parts[:named])}/{tab}"
    raise UserError(f"'{text[:80]}' is not a channel; give its @handle or its youtube.com link.")
