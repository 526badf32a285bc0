"""The audit against classifiers whose cue is known because they were made so: what hangs on it, and what does not."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest

from explain.audit import Audit, Auditor, audit
from explain.audit import __main__ as command
from explain.audit import run as running
from explain.audit.clusters import cluster, typical
from explain.audit.cues import KINDS, quality, statistics, take_apart
from explain.audit.cues import brightness as exchange_brightness
from explain.audit.measure import REGIONS
from explain.audit.regions import border, corners, faces, text
from explain.audit.result import summarise
from models import UserError, load
from models.classifier import Classifier
from models.head import LinearHead
from models.trained import Trained, save

SIZE = (160, 288)  # a canvas of its own, 5 x 9 cells
CELL = 32
LABELS = ("low", "high")


class Looking:
    """An engine whose one feature is how far a cell is above 120, where `mask` (160, 288) is True and nowhere else."""

    def __init__(self, mask: np.ndarray) -> None:
        self._mask = mask.astype(np.float32)

    def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen = (batch.mean(-1) - 120) * self._mask
        cells = seen.reshape(len(batch), SIZE[0] // CELL, CELL, SIZE[1] // CELL, CELL).mean((2, 4))[..., None]
        return cells, HEAD.logits(cells)


HEAD = LinearHead(np.array([[-1.0, 1.0]]), np.zeros(2))


def looking(mask: np.ndarray) -> Classifier:
    return Classifier("looking", LABELS, Looking(mask), HEAD, network=lambda: None)  # type: ignore[arg-type,return-value]


def subject() -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[56:104, 112:176] = True
    return mask


def pictures(mask: np.ndarray, count: int = 6, seed: int = 0) -> tuple[list[np.ndarray], list[str]]:
    """Grey noise, 40 darker within the mask for "low", 40 lighter for "high"."""
    rng = np.random.default_rng(seed)
    found, labels = [], []
    for at in range(2 * count):
        label = at % 2
        pixels = 120 + rng.normal(0, 12, SIZE)
        pixels[mask] += 40 if label else -40
        found.append(np.repeat(np.clip(pixels, 0, 255).astype(np.uint8)[..., None], 3, -1))
        labels.append(LABELS[label])
    return found, labels


def inner() -> np.ndarray:
    """What the exchange of backgrounds exchanges."""
    return ~(subject() | border(SIZE) | corners(SIZE))


MASKS = {"background": inner(), "border": border(SIZE), "corners": corners(SIZE)}


def audited(mask: np.ndarray, given: bool = True) -> Audit:
    some, labels = pictures(mask)
    return audit(looking(mask), some, labels, subjects=[subject()] * len(some) if given else None, sample=6)


@pytest.mark.parametrize("kind", ["border", "corners"])
def test_a_cue_that_is_all_there_is_turns_the_whole_lead_round(kind: str) -> None:
    found = audited(MASKS[kind])
    assert found.accuracy == 1
    assert (found.verdict, found.kind) == ("shortcut", kind)
    for each in found.classes:
        assert each.kind == kind
        part = {reliance.kind: reliance for reliance in each.reliances}
        assert part[kind].part == pytest.approx(2, abs=0.05)  # with the other's cue: as far on the other side
        assert (part[kind].own, part[kind].other) == (1, 0)
        assert abs(part["background"].part) < 0.05
        assert each.advice
    assert kind.rstrip("s") in found.sentence


def test_the_ground_is_told_by_its_texture_where_its_lightness_is_matched() -> None:
    """Stripes against their own mean: the exchange moves lightness to the picture's, not the pattern."""
    mask = inner()
    wide = np.where(np.arange(SIZE[1]) // 24 % 2, 1, -1)  # wider than any stroke of writing
    stripes = np.repeat(wide[None], SIZE[0], 0).astype(np.float32)

    class Stripes(Looking):
        def forward(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return super().forward(120 + (batch - batch.mean((1, 2), keepdims=True)) * stripes[..., None])

    classifier = Classifier("stripes", LABELS, Stripes(mask), HEAD, network=lambda: None)  # type: ignore[arg-type,return-value]
    rng = np.random.default_rng(1)
    some, labels = [], []
    for at in range(12):
        pixels = 120 + rng.normal(0, 6, SIZE) + 30 * stripes * (1 if at % 2 else -1)
        some.append(np.repeat(np.clip(pixels, 0, 255).astype(np.uint8)[..., None], 3, -1))
        labels.append(LABELS[at % 2])
    found = audit(classifier, some, labels, subjects=[subject()] * 12, sample=6)
    assert (found.verdict, found.kind) == ("shortcut", "background")
    assert all(
        r.part == pytest.approx(2, abs=0.3) for c in found.classes for r in c.reliances if r.kind == "background"
    )
    assert not audit(classifier, some, labels, sample=2).given


def test_the_weather_is_told_as_brightness_and_by_statistics_alone() -> None:
    found = audited(np.ones(SIZE, bool))
    assert (found.verdict, found.kind) == ("shortcut", "brightness")
    assert found.probe > 0.95
    assert "lightness" in found.telling
    assert found.chance == 0.5


def test_who_looks_at_the_subject_is_clean() -> None:
    found = audited(subject())
    assert found.verdict == "clean"
    assert found.kind == ""
    assert found.sentence.startswith("Clean")
    for each in found.classes:
        assert each.evidence["kept"]["mean"] == 1
        moved = {r.kind: r.part for r in each.reliances}
        assert max(abs(moved[kind]) for kind in ("background", "border", "corners", "text")) < 0.05
    high = next(each for each in found.classes if each.label == "high")
    # Cells of 32 that the subject only touches hold the same evidence, so that some of the heat lies just outside it.
    share, area = high.shares["subject"]
    assert area == pytest.approx(subject().mean(), abs=1e-3)
    assert share > 5 * area


def test_shares_are_those_of_the_heat() -> None:
    """Of a picture that is light all over, the heat is uniform: every region holds as much as it covers."""
    light = [np.full((*SIZE, 3), 200, np.uint8), np.full((*SIZE, 3), 40, np.uint8)] * 4
    auditor = Auditor(looking(np.ones(SIZE, bool)), light, ["high", "low"] * 4, subjects=[subject()] * 8, sample=2)
    rows, refused = auditor.measure([0, 2])
    assert refused == []
    assert rows["heat"].shape == (2, 5, 9)
    np.testing.assert_allclose(rows["heat"], 1 / 45, rtol=1e-5)
    seen = [REGIONS.index(name) for name in ("border", "corners", "subject")]
    np.testing.assert_allclose(rows["share"][:, seen], rows["area"][:, seen], rtol=1e-3)
    found = summarise(auditor, [auditor.measure(range(8))])
    np.testing.assert_allclose(found.classes[1].heat, 1 / 45, rtol=1e-5)
    np.testing.assert_allclose(found.classes[1].spread, 0, atol=1e-6)


def test_no_way_of_cutting_the_work_changes_a_figure() -> None:
    some, labels = pictures(corners(SIZE), 6)
    whole, _ = Auditor(looking(corners(SIZE)), some, labels, sample=3).measure(range(12))
    other = Auditor(looking(corners(SIZE)), some, labels, sample=3)
    pieces = [other.measure(span)[0] for span in ([11], range(0, 5), range(5, 11))]
    for name, values in whole.items():
        joined = np.concatenate([pieces[1][name], pieces[2][name], pieces[0][name]])
        np.testing.assert_array_equal(values, joined, err_msg=name)


def test_what_cannot_be_audited_is_refused_in_a_sentence() -> None:
    some, _ = pictures(corners(SIZE), 2)
    with pytest.raises(UserError, match="at least two"):
        audit(looking(corners(SIZE)), some, ["low"] * 4)
    with pytest.raises(UserError, match="no class 'middle'"):
        audit(looking(corners(SIZE)), some, ["low", "middle"] * 2)
    with pytest.raises(UserError, match="one label"):
        audit(looking(corners(SIZE)), some, ["low", "high"])


def test_heatmaps_of_two_kinds_fall_into_two_groups() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((40, 5, 9)) * 0.1
    maps[:28, 0, :3] += 1
    maps[28:, 4, 6:] += 1
    found = cluster(maps)
    np.testing.assert_array_equal(found.of, [0] * 28 + [1] * 12)
    np.testing.assert_allclose(found.eigenvalues[:2], 0, atol=1e-9)  # two components, two zeros
    same = cluster(np.ones((20, 3, 3)) + 0.01 * rng.random((20, 3, 3)))
    assert same.of.max() <= 2
    assert typical(np.array([[[0.0]], [[1.0]], [[5.0]]]), 1).tolist() == [1]


@pytest.mark.parametrize("level", [8, 13, 30])
def test_the_quality_of_a_jpeg_is_found_in_its_pixels(level: int) -> None:
    rng = np.random.default_rng(level)
    coarse = rng.integers(0, 256, (15, 27, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    assert quality(pixels) == 100
    again = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, level])[1], cv2.IMREAD_COLOR)
    assert quality(np.ascontiguousarray(again[..., ::-1])) == level


def test_writing_and_faces_are_found_where_they_are(cat_pixels: np.ndarray) -> None:
    page = np.full((*SIZE, 3), 90, np.uint8)
    assert not text(page).any()
    cv2.putText(page, "SEVEN DAYS", (60, 90), cv2.FONT_HERSHEY_DUPLEX, 0.9, (250, 250, 250), 2, cv2.LINE_AA)
    ink = (page > 200).all(-1)
    assert text(page)[ink].mean() > 0.9
    assert text(page).mean() < 0.2
    photo = cv2.imread(str(Path(__file__).parents[2] / "samples" / "photos" / "astronaut.jpg"))[..., ::-1]
    assert faces(np.ascontiguousarray(photo)).any()
    assert not faces(page).any()


def test_brightness_moves_to_the_donors_and_colour_stays() -> None:
    rng = np.random.default_rng(0)
    dark, light = (np.clip(rng.normal(mean, 10, (*SIZE, 3)), 0, 255).astype(np.uint8) for mean in (70, 170))
    moved = exchange_brightness(take_apart(dark, None), take_apart(light, None))
    before, after, wanted = (statistics(each) for each in (dark, moved, light))
    assert after[0] == pytest.approx(wanted[0], abs=2)
    np.testing.assert_allclose(after[2:4], before[2:4], atol=2)


# --- Workers, resuming, the command line --------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of ten small pictures, one of them cut off, a stray folder, and a model that tells light from dark."""
    home = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    for label, mean in (("low", 80), ("high", 170)):
        (home / "data" / label).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(rng.normal(mean, 25, (90, 160, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(home / "data" / label / f"{number}.jpg"), cv2.GaussianBlur(pixels, (0, 0), 2))
    broken = home / "data" / "low" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:200])
    (home / "data" / "stray").mkdir()
    cv2.imwrite(str(home / "data" / "stray" / "0.jpg"), np.zeros((32, 32, 3), np.uint8))
    weights = rng.normal(0, 1, (1280, 2)).astype(np.float32)
    save(Trained(load(), [(weights, np.zeros(2, np.float32))], LABELS, side=128), home / "model.npz")
    return home


def recipe(folder: Path) -> running.Recipe:
    found, strange = running.folder(str(folder / "model.npz"), folder / "data", sample=3)
    assert strange == ["stray"]
    return running.Recipe(**{**vars(found), "shard": 4})


def same(first: Audit, second: Audit) -> None:
    assert json.dumps(first.facts()) == json.dumps(second.facts())
    for a, b in zip(first.classes, second.classes, strict=True):
        np.testing.assert_array_equal(a.heat, b.heat)
        np.testing.assert_array_equal(a.spread, b.spread)


@pytest.fixture(scope="module")
def local(folder: Path) -> Audit:
    return running.run(recipe(folder), keep=folder / "local")


def test_a_corrupt_file_is_counted_and_named(local: Audit) -> None:
    assert local.pictures == 19
    assert [why for _, why in local.refused] == ["'3.jpg' is cut off or damaged; save or download it again."]


def test_an_interrupted_audit_goes_on(folder: Path, local: Audit) -> None:
    kept = sorted((folder / "local").glob("*.npz"))
    assert len(kept) == 5
    times = {path.name: path.stat().st_mtime_ns for path in kept}
    kept[2].unlink()
    done: list[int] = []
    same(running.run(recipe(folder), keep=folder / "local", progress=lambda count, _: done.append(count)), local)
    assert done == [20]
    changed = [path.name for path in kept if path.stat().st_mtime_ns != times[path.name]]
    assert changed == [kept[2].name]


def test_a_killed_worker_changes_nothing(folder: Path, local: Audit) -> None:
    killed: list[int] = []

    def kill(count: int, total: int) -> None:
        if not killed:
            child = multiprocessing.active_children()[0]
            killed.append(int(child.pid or 0))
            child.kill()

    same(running.run(recipe(folder), workers=2, progress=kill), local)
    assert killed


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed (requirements-ray.txt)")
def test_ray_gives_the_same(folder: Path, local: Audit) -> None:
    same(running.run(recipe(folder), workers=1, ray="local"), local)


def test_the_command_writes_a_page_that_needs_nothing_else(
    folder: Path, local: Audit, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "report"
    assert command.main([str(folder / "model.npz"), str(folder / "data"), "--report", str(out), "--sample", "3"]) == 0
    said = capsys.readouterr()
    assert "'stray' was left out" in said.err
    assert "3.jpg" in said.err
    assert local.sentence in said.out
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "http" not in html.replace("http-equiv", "")
    assert html.count("data:image/jpeg;base64,") > 10
    facts = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert facts["pictures"] == 19
    assert [r["kind"] for r in facts["classes"][0]["reliances"]] == list(KINDS)
    with np.load(out / "maps.npz", allow_pickle=False) as maps:
        assert maps["labels"].tolist() == list(LABELS)
        np.testing.assert_array_equal(maps["mean"], np.stack([each.heat for each in local.classes]))


def test_mistakes_on_the_command_line_are_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["mobilenet_v2", str(folder / "data")]) == 2
    assert "rename them" in capsys.readouterr().err
    assert command.main([str(folder / "model.npz"), str(folder / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err
