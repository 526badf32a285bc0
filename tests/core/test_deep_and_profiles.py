"""Pictures whose values or colours are not plain 8-bit sRGB: their levels are right within 2, and a note says what was done."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from core import formats, images
from core.deep import find_range, to_8_bits
from core.errors import PictureError
from tests import icc

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def grey() -> np.ndarray:
    """Levels (40, 60) of a scan that uses three quarters of its range, as 8 bits."""
    return np.linspace(3, 194, 40 * 60).round().astype(np.uint8).reshape(40, 60)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_ten_to_sixteen_bits_in_sixteen_have_their_own_white(tmp_path, grey, bits, kind):
    values = (grey.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    path = tmp_path / f"{bits}.{kind}"
    Image.fromarray(values).save(path)
    found = images.read(path)
    assert np.abs(found.pixels.astype(int) - grey[..., None]).max() <= 1
    (note,) = found.notes
    assert ("16 bits per pixel" if bits == 16 else f"{(1 << bits) - 1} is white") in note


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (lambda grey: grey / 255, "1 is white"),
        (lambda grey: grey / 127.5 - 1, "-1 is black and 1 is white"),
        (lambda grey: grey / 255 * 4095, "4095 is white"),
        (lambda grey: grey / 255 * 255, "255 is white"),
    ],
    ids=["0 to 1", "-1 to 1", "0 to 4095", "0 to 255"],
)
@pytest.mark.parametrize("colours", [False, True])
def test_floating_point_tiffs(tmp_path, grey, scale, said, colours):
    values = scale(grey.astype(np.float32)).astype(np.float32)
    values[0, 0] = np.nan
    path = tmp_path / "deep.tif"
    cv2.imwrite(str(path), np.dstack([values] * 3) if colours else values)
    found = images.read(path)
    expected = np.where(np.isnan(values), 0, grey)
    assert np.abs(found.pixels.astype(int) - expected[..., None]).max() <= 1
    assert said in found.notes[0]


def test_what_fits_no_range_is_stretched_by_its_own(tmp_path):
    for darkest, lightest in ((0.002, 0.013), (-2.0, 9.0), (0.0, 12_345_678.0), (-1024.0, 3071.0)):
        values = np.linspace(darkest, lightest, 400, dtype=np.float32).reshape(20, 20)
        Image.fromarray(values).save(tmp_path / "own.tif")
        found = images.read(tmp_path / "own.tif")
        assert np.abs(found.pixels[..., 0] - np.linspace(0, 255, 400).reshape(20, 20)).max() <= 1
        assert f"{np.float32(lightest):g} is white" in found.notes[0]
    signed = np.linspace(-1000, 2000, 400).reshape(20, 20).astype(np.int32)  # as in computed tomography
    assert images.read(Image.fromarray(signed)).pixels[[0, -1], [0, -1], 0].tolist() == [0, 255]


def test_a_range_is_found_from_the_extremes():
    assert find_range(-0.02, 1.04) == (0, 1)  # sharpened a little beyond both ends
    assert find_range(-0.9, 0.9) == (-1, 1)
    assert find_range(0, 300) == (0, 1023)
    assert find_range(0, 20) == (0, 20)  # not 20 of 255
    assert find_range(7, 7) == (0, 255)  # one value has no range of its own
    assert to_8_bits(np.array([-np.inf, 0, 1, np.inf]), 0, 1).tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_twelve_bits_in_sixteen(tmp_path, kind, channels):
    values = np.random.default_rng(0).integers(0, 4096, (40, 60, 4)).astype(np.uint16)
    values[..., 3] = 65_535
    path = tmp_path / f"deep.{kind}"
    cv2.imwrite(str(path), values[..., [2, 1, 0, 3][:channels]])
    found = images.read(path)
    assert np.abs(found.pixels - values[..., :3] / 4095 * 255).max() <= 0.5 + 1e-9
    assert "4095 is white" in found.notes[0]
    full = values.copy()
    full[..., :3] *= 16
    cv2.imwrite(str(path), full[..., [2, 1, 0, 3][:channels]])
    assert np.array_equal(images.read(path).pixels, (full[..., :3] >> 8).astype(np.uint8))  # as Pillow reads it
    assert images.read(path).notes == ()


def test_deep_colours_are_upright(tmp_path):
    values = np.random.default_rng(0).integers(0, 1024, (40, 60, 3)).astype(np.uint16)
    content = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    holder = io.BytesIO()
    Image.new("RGB", (1, 1)).save(holder, "png", exif=exif)
    start = holder.getvalue().index(b"eXIf") - 4
    chunk = holder.getvalue()[start : start + 12 + int.from_bytes(holder.getvalue()[start : start + 4], "big")]
    found = images.read(io.BytesIO(content[:33] + chunk + content[33:]))
    assert np.array_equal(found.pixels, np.rot90((values / 1023 * 255).round().astype(np.uint8), -1))


def test_large_dark_colours_are_stated(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "dark.png"), np.full((40, 60, 3), 900, np.uint16))
    monkeypatch.setattr("core.deep.MAX_COLOUR_PIXELS", 1000)
    assert "so it is dark" in images.read(tmp_path / "dark.png").notes[0]


# --- colour profiles


@pytest.fixture(scope="module")
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.mark.parametrize(
    ("matrix", "gamma"), [(icc.ADOBE, 2.2), (icc.P3, 2.4), (icc.SRGB, 1.0)], ids=["Adobe", "P3", "linear"]
)
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_colours_with_a_profile_become_srgb(tmp_path, colours, matrix, gamma, kind):
    path = tmp_path / f"a.{kind}"
    options = {"lossless": True} if kind == "webp" else {}
    Image.fromarray(colours).save(path, icc_profile=icc.profile(matrix, gamma, "Shown name"), **options)
    found = images.read(path)
    gap = np.abs(found.pixels - icc.to_srgb(colours, matrix, round(gamma * 256) / 256))
    assert gap.max() <= 2
    assert np.abs(found.pixels.astype(int) - colours).mean() > 2  # not a profile that changes nothing
    assert found.notes == ("The colours were converted from the profile 'Shown name' to sRGB.",)
    with Image.open(path) as image:
        assert np.array_equal(images.read(image).pixels, found.pixels)


def test_grey_palettes_and_transparent_pictures_with_a_profile(tmp_path, colours):
    grey = colours[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png", icc_profile=icc.profile(None, 1.5))
    expected = icc.to_srgb(grey, None, 1.5)
    assert np.abs(images.read(tmp_path / "grey.png").pixels - expected[..., None]).max() <= 2
    deep = (grey.astype(np.uint16) * 257).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png", icc_profile=icc.profile(None, 1.5))
    assert np.abs(images.read(tmp_path / "deep.png").pixels - expected[..., None]).max() <= 2
    Image.fromarray(grey).save(tmp_path / "three.png", icc_profile=icc.profile(icc.ADOBE, 1.5))
    assert np.abs(images.read(tmp_path / "three.png").pixels - expected[..., None]).max() <= 2  # greys stay grey
    alpha = np.where(np.arange(60) < 30, 0, 255).astype(np.uint8) * np.ones((40, 1), np.uint8)
    Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / "clear.png", icc_profile=icc.profile(icc.ADOBE, 2.2))
    found = images.read(tmp_path / "clear.png").pixels
    assert (found[:, :30] == 255).all()
    assert np.abs(found[:, 30:] - icc.to_srgb(colours[:, 30:], icc.ADOBE, 563 / 256)).max() <= 2
    palette = Image.fromarray(colours).quantize(16)
    palette.save(tmp_path / "palette.png", icc_profile=icc.profile(icc.ADOBE, 2.2))
    plain = np.asarray(palette.convert("RGB"))
    assert np.abs(images.read(tmp_path / "palette.png").pixels - icc.to_srgb(plain, icc.ADOBE, 563 / 256)).max() <= 2


def test_the_profile_of_srgb_changes_no_bit(tmp_path, colours):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for mode in ("RGB", "L", "RGBA"):
        image = Image.fromarray(colours).convert(mode)
        image.save(tmp_path / "a.png", icc_profile=profile)
        found = images.read(tmp_path / "a.png")
        assert np.array_equal(found.pixels, np.asarray(image.convert("RGB")))
        assert found.notes == ()


def test_a_profile_that_cannot_be_used_is_stated(tmp_path, colours):
    for profile, said in (
        (b"rubbish" * 40, "damaged"),
        (icc.profile(icc.ADOBE, 2.2)[:200], "damaged"),
        (bytes(5_000_000), "too large"),
        (icc.profile(None, 2.2), ""),
    ):
        Image.fromarray(colours).save(tmp_path / "a.tiff", icc_profile=profile)
        found = images.read(tmp_path / "a.tiff")
        assert said in found.notes[0]
        if said:
            assert np.array_equal(found.pixels, colours)
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "b.jpg", icc_profile=icc.profile(icc.ADOBE, 2.2))
    assert ["does not fit" in note for note in images.read(tmp_path / "b.jpg").notes] == [True, False]


def test_lab_becomes_srgb():
    lab = Image.new("LAB", (32, 32), (128, 128, 128))  # L* 50.2, no colour
    found = images.read(lab)
    assert np.abs(found.pixels.astype(int) - 119).max() <= 3
    assert "Lab" in found.notes[0]


# --- what is not read


def refusal(source):
    with pytest.raises(PictureError) as caught:
        images.read(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "" if formats.HEIC_INSTALLED else "requirements-heic.txt"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "a video"),
        (b"\0\0\0\x18ftypcrx ", "raw file"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(60), "raw file"),
        (b"\xff\x0a" + bytes(60), "JPEG XL"),
        (b"\x76\x2f\x31\x01" + bytes(60), "OpenEXR"),
        (b"8BPS" + bytes(60), "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"<!DOCTYPE html><html><body>404", "web page"),
        (b"\0" * 128 + b"DICM", "DICOM"),
    ],
)
def test_a_kind_that_is_not_read_is_named_with_the_way_out(content, said):
    text = refusal(io.BytesIO(content))
    assert said in text
    assert "damaged" not in text or not said
    assert "\n" not in text


def test_a_picture_of_an_unread_kind_is_not_called_damaged(tmp_path, colours):
    path = tmp_path / "five.tif"
    entries = ((256, 16), (257, 16), (258, 8), (259, 1), (262, 9), (273, 8), (277, 1), (278, 16), (279, 256))
    directory = len(entries).to_bytes(2, "little")
    for tag, value in entries:
        directory += tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")
    path.write_bytes(b"II*\0" + (264).to_bytes(4, "little") + bytes(256) + directory + bytes(4))
    assert "of a kind that is not read" in refusal(path)
    bitmap = io.BytesIO()
    Image.fromarray(colours).save(bitmap, "bmp")
    odd = bytearray(bitmap.getvalue())
    odd[30] = 12  # a compression that nobody uses
    assert "of a kind that is not read" in refusal(io.BytesIO(bytes(odd)))


def test_a_line_break_in_a_name_is_shown_as_in_python(tmp_path):
    path = tmp_path / "line\nbreak\t.jpg"
    path.write_text("no picture")
    assert refusal(path).startswith("'line\\nbreak\\t.jpg' is not a picture")


def test_libtiff_prints_nothing(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(whole, "tiff", compression="tiff_lzw")
    torn = bytearray(whole.getvalue())
    torn[8:60] = b"\xff" * 52
    path = tmp_path / "torn.tif"
    path.write_bytes(torn)
    cv2.imwrite(str(tmp_path / "torn.png"), np.zeros((32, 32, 3), np.uint16))
    content = (tmp_path / "torn.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(content[: len(content) - 30])
    code = (
        "import sys\nfrom core import images\nfor path in sys.argv[1:]:\n"
        "    try: print(images.read(path).notes)\n    except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "torn.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr == ""
    assert done.stdout.count("damaged") == 2


def test_a_large_jpeg_is_halved_and_a_progressive_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 640 * 480 - 1)
    smooth = np.add.outer(np.arange(480) / 4, np.arange(640) / 6)[..., None].repeat(3, 2).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "large.jpg", quality=95)
    found = images.read(tmp_path / "large.jpg")
    assert np.abs(found.pixels.astype(int) - images.resize(smooth, (240, 320))).max() <= 6
    assert found.notes == ("Of its 640x480 pixels, 320x240 are used.",)
    assert images.read(tmp_path / "large.jpg", 80).pixels.shape == (60, 80, 3)
    Image.fromarray(smooth).save(tmp_path / "progressive.jpg", progressive=True)
    assert "scale it down" in refusal(tmp_path / "progressive.jpg")


def test_heic_is_read_where_its_package_is_installed(tmp_path, colours):
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is an optional requirement")
    smooth = cv2.GaussianBlur(colours, (0, 0), 4)
    pillow_heif.from_pillow(Image.fromarray(smooth)).save(tmp_path / "a.heic", quality=95)
    assert np.abs(images.read(tmp_path / "a.heic").pixels.astype(int) - smooth).mean() < 4
    assert "HEIC" in formats.READABLE
