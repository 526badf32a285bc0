"""Pictures on canvases, and maps back on pictures: nothing may be shifted, and no padding may come along."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models import geometry
from models.geometry import FILL, Geometry, resample

RANDOM = np.random.default_rng(0)


def centre_of_mass(grid):
    """(row, column) with half-pixel centres: the middle of the first pixel is 0.5."""
    rows, columns = np.arange(grid.shape[0]) + 0.5, np.arange(grid.shape[1]) + 0.5
    return np.array([(grid.sum(1) * rows).sum(), (grid.sum(0) * columns).sum()]) / grid.sum()


# --- resampling


@pytest.mark.parametrize("grid", [(7, 7), (5, 9), (1, 1), (1, 12)])
@pytest.mark.parametrize("size", [(224, 224), (720, 1280), (33, 17), (3, 2), (1, 1)])
def test_a_constant_stays_constant(grid, size):
    found = resample(np.full(grid, 3.7), size)
    assert found.shape == size
    assert found.dtype == np.float32
    assert np.allclose(found, 3.7, rtol=1e-6)


def test_equal_size_changes_nothing():
    grid = RANDOM.normal(size=(6, 9)).astype(np.float32)
    assert np.allclose(resample(grid, (6, 9)), grid, atol=1e-6)


@pytest.mark.parametrize(
    ("grid", "size"), [((7, 7), (224, 224)), ((5, 9), (720, 1280)), ((5, 9), (31, 97)), ((4, 3), (60, 90))]
)
def test_a_cell_lands_on_its_own_pixels(grid, size):
    """An inner cell's heat is centred where the cell lies: aligned corners would be up to half a cell off."""
    for row in range(1, grid[0] - 1):
        for column in range(1, grid[1] - 1):
            cell = np.zeros(grid)
            cell[row, column] = 1
            where = np.array([(row + 0.5) / grid[0] * size[0], (column + 0.5) / grid[1] * size[1]])
            assert np.abs(centre_of_mass(resample(cell, size).astype(float)) - where).max() < 0.05


def test_a_corner_cell_is_brightest_in_its_corner():
    cell = np.zeros((5, 9))
    cell[0, 8] = 1
    found = resample(cell, (100, 180))
    assert found[0, -1] == pytest.approx(1)
    assert found[19, 160] == pytest.approx(0.525**2)  # half a pixel inside the corner where four cells meet
    assert found[30:].max() == 0
    assert found[:, :150].max() == 0


@pytest.mark.parametrize(("grid", "size"), [((7, 7), (224, 224)), ((5, 9), (160, 288)), ((5, 9), (25, 27))])
def test_up_and_down_again_keeps_the_mean_and_smooths_a_little(grid, size):
    values = RANDOM.normal(size=grid)
    up = resample(values, size)
    down = resample(up, grid)
    assert up.mean(dtype=float) == pytest.approx(values.mean(), abs=1e-6)
    assert down.mean(dtype=float) == pytest.approx(values.mean(), abs=1e-6)
    # Averaging a bilinear map over a cell mixes it with its neighbours: three quarters itself (a little more where the
    # factor is odd), the rest theirs.
    smoothed = values
    for axis in (0, 1):
        factor = size[axis] // grid[axis]
        own = 0.75 + (factor % 2) / (4 * factor**2)
        padded = np.pad(smoothed, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        before, after = (np.take(padded, np.arange(grid[axis]) + shift, axis) for shift in (0, 2))
        smoothed = own * smoothed + (1 - own) / 2 * (before + after)
    assert np.allclose(down, smoothed, atol=1e-5)


@pytest.mark.parametrize(("size", "grid"), [((224, 224), (7, 7)), ((720, 1280), (5, 9)), ((100, 130), (7, 11))])
def test_shrinking_averages_over_the_area(size, grid):
    values = RANDOM.normal(size=size)
    found = resample(values, grid)
    assert found.mean(dtype=float) == pytest.approx(values.mean(), abs=1e-6)
    if size[0] % grid[0] == 0 and size[1] % grid[1] == 0:
        blocks = values.reshape(grid[0], size[0] // grid[0], grid[1], size[1] // grid[1]).mean((1, 3))
        assert np.allclose(found, blocks, atol=1e-5)


def test_resampling_is_linear():
    a, b = RANDOM.normal(size=(2, 7, 7))
    assert np.allclose(resample(2 * a - b, (50, 90)), 2 * resample(a, (50, 90)) - resample(b, (50, 90)), atol=1e-5)


# --- canvases

ASPECTS = [math.exp(x) for x in np.linspace(-math.log(16), math.log(16), 129)]


@pytest.mark.parametrize("aspect", ASPECTS[::8])
def test_fitted_canvases_are_whole_cells_of_about_the_same_area(aspect):
    size = (1000, round(1000 * aspect))
    found = geometry.following(size, 224, 32)
    assert all(side % 32 == 0 for side in found.canvas)
    assert 0.7 < found.canvas[0] * found.canvas[1] / 224**2 < 1.45
    assert found.size == size


def test_fitted_canvases_hardly_distort_and_hardly_pad():
    for aspect in ASPECTS:
        size = (1000, round(1000 * aspect))
        found = geometry.following(size, 224, 32)
        _, _, height, width = found.box
        assert abs(math.log(width / height / (size[1] / size[0]))) < math.log(1.11)
        if 1 / 3 <= aspect <= 3:
            assert not found.padded
        else:
            assert max(found.canvas) <= 3 * min(found.canvas)


def test_well_known_canvases():
    canvases = {
        size: geometry.following(size, 224, 32).canvas for size in ((720, 1280), (1280, 720), (500, 500), (480, 640))
    }
    assert canvases == {
        (720, 1280): (160, 288),
        (1280, 720): (288, 160),
        (500, 500): (224, 224),
        (480, 640): (192, 256),
    }


def test_a_tall_picture_is_a_wide_one_turned():
    for aspect in ASPECTS[::4]:
        wide = geometry.following((1000, round(1000 * aspect)), 224, 32)
        tall = geometry.following((round(1000 * aspect), 1000), 224, 32)
        assert tall.canvas == wide.canvas[::-1]


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((720, 1280), (49, 0, 126, 224)),
        ((1280, 720), (0, 49, 224, 126)),
        ((300, 300), (0, 0, 224, 224)),
        ((300, 320), (0, 0, 224, 224)),  # within STRETCH: no bars for a few pixels
        ((300, 340), (13, 0, 198, 224)),
        ((16, 256), (105, 0, 14, 224)),
        ((256, 16), (0, 105, 224, 14)),
    ],
)
def test_fixed_canvases_keep_the_aspect_with_bars(size, box):
    assert geometry.letterboxed(size, (224, 224)).box == box


def test_extreme_aspects_keep_at_least_a_pixel():
    assert geometry.letterboxed((1, 5000), (224, 224)).box == (111, 0, 1, 224)
    found = geometry.following((16, 256), 224, 32)
    heat = found.restore(np.ones((found.canvas[0] // 32, found.canvas[1] // 32)))
    assert heat.shape == (16, 256)
    assert np.allclose(heat, 1)


# --- placing


def test_place_fills_the_box_and_nothing_else():
    pixels = np.full((90, 160, 3), (200, 10, 60), np.uint8)
    found = geometry.letterboxed((90, 160), (64, 64))
    top, left, height, width = found.box
    canvas = found.place(pixels)
    assert canvas.dtype == np.float32
    inside = np.zeros((64, 64), bool)
    inside[top : top + height, left : left + width] = True
    assert (canvas[inside] == (200, 10, 60)).all()
    assert (canvas[~inside] == FILL).all()
    assert (height, width) == (36, 64)


def test_place_without_padding_is_a_resized_picture():
    pixels = RANDOM.integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert np.array_equal(Geometry((64, 96), (64, 96), (0, 0, 64, 96)).place(pixels), pixels)


# --- and back


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (90, 1200), (1200, 90), (300, 300)])
@pytest.mark.parametrize("kind", ["letterboxed", "following"])
def test_restore_drops_the_padding(size, kind):
    """Heat on the bars alone is not seen, save where the last pixel of the canvas is part bar; heat inside is all kept."""
    found = geometry.letterboxed(size, (224, 224)) if kind == "letterboxed" else geometry.following(size, 224, 32)
    top, left, height, width = found.box
    inside = np.zeros(found.canvas)
    inside[top : top + height, left : left + width] = 1
    edge = math.ceil(size[0] / height)
    within = (slice(edge, -edge), slice(edge, -edge))
    assert np.allclose(found.restore(inside)[within], 1, atol=1e-5)
    assert np.allclose(found.restore(1 - inside)[within], 0, atol=1e-5)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (300, 650), (500, 500), (333, 500)])
@pytest.mark.parametrize("kind", ["letterboxed", "following"])
def test_restore_puts_a_cell_where_the_picture_had_it(size, kind):
    found = geometry.letterboxed(size, (224, 224)) if kind == "letterboxed" else geometry.following(size, 224, 32)
    top, left, height, width = found.box
    rows, columns = found.canvas[0] // 32, found.canvas[1] // 32
    seen = 0
    for row in range(rows):
        for column in range(columns):
            y, x = (row + 0.5) * 32 - top, (column + 0.5) * 32 - left  # the cell's middle in the box
            if min(y, height - y) <= 32 or min(x, width - x) <= 32:
                continue  # its heat would be cut by the picture's edge
            cell = np.zeros((rows, columns))
            cell[row, column] = 1
            where = np.array([y / height * size[0], x / width * size[1]])
            gap = centre_of_mass(found.restore(cell).astype(float)) - where
            assert np.abs(gap).max() < 0.01 * max(size) / 7
            seen += 1
    assert seen > 0


SHAPES = [
    (720, 1280),
    (1280, 720),
    (1080, 1080),
    (480, 640),
    (360, 480),
    (300, 1000),
    (1000, 300),
    (231, 500),
    (200, 16 * 60),
]


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("kind", ["letterboxed", "following", "odd"])
def test_a_square_comes_back_onto_itself(size, kind):
    """A map that marks what is bright on the canvas, restored, marks what is bright in the picture."""
    found = {
        "letterboxed": lambda: geometry.letterboxed(size, (224, 224)),
        "following": lambda: geometry.following(size, 224, 32),
        "odd": lambda: geometry.letterboxed(size, (299, 181)),
    }[kind]()
    side = min(size) // 3
    for y, x in ((0.1, 0.15), (0.5, 0.6)):
        top, left = int(y * size[0]), int(x * size[1])
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[top : top + side, left : left + side] = (255, 0, 255)
        canvas = found.place(pixels)
        back = found.restore(np.clip(canvas[..., 0] - canvas[..., 1], 0, 255) / 255) > 0.5
        truth = pixels[..., 0] > 0
        assert (back & truth).sum() / (back | truth).sum() > 0.85


# --- squash and crop


def test_the_crop_is_the_one_of_keras() -> None:
    """`keras.utils.load_img(..., keep_aspect_ratio=True)` in whole numbers, and the centre."""
    cases = {
        ((100, 201), (224, 224)): (0, 50, 100, 100),
        ((201, 100), (224, 224)): (50, 0, 100, 100),
        ((480, 640), (160, 320)): (80, 0, 320, 640),
        ((720, 1280), (300, 200)): (0, 400, 720, 480),
        ((1, 5000), (224, 224)): (0, 2499, 1, 1),
    }
    for (size, canvas), crop in cases.items():
        assert geometry.cropped(size, canvas).crop == crop
        height, width = size[1] * canvas[0] // canvas[1], size[0] * canvas[1] // canvas[0]
        assert crop[2:] == (min(size[0], max(1, height)), min(size[1], max(1, width)))
    assert geometry.cropped((300, 300), (64, 64)).crop is None


def test_the_crop_leaves_a_note_and_facts() -> None:
    laid = geometry.cropped((100, 200), (64, 64))
    assert len(laid.notes) == 1
    assert "100x100" in laid.notes[0]
    assert laid.to_dict() == {
        "size": (100, 200), "canvas": (64, 64), "box": (0, 0, 64, 64), "crop": (0, 50, 100, 100),
    }  # fmt: skip
    whole = geometry.squashed((100, 200), (64, 64))
    assert not whole.notes
    assert "crop" not in whole.to_dict()


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_nothing_on_a_filled_canvas_is_padding(fit: str) -> None:
    laid = geometry.FIXED[fit]((90, 160), (64, 64))
    assert not laid.padded
    assert laid.padding_share(RANDOM.normal(size=(8, 8))) == 0
    canvas = laid.place(np.full((90, 160, 3), (200, 10, 60), np.uint8))
    assert (canvas == (200, 10, 60)).all()


@pytest.mark.parametrize("size", [(128, 256), (256, 128), (96, 160)])
def test_squash_puts_every_pixel_in_proportion(size: tuple[int, int]) -> None:
    """A planted square lies where half-pixel centres say, and a cell of the map comes back to it."""
    laid = geometry.squashed(size, (64, 64))
    pixels = np.zeros((*size, 3), np.uint8)
    top, left = size[0] // 4, size[1] // 2
    pixels[top : top + size[0] // 8, left : left + size[1] // 8] = 255
    canvas = laid.place(pixels)[..., 0]
    assert centre_of_mass(canvas) == pytest.approx([(0.25 + 1 / 16) * 64, (0.5 + 1 / 16) * 64], abs=0.01)
    cell = np.zeros((8, 8))
    cell[2, 4] = 1
    restored = laid.restore(cell).astype(float)
    assert centre_of_mass(restored) == pytest.approx([2.5 / 8 * size[0], 4.5 / 8 * size[1]], abs=0.01)


@pytest.mark.parametrize("size", [(128, 256), (256, 128), (100, 173)])
def test_what_lies_outside_the_crop_is_not_seen_and_has_no_heat(size: tuple[int, int]) -> None:
    laid = geometry.cropped(size, (64, 64))
    assert laid.crop is not None
    top, left, height, width = laid.crop
    inside = np.zeros(size, bool)
    inside[top : top + height, left : left + width] = True
    pixels = RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)
    other = np.where(inside[..., None], pixels, 255 - pixels)
    assert np.array_equal(laid.place(pixels), laid.place(other))
    heat = laid.restore(np.ones((4, 4)))
    assert heat.shape == size
    assert heat.dtype == np.float32
    assert (heat[inside] == 1).all()
    assert (heat[~inside] == 0).all()
    gradient = laid.pull_back(np.ones((64, 64, 3), np.float32))
    assert (gradient[~inside] == 0).all()
    assert (gradient[inside] > 0).all()
    assert np.array_equal(laid.place_map(other[..., 0].astype(float)), laid.place_map(pixels[..., 0].astype(float)))
    cell = np.zeros((8, 8))
    cell[2, 5] = 1
    where = [top + 2.5 / 8 * height, left + 5.5 / 8 * width]
    assert centre_of_mass(laid.restore(cell).astype(float)) == pytest.approx(where, abs=0.01)


@pytest.mark.parametrize("fit", ["squash", "crop", "letterbox"])
def test_a_map_of_the_picture_lies_where_the_pixels_lie(fit: str) -> None:
    laid = geometry.FIXED[fit]((90, 160), (48, 48))
    pixels = np.zeros((90, 160, 3), np.uint8)
    pixels[30:60, 50:90] = 200
    top, left, height, width = laid.box
    placed = laid.place(pixels)[top : top + height, left : left + width, 0]
    on_canvas = laid.place_map(pixels[..., 0].astype(np.float32))
    assert on_canvas.shape == (height, width)
    assert centre_of_mass(on_canvas.astype(float)) == pytest.approx(centre_of_mass(placed), abs=0.2)
    assert np.corrcoef(placed.ravel(), on_canvas.ravel())[0, 1] > 0.98


# --- how much heat lay on the padding


def test_padding_share_of_an_even_map_is_the_share_of_the_canvas():
    for size in ((720, 1280), (1280, 720), (100, 1000)):
        found = geometry.letterboxed(size, (224, 224))
        share = 1 - found.box[2] * found.box[3] / 224**2
        assert found.padding_share(np.full((7, 7), 0.3)) == pytest.approx(share, abs=1e-6)


def test_padding_share_of_cells_is_exact():
    """Bars of 64 and 64 on 256, cells of 32: a cell's triangle of heat is cut at the edge in a known way."""
    found = Geometry((128, 256), (256, 256), (64, 0, 128, 256))
    grid = np.zeros((8, 8))
    grid[0, 3] = 5  # wholly on the bar
    assert found.padding_share(grid) == pytest.approx(1)
    grid[4, 3] = 5  # and as much wholly on the picture; the first row holds a whole cell's heat at the edge, too
    assert found.padding_share(grid) == pytest.approx(0.5)
    edge = np.zeros((8, 8))
    edge[2, 3] = 1  # the first row of the picture: a bilinear cell has an eighth of its heat on either neighbour
    assert found.padding_share(edge) == pytest.approx(0.125)


def test_padding_share_ignores_what_speaks_against():
    found = Geometry((128, 256), (256, 256), (64, 0, 128, 256))
    grid = np.zeros((8, 8))
    grid[4, 4], grid[0, 0] = 1, -7
    assert found.padding_share(grid) == 0
    assert found.padding_share(-np.ones((8, 8))) == 0


def test_padding_share_without_padding_is_nothing():
    assert geometry.following((720, 1280), 224, 32).padding_share(np.ones((5, 9))) == 0


@pytest.mark.parametrize("size", [(227, 227), (33, 47), (720, 1280), (1001, 700), (17, 250), (500, 499)])
@pytest.mark.parametrize("fit", geometry.FITS)
def test_pull_is_the_transpose_of_place(size: tuple[int, int], fit: str) -> None:
    """<g, A p> = <A' g, p>, where A p is what a change p of the pixels does to the canvas."""
    laid = geometry.following(size, 224, 32) if fit == "follow" else geometry.FIXED[fit](size, (224, 224))
    rng = np.random.default_rng(0)
    pixels, change = rng.integers(60, 190, (*size, 3)).astype(np.float32), rng.normal(0, 5, (*size, 3))
    gradient = rng.standard_normal((*laid.canvas, 3)).astype(np.float32)
    moved = laid.place(pixels + change.astype(np.float32)) - laid.place(pixels)  # of floats, so nothing is rounded
    inside = (gradient.astype(np.float64) * moved).sum()
    assert (laid.pull_back(gradient).astype(np.float64) * change).sum() == pytest.approx(inside, abs=0.05)
    assert laid.pull_back(gradient).shape == (*size, 3)
