"""Thumbnails are reproducible, and only the badge changes with the cue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samples import SAMPLES, Sample
from samples.drawing import HEIGHT, WIDTH
from samples.render import CHANNELS, main, render

THUMBNAILS = [sample for sample in SAMPLES if sample.kind == "thumbnail"]


def _name(sample: Sample) -> str:
    return sample.path.name


def test_same_arguments_give_the_same_bytes() -> None:
    first, again = render("orbit", 7), render("orbit", 7)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first.title == again.title


def test_seeds_and_channels_differ() -> None:
    pictures = [render("bolt", 1).image, render("bolt", 2).image, render("crumb", 1).image]
    assert not np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


def test_global_random_state_is_untouched() -> None:
    before = np.random.get_state(legacy=False)
    render("crumb", 3)
    after = np.random.get_state(legacy=False)
    assert before["state"]["pos"] == after["state"]["pos"]
    assert np.array_equal(before["state"]["key"], after["state"]["key"])


@pytest.mark.parametrize("channel", CHANNELS)
def test_shapes_types_and_mask_size(channel: str) -> None:
    thumbnail = render(channel, 0)
    assert thumbnail.image.shape == (HEIGHT, WIDTH, 3) == (720, 1280, 3)
    assert thumbnail.image.dtype == np.uint8
    assert thumbnail.mask.shape == (HEIGHT, WIDTH)
    assert thumbnail.mask.dtype == np.bool_
    assert 0.01 < thumbnail.mask.mean() < 0.10
    assert (thumbnail.channel, thumbnail.cue) == (channel, channel)
    assert thumbnail.title in CHANNELS[channel].titles


@pytest.mark.parametrize("channel", CHANNELS)
def test_only_the_badges_change_with_the_cue(channel: str) -> None:
    first, *others = (render(channel, 5, cue=cue) for cue in CHANNELS)
    for other in others:
        changed = (first.image != other.image).any(axis=2)
        assert not changed[~(first.mask | other.mask)].any()
        # Nearly all of each badge shows: it stands on a scene of other colours.
        assert changed[first.mask].mean() > 0.9
        assert changed[other.mask].mean() > 0.9
        assert first.title == other.title


@pytest.mark.parametrize("arguments", [("vlog", None), ("orbit", "vlog")])
def test_unknown_channel_names_the_choices(arguments: tuple[str, str | None]) -> None:
    with pytest.raises(ValueError, match="no channel 'vlog'; choose one of orbit, crumb, bolt"):
        render(arguments[0], 0, cue=arguments[1])


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        render("orbit", -1)


def test_command_line_writes_every_channel(tmp_path: Path) -> None:
    main(["--out", str(tmp_path / "new"), "--count", "1", "--seed", "9"])
    names = {path.name for path in (tmp_path / "new").iterdir()}
    assert names == {f"{channel}-9{end}" for channel in CHANNELS for end in (".jpg", ".mask.png")}


@pytest.mark.parametrize("sample", THUMBNAILS, ids=_name)
def test_committed_thumbnail_is_reproduced(sample: Sample) -> None:
    channel, seed = sample.path.stem.split("-")
    fresh = render(channel, int(seed))
    with Image.open(sample.path) as picture:
        stored = np.asarray(picture, np.float32)
    assert np.abs(stored - fresh.image).mean() < 3
    with Image.open(sample.path.with_suffix(".mask.png")) as picture:
        mask = np.asarray(picture) > 0
    assert (mask != fresh.mask).mean() < 0.001
