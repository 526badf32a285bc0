"""Whatever is given as a picture: read rightly, or refused in one clear sentence."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import images
from core.errors import PictureError
from core.images import Picture


@pytest.fixture
def rgb():
    """40 x 60, a different colour everywhere."""
    rows, columns = np.mgrid[:40, :60]
    return np.stack([rows * 6, columns * 4, (rows + columns) * 2], -1).astype(np.uint8)


def refusal(source):
    with pytest.raises(PictureError) as caught:
        images.read(source)
    text = str(caught.value)
    assert text.endswith((".", "?"))
    assert "\n" not in text
    return text


# --- what can be given


def test_path_string_pil_and_array_give_the_same_pixels(tmp_path, rgb):
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path)
    for source in (path, str(path), Image.fromarray(rgb), rgb):
        found = images.read(source)
        assert found.pixels.dtype == np.uint8
        assert np.array_equal(found.pixels, rgb)
        assert found.notes == ()


def test_a_picture_passes_through(rgb):
    given = Picture(rgb, ("A note.",))
    assert images.read(given) is given


def test_grey_array_becomes_three_equal_channels(rgb):
    found = images.read(rgb[..., 1]).pixels
    assert found.shape == (40, 60, 3)
    assert all(np.array_equal(found[..., channel], rgb[..., 1]) for channel in range(3))


def test_array_with_alpha_is_laid_on_white(rgb):
    alpha = np.full((40, 60), 255, np.uint8)
    alpha[:20], alpha[20] = 0, 128
    found = images.read(np.dstack([rgb, alpha]))
    assert (found.pixels[:20] == 255).all()
    assert np.array_equal(found.pixels[21:], rgb[21:])
    half = (rgb[20].astype(float) * 128 + 255 * 127) / 255
    assert np.abs(found.pixels[20] - half).max() <= 1
    assert found.notes == ("Transparent parts are shown on white.",)


def test_opaque_alpha_is_no_news(rgb):
    found = images.read(np.dstack([rgb, np.full((40, 60), 255, np.uint8)]))
    assert np.array_equal(found.pixels, rgb)
    assert found.notes == ()


def test_arrays_need_not_be_contiguous(rgb):
    assert np.array_equal(images.read(rgb[:, ::-1]).pixels, rgb[:, ::-1])
    four = np.dstack([rgb, np.full((40, 60), 255, np.uint8)])
    assert np.array_equal(images.read(four[::-1]).pixels, rgb[::-1])


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (6, lambda p: np.rot90(p, -1)),
        (8, lambda p: np.rot90(p, 1)),
    ],
)
def test_exif_rotation_is_honoured(tmp_path, rgb, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(rgb).save(path, exif=exif)
    assert np.array_equal(images.read(path).pixels, upright(rgb))
    with Image.open(path) as image:
        assert np.array_equal(images.read(image).pixels, upright(rgb))


def test_nonsense_in_exif_does_not_matter(tmp_path, rgb):
    draw = np.random.default_rng(0)
    path = tmp_path / "odd.jpg"
    for order in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        for _ in range(20):
            noise = draw.integers(0, 8, 60, dtype=np.uint8).tobytes()
            Image.fromarray(rgb).save(path, exif=b"Exif\0\0" + order + noise)
            assert images.read(path).pixels.size == rgb.size


def test_a_given_pil_image_is_left_as_it_was(rgb):
    image = Image.fromarray(rgb).convert("P")
    images.read(image)
    assert image.mode == "P"


# --- unusual, and read rightly


@pytest.mark.parametrize("kind", ["png", "tiff", "big-endian"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, kind):
    levels = np.linspace(0, 65535, 40 * 60).astype(np.uint16).reshape(40, 60)
    if kind == "big-endian":
        source = Image.frombytes("I;16B", (60, 40), levels.astype(">u2").tobytes())
    else:
        source = tmp_path / f"deep.{kind}"
        Image.fromarray(levels).save(source)
    found = images.read(source)
    assert np.abs(found.pixels[..., 0] - levels / 257).max() <= 0.5 + 1e-9
    (note,) = found.notes
    assert "16 bits" in note
    assert "8" in note


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_a_dark_sixteen_bit_picture_stays_dark(mode):
    raw = np.full((20, 20), 200, "<u2" if mode == "I;16" else ">u2").tobytes()
    assert (images.read(Image.frombytes(mode, (20, 20), raw)).pixels == round(200 / 257)).all()


def test_floating_point_pictures_between_0_and_1():
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    values[0, 0] = np.nan
    found = images.read(Image.fromarray(values)).pixels[..., 0]
    assert np.abs(found - np.nan_to_num(values) * 255).max() <= 0.5 + 1e-5


def test_sixteen_bit_colour(tmp_path):
    """A PNG of 48 bits a pixel, written by hand: Pillow writes none."""
    levels = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    path = tmp_path / "deep.png"
    path.write_bytes(png(30, 20, zlib.compress(rows), depth=16, colour=2))
    assert np.abs(images.read(path).pixels - levels / 257).max() <= 1


def test_cmyk_jpeg(tmp_path):
    image = Image.new("CMYK", (64, 32), (0, 0, 0, 0))
    image.paste((0, 255, 255, 0), (0, 0, 16, 32))  # red
    image.paste((255, 0, 0, 0), (16, 0, 32, 32))  # cyan
    image.paste((0, 0, 0, 255), (32, 0, 48, 32))  # black
    path = tmp_path / "print.jpg"
    image.save(path, quality=95)
    found = images.read(path)
    for column, colour in ((8, (255, 0, 0)), (24, (0, 255, 255)), (40, (0, 0, 0)), (56, (255, 255, 255))):
        assert np.abs(found.pixels[16, column].astype(int) - colour).max() < 12
    assert "CMYK" in found.notes[0]


def test_palette_with_transparency_lies_on_white(tmp_path):
    image = Image.new("P", (32, 32), 0)
    image.putpalette([0, 0, 0, 200, 30, 40])
    image.paste(1, (16, 0, 32, 32))
    path = tmp_path / "sticker.png"
    image.save(path, transparency=0)
    found = images.read(path)
    assert (found.pixels[:, :16] == 255).all()
    assert (found.pixels[:, 16:] == (200, 30, 40)).all()
    assert found.notes == ("Transparent parts are shown on white.",)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_of_an_animation_the_first_frame(tmp_path, kind):
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"moving.{kind}"
    options = {"lossless": True} if kind == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    found = images.read(path)
    assert (found.pixels == (255, 0, 0)).all()
    (note,) = found.notes
    assert "first" in note
    assert "3 frames" in note


def test_one_bit(tmp_path):
    black = np.zeros((24, 32), bool)
    black[:, 16:] = True
    path = tmp_path / "fax.png"
    Image.fromarray(~black).save(path)
    assert np.array_equal(images.read(path).pixels[..., 2], np.where(black, 0, 255))


def test_grey_with_alpha(tmp_path):
    image = Image.new("LA", (32, 24), (90, 255))
    image.paste((90, 0), (0, 0, 10, 24))
    path = tmp_path / "la.png"
    image.save(path)
    found = images.read(path)
    assert (found.pixels[:, :10] == 255).all()
    assert (found.pixels[:, 10:] == 90).all()
    assert found.notes


def test_svg_in_the_metadata_of_a_photograph_is_no_svg(tmp_path, rgb):
    path = tmp_path / "a.jpg"
    Image.fromarray(rgb).save(path, comment=b"made from <svg> art")
    assert images.read(path).pixels.shape == rgb.shape


# --- refused


def png(width, height, data, depth=8, colour=2):
    """The bytes of a PNG whose header says what it likes."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_not_a_picture(tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("Buy milk.")
    text = refusal(path)
    assert "'notes.jpg' is not a picture" in text
    assert "JPEG, PNG" in text


def test_empty_file(tmp_path):
    path = tmp_path / "none.png"
    path.touch()
    assert "empty (0 bytes)" in refusal(path)


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "gif", "bmp", "tiff"])
def test_truncated(tmp_path, kind):
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, {"jpg": "jpeg"}.get(kind, kind))
    path = tmp_path / f"half.{kind}"
    path.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    text = refusal(path)
    assert "incomplete or damaged" in text or (
        kind == "tiff" and "not a picture" in text
    )  # a TIFF's directory is its end


@pytest.mark.parametrize(("size", "said"), [((1, 1), "1x1"), ((20000, 1), "20000x1"), ((15, 100), "15x100")])
def test_too_small_or_too_long(tmp_path, size, said):
    path = tmp_path / "thin.png"
    Image.new("RGB", size).save(path)
    for source in (path, Image.new("RGB", size), np.zeros((size[1], size[0], 3), np.uint8)):
        text = refusal(source)
        assert f"is {said} pixels" in text
        assert "at least 16" in text


def test_longest_allowed():
    assert images.read(np.zeros((16, 256), np.uint8)).pixels.shape == (16, 256, 3)
    assert "16 times" in refusal(np.zeros((16, 257), np.uint8))


@pytest.mark.parametrize(("side", "said"), [(8000, "64 million"), (10000, "100 million"), (30000, "far too many")])
def test_decompression_bomb_is_never_decoded(tmp_path, monkeypatch, side, said):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side, zlib.compress(bytes(1000))))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    began = time.perf_counter()
    text = refusal(path)
    assert time.perf_counter() - began < 0.5
    assert said in text
    assert "scale it down" in text


def test_bomb_in_a_text_chunk(tmp_path, rgb):
    """Pillow itself refuses these, with an error that is not an OSError."""
    whole = io.BytesIO()
    Image.fromarray(rgb).save(whole, "png")
    content = b"Comment\0\0" + zlib.compress(bytes(80_000_000))
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))
    path = tmp_path / "text.png"
    path.write_bytes(whole.getvalue()[:33] + chunk + whole.getvalue()[33:])
    assert "damaged" in refusal(path)


def test_missing_file_and_folder(tmp_path):
    assert "There is no file" in refusal(tmp_path / "gone.png")
    assert "is a folder" in refusal(tmp_path)
    assert "There is no file" in refusal("a\0b.png")


@pytest.mark.parametrize(
    "start", ["<svg xmlns='http://www.w3.org/2000/svg'>", "<?xml version='1.0'?>\n<!-- x -->\n<SVG>"]
)
def test_svg(tmp_path, start):
    path = tmp_path / "logo.svg"
    path.write_text(start)
    text = refusal(path)
    assert "SVG" in text
    assert "export it as PNG" in text


def test_float_array():
    assert "float64; multiply it by 255" in refusal(np.full((20, 20, 3), 0.5))
    text = refusal(np.full((20, 20, 3), 200.0, np.float32))
    assert "float32; convert it to uint8" in text
    assert "bool" in refusal(np.ones((20, 20), bool))


@pytest.mark.parametrize("shape", [(20,), (20, 20, 1), (20, 20, 2), (20, 20, 5), (3, 20, 20), (1, 20, 20, 3)])
def test_wrong_shape(shape):
    text = refusal(np.zeros(shape, np.uint8))
    assert f"shape {shape}" in text
    assert "(H, W, 3)" in text


@pytest.mark.parametrize("shape", [(0, 0), (0, 20, 3), (20, 0, 4)])
def test_array_without_pixels(shape):
    assert "at least 16" in refusal(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("source", [None, 7, b"bytes", [[0, 1]]])
def test_something_else_altogether(source):
    assert f"not {type(source).__name__}" in refusal(source)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_damaged_files_are_read_or_refused_but_never_crash(tmp_path, rgb, kind):
    whole = io.BytesIO()
    Image.fromarray(rgb).save(whole, kind)
    draw = np.random.default_rng(0)
    path = tmp_path / "damaged"
    outcomes = set()
    for turn in range(150):
        data = bytearray(whole.getvalue())
        for place in draw.integers(0, 200 if turn % 2 else len(data), 4):
            data[place % len(data)] = draw.integers(256)
        path.write_bytes(data)
        try:
            outcomes.add(images.read(path).pixels.dtype)
        except PictureError as error:
            outcomes.add(type(error))
    assert PictureError in outcomes


# --- resizing


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((720, 1280), (160, 288)), ((375, 500), (192, 256)), ((50, 60), (224, 224)), ((3000, 400), (384, 96))],
)
def test_a_constant_stays_constant(size, wanted):
    pixels = np.broadcast_to(np.array([17, 130, 251], np.uint8), (*size, 3)).copy()
    found = images.resize(pixels, wanted)
    assert found.shape == (*wanted, 3)
    assert (found == (17, 130, 251)).all()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((720, 1280), (160, 288)),  # 4.5 and 4.4
        ((1500, 2000), (192, 256)),  # 7.8
        ((431, 567), (192, 256)),  # just over 2
        ((375, 500), (192, 256)),  # just under 2
        ((300, 400), (192, 256)),  # 1.6
        ((60, 80), (192, 256)),  # up
        ((700, 224), (224, 224)),  # one way only
    ],
)
def test_agrees_with_antialiased_bicubic_on_a_smooth_picture(size, wanted):
    rows, columns = np.mgrid[: size[0], : size[1]]
    wave = np.sin(2 * np.pi * 3 * columns / size[1] + 1) * np.cos(2 * np.pi * 2 * rows / size[0])
    pixels = np.stack([127 + 90 * wave, 255 * columns / size[1], 255 * (rows / size[0]) ** 2], -1).astype(np.uint8)
    truth = np.asarray(Image.fromarray(pixels).resize(wanted[::-1], Image.Resampling.BICUBIC)).astype(int)
    gap = np.abs(images.resize(pixels, wanted) - truth)
    assert gap.max() <= 3
    assert gap.mean() < 0.5


def test_fine_detail_is_averaged_away_not_aliased():
    """Stripes of one pixel leave grey, or nearly, whatever the factor; sampling would leave bands of black and white."""
    stripes = np.zeros((720, 1280, 3), np.uint8)
    stripes[:, ::2] = 255
    for wanted in ((360, 640), (160, 288), (192, 256)):
        assert np.abs(images.resize(stripes, wanted).astype(int) - 127).max() < 64


# --- many visitors, and files that are made to take long


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "I;16B", "F"]


@pytest.mark.parametrize("mode", MODES)
def test_bands_give_the_pixels_of_the_whole(monkeypatch, mode):
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 4), np.uint8)
    colour = Image.fromarray(noise, "RGBA")
    if mode.startswith("I;16"):
        image = Image.frombytes(mode, (70, 50), noise[..., :2].tobytes())
    elif mode in {"I", "F"}:
        image = Image.fromarray((noise[..., 0] * 300.5).astype(np.int32 if mode == "I" else np.float32))
    else:
        image = (colour if mode in {"RGBA", "LA"} else colour.convert("RGB")).convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    whole = images.read(image)
    for pixels in (1, 70, 300):
        monkeypatch.setattr(images, "BAND_PIXELS", pixels)
        banded = images.read(image)
        assert np.array_equal(banded.pixels, whole.pixels)
        assert banded.notes == whole.notes


@pytest.mark.parametrize(("side", "shape"), [(None, (480, 640)), (321, (480, 640)), (320, (240, 320)), (100, (120, 160)),
                                             (80, (60, 80)), (1, (60, 80)), (5000, (480, 640))])  # fmt: skip
def test_a_large_jpeg_is_decoded_no_larger_than_needed(tmp_path, side, shape):
    smooth = np.add.outer(np.arange(480) / 4, np.arange(640) / 6)[..., None].repeat(3, 2).astype(np.uint8)
    path = tmp_path / "large.jpg"
    Image.fromarray(smooth).save(path, quality=95)
    pixels = images.read(path, side).pixels
    assert pixels.shape[:2] == shape
    assert np.abs(pixels.astype(int) - images.resize(images.read(path).pixels, shape)).max() <= 6
    if shape == (480, 640):
        assert np.array_equal(pixels, images.read(path).pixels)
    Image.fromarray(smooth).save(tmp_path / "large.png")
    assert np.array_equal(images.read(tmp_path / "large.png", side).pixels, smooth)


def test_the_content_of_a_file_is_read_as_the_file(tmp_path, rgb):
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, "png")
    assert np.array_equal(images.read(io.BytesIO(content.getvalue())).pixels, rgb)
    for damaged in (b"", b"x", content.getvalue()[:60], b"<svg"):
        assert "picture" in refusal(io.BytesIO(damaged)).lower()


def test_two_pictures_are_decoded_at_a_time(tmp_path, monkeypatch, rgb):
    path = tmp_path / "a.png"
    Image.fromarray(rgb).save(path)
    decode, lock, running, most = images._decode, threading.Lock(), [], []

    def slow(*args, **options):
        with lock:
            running.append(1)
            most.append(len(running))
        time.sleep(0.02)
        with lock:
            running.pop()
        return decode(*args, **options)

    monkeypatch.setattr(images, "_decode", slow)
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(images.read, [path, Image.fromarray(rgb), np.dstack([rgb, rgb[..., :1]])] * 6))
    assert len(pictures) == 18
    assert max(most) == 2


@pytest.mark.parametrize("kind", ["ppm", "ico", "eps", "tga", "pdf", "jp2", "icns"])
def test_formats_that_nobody_needs_are_not_opened(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    Image.new("RGB", (32, 32)).save(path)
    assert "not a picture" in refusal(path)


def tiff(pages):
    """The bytes of a TIFF with so many pages of 16 x 16 pixels."""
    tags = ((256, 16), (257, 16), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 16), (279, 256))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start, length = 8 + 256, len(directory) + 4
    chain = (struct.pack("<I", start + length * (page + 1) if page + 1 < pages else 0) for page in range(pages))
    return b"II*\0" + struct.pack("<I", start) + bytes(range(256)) + b"".join(directory + link for link in chain)


def test_pages_of_a_tiff_are_not_counted_for_long(tmp_path):
    path = tmp_path / "book.tiff"
    for pages, said in ((1, None), (3, "3 frames"), (40_000, "many frames")):
        path.write_bytes(tiff(pages))
        start = time.perf_counter()
        found = images.read(path)
        assert time.perf_counter() - start < 1
        assert np.array_equal(found.pixels[..., 0], np.arange(256).reshape(16, 16))
        assert [said in note for note in found.notes] == ([True] if said else [])


def test_frames_of_a_gif_are_not_counted_for_long(tmp_path):
    first = io.BytesIO()
    Image.new("P", (16, 16)).save(first, "gif")
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    path = tmp_path / "long.gif"
    for count, said in ((100_000, "frames is used"), (1_000_000, "many frames")):
        path.write_bytes(first.getvalue()[:-1] + frame * count + b";")
        start = time.perf_counter()
        (note,) = images.read(path).notes
        assert time.perf_counter() - start < 2
        assert said in note


PEAK = """
import resource, sys
from core import images
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
images.read(sys.argv[1], int(sys.argv[2]) or None)
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("kind", "side", "megabytes"), [("deep.png", 0, 330), ("large.jpg", 2560, 120), ("clear.png", 0, 420)]
)
def test_the_largest_pictures_take_little_memory(tmp_path, kind, side, megabytes):
    """The pixels of 48 million take 144 MB, and Pillow's own copy 96 to 192 MB."""
    path = tmp_path / kind
    if kind == "deep.png":
        packer = zlib.compressobj()
        data = b"".join(packer.compress(bytes(16_001)) for _ in range(6000)) + packer.flush()
        path.write_bytes(png(8000, 6000, data, depth=16, colour=0))
        assert path.stat().st_size < 120_000
    else:
        Image.new("RGB" if side else "RGBA", (8000, 6000)).save(path)
    command = [sys.executable, "-c", PEAK, str(path), str(side)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert float(done.stdout) < megabytes
