"""explain() and stream(): from a method's map to the picture's own pixels, and every mistake in the arguments."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import PictureError, UnknownNameError, UserError
from explain import METHODS, Explanation, Method, explain, stream
from explain.registry import Step
from models.classifier import Classifier
from models.geometry import resample
from tests.networks import blank, linear, picture, small_classifier


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch):
    """Explain with a method that answers with one given map: what is left is the way back to the picture."""

    def put(raw, pixels: np.ndarray, classifier: Classifier, **facts) -> Explanation:
        raw = np.asarray(raw, np.float32)
        given = Method("given", "", "cam", "", "", "", function=lambda view, target: raw, **facts)
        monkeypatch.setitem(METHODS, "given", given)
        return explain(pixels, classifier, "given", 0)

    return put


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (333, 77), (16, 256), (101, 37), (16, 16), (225, 223)])
@pytest.mark.parametrize("method", ["grad-cam", "cam"])
def test_the_map_is_in_the_pictures_own_pixels(mobilenet, size: tuple[int, int], method: str) -> None:
    explanation = explain(picture(*size), mobilenet, method)
    assert explanation.heatmap.shape == size
    assert explanation.heatmap.dtype == np.float32
    assert explanation.heatmap.min() >= 0
    assert explanation.heatmap.max() == pytest.approx(1)
    assert explanation.raw.shape == tuple(side // 32 for side in explanation.parameters["canvas"])


@pytest.mark.parametrize("size", [(40, 60), (33, 97), (61, 20)])
def test_pixel_maps_come_back_in_odd_sizes_too(size: tuple[int, int]) -> None:
    explanation = explain(picture(*size), linear((32, 32)), "occlusion", 0, patch=8, stride=5)
    assert explanation.raw.shape == (32, 32)
    assert explanation.heatmap.shape == size


@pytest.mark.parametrize("cell", [(0, 0), (1, 2), (3, 3), (2, 0)])
def test_a_cell_lands_on_its_own_pixels(show, cell: tuple[int, int]) -> None:
    """Half-pixel centres: seen from the middle, a cell's heat is symmetric about the centre of the pixels it stands for.

    Corners aligned, as in SciPy's zoom, the peak would lie up to half a cell away.
    """
    raw = np.zeros((4, 4))
    raw[cell] = 1
    heat = show(raw, picture(64, 96), blank((64, 96))).heatmap
    rows, columns = np.nonzero(heat >= heat.max() * 0.97)
    assert heat[cell[0] * 16 : cell[0] * 16 + 16, cell[1] * 24 : cell[1] * 24 + 24].mean() > 0.5
    inner = [(c in (0, 3)) for c in cell]
    for where, index, width, at_edge in zip((rows, columns), cell, (16, 24), inner, strict=True):
        centre = (index + 0.5) * width - 0.5
        if not at_edge:  # beyond the outermost centres the map is flat
            assert where.mean() == pytest.approx(centre, abs=0.01)
        assert np.abs(where - centre).min() <= 0.5
    if not any(inner):
        profile = heat[:, columns[0]]
        spread = (profile * np.arange(64)).sum() / profile.sum()
        assert spread == pytest.approx((cell[0] + 0.5) * 16 - 0.5, abs=0.01)


def test_a_constant_map_stays_constant(show) -> None:
    heat = show(np.full((3, 5), 0.2), picture(47, 91), blank((64, 96))).heatmap
    np.testing.assert_allclose(heat, 1, rtol=1e-6)


def test_scaling_comes_after_resizing(show) -> None:
    """A peak of one canvas pixel is averaged away in a small picture; what is left of it must still reach 1.

    Scaled before resizing, the brightest pixel would show a sixteenth.
    """
    raw = np.zeros((64, 64))
    raw[33, 33] = 5
    heat = show(raw, picture(16, 16), blank((64, 64))).heatmap
    assert heat.max() == 1
    assert (heat > 0).sum() <= 9


def test_peaks_in_the_padding_do_not_set_the_scale(show) -> None:
    """The same for heat that lies outside the picture."""
    raw = np.zeros((64, 64))
    raw[2, 5], raw[32, 30] = 100, 1
    explanation = show(raw, picture(32, 64), blank((64, 64)))
    assert explanation.heatmap.shape == (32, 64)
    assert explanation.heatmap[16, 30] == explanation.heatmap.max() == 1
    assert explanation.heatmap[0].max() == 0
    assert explanation.padding_share == pytest.approx(100 / 101)


@pytest.mark.parametrize(("size", "share"), [((32, 64), 0.5), ((64, 16), 0.75), ((64, 64), 0.0), ((16, 64), 0.75)])
@pytest.mark.parametrize("grid", [(2, 2), (64, 64), (7, 3)])
def test_padding_share_of_an_even_map_is_the_share_of_the_canvas(show, size, share: float, grid) -> None:
    explanation = show(np.full(grid, 3), picture(*size), blank((64, 64)))
    assert explanation.padding_share == pytest.approx(share, abs=1e-6)
    assert (explanation.heatmap == 1).all()


def test_negative_heat_on_the_padding_counts_for_nothing(show) -> None:
    raw = np.ones((64, 64))
    raw[:16] = -7
    assert show(raw, picture(32, 64), blank((64, 64))).padding_share == pytest.approx(1 / 3)


@pytest.mark.parametrize("raw", [np.zeros((2, 2)), -np.ones((2, 2))])
def test_an_empty_map_is_empty_and_says_so(show, raw: np.ndarray) -> None:
    explanation = show(raw, picture(), blank((16, 16)))
    assert (explanation.heatmap == 0).all()
    assert "zero everywhere" in explanation.notes[-1]
    assert explanation.padding_share == 0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_is_an_error(show, wrong: float) -> None:
    with pytest.raises(ArithmeticError, match="not finite"):
        show([[1, wrong], [0, 0]], picture(), blank((16, 16)))


def test_a_percentile_above_which_there_is_nothing_falls_back_to_the_peak(show) -> None:
    raw = np.zeros((16, 16))
    raw[3, 4] = 2
    heat = show(raw, picture(), blank((16, 16)), percentile=50).heatmap
    assert heat[3, 4] == 1
    assert heat.sum() == 1


def test_the_last_of_the_stream_is_the_explanation() -> None:
    classifier, pixels = linear((32, 32)), picture(40, 30)
    for method in ("grad-cam", "saliency", "occlusion", "rise"):
        if method in {"cam", "guided-backprop", "guided-grad-cam"}:  # they need more of a network
            continue
        *_, last = stream(pixels, classifier, method, 1)
        explanation = explain(pixels, classifier, method, 1)
        np.testing.assert_array_equal(last.heatmap, explanation.heatmap)
        assert last.to_dict() | {"seconds": 0} == explanation.to_dict() | {"seconds": 0}
        assert last.progress == 1


def test_explain_takes_only_the_last_map_to_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    from models.geometry import Geometry

    restored = []
    restore = Geometry.restore
    monkeypatch.setattr(Geometry, "restore", lambda self, grid: restored.append(1) or restore(self, grid))
    explain(picture(64, 64), linear((64, 64)), "occlusion", patch=8, stride=8)
    assert len(restored) == 1


def test_facts_are_json_and_tell_everything_but_the_maps(mobilenet, cat: Path) -> None:
    explanation = explain(cat, mobilenet, "occlusion", "TABBY", patch=np.int64(96), stride=96)
    facts = json.loads(json.dumps(explanation.to_dict()))
    assert facts["target"]["label"] == "tabby"
    assert facts["target"]["index"] == 281
    assert 0 < facts["target"]["probability"] < 1
    assert [p["probability"] for p in facts["top"]] == sorted((p["probability"] for p in facts["top"]), reverse=True)
    assert facts["parameters"] | {"box": 0, "canvas": 0} == {
        "patch": 96, "stride": 96, "fill": "mean", "smooth": "", "side": None, "size": [300, 451], "box": 0, "canvas": 0,
        "fit": "follow", "preprocessing": "inside",
    }  # fmt: skip
    assert facts["forward_passes"] == explanation.forward_passes == 1 + 2 + 2 * 3  # the preview's and the map's
    assert facts["seconds"] > 0
    assert set(facts) == {
        "model", "method", "target", "top", "seconds", "forward_passes", "backward_passes", "padding_share",
        "parameters", "notes", "error", "against", "peak",
    }  # fmt: skip


def test_an_explanation_cannot_be_changed(mobilenet, cat: Path) -> None:
    with pytest.raises(AttributeError):
        explain(cat, mobilenet).class_index = 3  # type: ignore[misc]


def test_the_class_explained_is_the_one_asked_for(mobilenet, cat: Path) -> None:
    predicted = explain(cat, mobilenet)
    assert predicted.class_index == predicted.top[0].index == 285
    assert predicted.label == "Egyptian cat"
    for target in (285, np.int64(285), "Egyptian cat", "EGYPTIAN CAT", "  egyptian Cat "):
        explanation = explain(cat, mobilenet, target=target)
        assert explanation.class_index == 285
        np.testing.assert_array_equal(explanation.raw, predicted.raw)
    other = explain(cat, mobilenet, target=281)
    assert (other.label, other.class_index) == ("tabby", 281)
    assert other.probability == next(p.probability for p in other.top if p.index == 281)
    assert not np.array_equal(other.raw, predicted.raw)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"method": "grad-cma"}, "did you mean 'grad-cam'"),
        ({"method": "zzz"}, "choose one of"),
        ({"method": ""}, "no method ''"),
        ({"target": "egyptian cta"}, "did you mean 'Egyptian cat'"),
        ({"target": "xyzzyq"}, "check its spelling"),
        ({"target": 1000}, "0 to 999"),
        ({"target": -1}, "0 to 999"),
        ({"method": "saliency", "patch": 8}, "saliency has no options"),
        ({"method": "occlusion", "pathc": 8}, "did you mean 'patch'"),
        ({"method": "occlusion", "patch": "8"}, "a whole number"),
        ({"method": "occlusion", "patch": 8.0}, "a whole number"),
        ({"method": "occlusion", "patch": True}, "a whole number"),
        ({"method": "occlusion", "patch": None}, "a whole number"),
        ({"method": "occlusion", "fill": 3}, "a name"),
        ({"method": "occlusion", "fill": "Mean"}, "did you mean 'mean'"),
        ({"method": "occlusion", "stride": 64}, "stride 64 and patch 32"),
    ],
)
def test_wrong_names_and_options_get_one_sentence(mobilenet, cat: Path, arguments: dict, says: str) -> None:
    with pytest.raises(UserError) as caught:
        explain(cat, mobilenet, **arguments)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert message[-1] in ".?"


def test_wrong_names_are_found_before_any_work() -> None:
    classifier = small_classifier("gap")
    engine, classifier.engine = classifier.engine, None
    try:
        for arguments in ({"method": "nope"}, {"target": "nope"}, {"size": 1}):
            with pytest.raises(UnknownNameError):
                explain(picture(), classifier, **arguments)
    finally:
        classifier.engine = engine


@pytest.mark.parametrize("name", ["grad-cam", "Grad-CAM", "grad_cam", " GRAD_CAM "])
def test_methods_are_found_however_they_are_written(mobilenet, cat: Path, name: str) -> None:
    assert explain(cat, mobilenet, name).method == "grad-cam"


def _png(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _bomb() -> bytes:
    """A PNG whose header says 60000 x 60000."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


NOISE = Image.fromarray(picture(60, 80))
WRONG = {
    "text.jpg": b"this is no picture",
    "empty.png": b"",
    "cut.jpg": _png(NOISE, "JPEG")[:900],
    "cut.png": _png(NOISE)[:2000],
    "tiny.png": _png(Image.new("RGB", (1, 1))),
    "thin.png": _png(Image.new("RGB", (20000, 1))),
    "long.png": _png(Image.new("RGB", (2000, 20))),
    "large.png": _png(Image.new("1", (9000, 9000))),
    "bomb.png": _bomb(),
    "drawing.svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_pictures_get_one_sentence(mobilenet, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(WRONG[name])
    for source in (path, str(path)):
        with pytest.raises(PictureError) as caught:
            explain(source, mobilenet)
        message = str(caught.value)
        assert name in message
        assert "\n" not in message
        assert message.endswith(".")
        assert str(tmp_path) not in message


@pytest.mark.parametrize(
    "source",
    [
        "no/such/file.jpg", ".", None, 7, b"bytes", [1, 2], np.zeros((20, 20, 3)), np.zeros((20, 20, 3), np.int32),
        np.zeros((20, 20, 2), np.uint8), np.zeros((1, 20, 20, 3), np.uint8), np.zeros(20, np.uint8),
        np.zeros((0, 0, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), Image.new("RGB", (2, 900)),
    ],
    ids=lambda source: "two pixels wide" if isinstance(source, Image.Image) else str(source),
)  # fmt: skip
def test_wrong_sources_get_one_sentence(mobilenet, source) -> None:
    with pytest.raises(PictureError, match=r"^[^\n]+\.$"):
        explain(source, mobilenet)


def test_unusual_pictures_are_explained_and_notes_say_what_was_done(mobilenet, tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(60, 80, seed)) for seed in (1, 2)]
    deep = Image.fromarray(picture(60, 80)[..., 0].astype(np.uint16) * 257)
    palette = NOISE.convert("P")
    files = {
        "deep.png": (_png(deep), "16 bits"),
        "cmyk.jpg": (_png(NOISE.convert("CMYK"), "JPEG"), "CMYK"),
        "palette.png": (_png(palette, transparency=palette.getpixel((0, 0))), "Transparent"),
        "moving.gif": (_png(frames[0], "GIF", save_all=True, append_images=frames[1:]), "first"),
    }
    for name, (content, note) in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        explanation = explain(path, mobilenet)
        assert explanation.heatmap.shape == (60, 80), name
        assert any(note in line for line in explanation.notes), name


def test_arrays_files_and_pil_images_are_the_same_picture(mobilenet, tmp_path: Path) -> None:
    pixels = picture(60, 80)
    (tmp_path / "a.png").write_bytes(_png(Image.fromarray(pixels)))
    opaque = np.dstack([pixels, np.full((60, 80), 255, np.uint8)])
    expected = explain(pixels, mobilenet).raw
    for source in (tmp_path / "a.png", Image.fromarray(pixels), opaque):
        np.testing.assert_array_equal(explain(source, mobilenet).raw, expected)
    grey = pixels[..., 0]
    np.testing.assert_array_equal(
        explain(grey, mobilenet).raw, explain(np.repeat(grey[..., None], 3, 2), mobilenet).raw
    )


def test_the_cameras_rotation_is_undone(mobilenet, tmp_path: Path) -> None:
    pixels = picture(60, 80)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.png").write_bytes(_png(Image.fromarray(np.rot90(pixels)), exif=exif))
    explanation = explain(tmp_path / "turned.png", mobilenet)
    assert explanation.heatmap.shape == (60, 80)
    np.testing.assert_array_equal(explanation.raw, explain(pixels, mobilenet).raw)


def test_a_method_may_yield(monkeypatch: pytest.MonkeyPatch) -> None:
    def growing(view, target, *, ratio: float = 0.5, loud: bool = False):
        for i in (1, 2):
            yield Step(np.full((2, 2), i * ratio), i / 2)

    monkeypatch.setitem(METHODS, "growing", Method("growing", "", "cam", "", "", "", growing))
    steps = list(stream(picture(), blank((16, 16)), "growing", ratio=3, loud=True))
    assert [step.raw.max() for step in steps] == [3, 6]
    assert [step.progress for step in steps] == [0.5, 1]
    assert steps[0].parameters["ratio"] == 3.0
    assert isinstance(steps[0].parameters["ratio"], float)
    for wrong in ({"ratio": "3"}, {"ratio": True}, {"loud": 1}):
        with pytest.raises(UserError):
            explain(picture(), blank((16, 16)), "growing", **wrong)


def test_a_larger_canvas_gives_a_finer_map(mobilenet, cat: Path) -> None:
    assert explain(cat, mobilenet).raw.shape == (6, 9)
    fine = explain(cat, mobilenet, side=448)
    assert fine.raw.shape == (12, 18)
    assert fine.label == "Egyptian cat"
    assert fine.heatmap.shape == (300, 451)


def test_flipping_makes_the_map_of_a_picture_and_its_mirror_image_one(mobilenet, cat: Path) -> None:
    pixels = np.asarray(Image.open(cat).convert("RGB").resize((448, 288)))
    one = explain(pixels, mobilenet, target=285, smooth="flip")
    other = explain(pixels[:, ::-1], mobilenet, target=285, smooth="flip")
    np.testing.assert_allclose(one.raw, other.raw[:, ::-1], atol=1e-3 * np.abs(one.raw).max())
    assert one.forward_passes == 2
    plain = explain(pixels, mobilenet, target=285)
    mirrored = explain(pixels[:, ::-1], mobilenet, target=285)
    np.testing.assert_allclose(one.raw, (plain.raw + mirrored.raw[:, ::-1]) / 2, atol=1e-3 * np.abs(one.raw).max())


def test_several_sizes_are_averaged_on_the_finest_grid(mobilenet, cat: Path) -> None:
    explanation = explain(cat, mobilenet, target=285, smooth="multiscale")
    sizes = [explain(cat, mobilenet, target=285, side=side).raw for side in (224, 280, 336)]
    assert explanation.raw.shape == sizes[-1].shape
    expected = np.mean([resample(raw, sizes[-1].shape) for raw in sizes], axis=0)
    np.testing.assert_allclose(explanation.raw, expected, atol=1e-3 * np.abs(expected).max())
    assert explanation.forward_passes == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"side": 8}, "32 to 1024"),
        ({"side": 5000}, "32 to 1024"),
        ({"smooth": "fip"}, "did you mean 'flip'"),
        ({"smooth": "flip", "method": "occlusion"}, "cannot be smoothed"),
    ],
)
def test_wrong_canvas_and_smoothing_get_one_sentence(mobilenet, cat: Path, arguments: dict, says: str) -> None:
    with pytest.raises(UserError, match=says):
        explain(cat, mobilenet, **arguments)


def test_wrong_smoothing_is_refused_before_the_first_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = linear()
    monkeypatch.setattr(classifier.engine, "forward", lambda batch: pytest.fail("a pass ran"))
    with pytest.raises(UserError, match="cannot be smoothed"):
        explain(picture(), classifier, "rise", 1, smooth="flip")


def test_a_network_of_one_canvas_says_so() -> None:
    with pytest.raises(UserError, match="takes pictures of 16x16 only"):
        explain(picture(), linear(), "saliency", 1, side=448)
