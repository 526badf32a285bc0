"""The backgrounds and subjects of the three invented channels."""

from __future__ import annotations

import itertools
import math

import numpy as np

from samples.drawing import (
    HEIGHT,
    WIDTH,
    Field,
    Rng,
    X,
    Y,
    blur,
    capsule,
    cast_shadow,
    colour_ramp,
    fractal_noise,
    jitter,
    light_surface,
    mix,
    paint_glow,
    paint_solid,
    rgb,
    rounded_box,
    smooth_step,
    sum_of_waves,
    uniform_draws,
    vignette,
    window_around,
)

SUBJECTS_PER_CHANNEL = 3  # subjects per channel

# --- Orbit Lab: a planet in a nebula -----------------------------------------


def paint_space(rng: Rng) -> Field:
    """Return a night sky with a nebula and stars."""
    cloud, wisp = fractal_noise(rng, (420, 560), 6), fractal_noise(rng, (260, 340), 6)
    deep, glow, edge = (jitter(rng, c) for c in ("#0a0826", "#7a2bd6", "#12b5c9"))
    canvas: Field = np.broadcast_to(deep, (HEIGHT, WIDTH, 3)).astype(np.float32)
    canvas = canvas + glow * (smooth_step(0.35, 0.95, cloud) * 0.75)[..., None]
    canvas = canvas + edge * (smooth_step(0.55, 1.0, wisp) * 0.65)[..., None]
    sparks = np.zeros((HEIGHT, WIDTH), np.float32)
    sparks[rng.integers(0, HEIGHT, 500), rng.integers(0, WIDTH, 500)] = rng.random(500, np.float32) ** 3
    canvas = canvas + np.clip(blur(sparks, 0.8) * 7, 0, 1)[..., None]
    places = (uniform_draws(rng, 0, WIDTH, 14), uniform_draws(rng, 0, HEIGHT, 14), uniform_draws(rng, 3, 8, 14))
    for x, y, size in zip(*places, strict=True):
        near = window_around(x, y, 20 * size)
        dx, dy = np.abs(X[near] - x) / size, np.abs(Y[near] - y) / size
        spikes = np.exp(-np.sqrt(dx * dy * 40 + 0.1) - (dx + dy) / 4)
        canvas[near] += (np.exp(-(dx**2 + dy**2) * 2) + 0.8 * spikes)[..., None]
    return np.clip(vignette(canvas, 0.4), 0, 1).astype(np.float32)


def paint_planet(canvas: Field, rng: Rng, kind: int) -> Field:
    """Draw a planet on the right: a ringed giant (0), an ocean world (1) or a red desert (2)."""
    radius = rng.uniform(235, 262) if kind == 0 else rng.uniform(275, 310)
    cx, cy = rng.uniform(940, 985), rng.uniform(355, 385)
    nx, ny = (X - cx) / radius, (Y - cy) / radius
    distance = np.sqrt(nx**2 + ny**2)
    disc = np.clip((1 - distance) * radius + 0.5, 0, 1)
    nz = np.sqrt(np.clip(1 - distance**2, 0, 1))
    # Longitude and latitude index the texture, so it is compressed towards the rim, as on a ball.
    lean = rng.uniform(-0.45, -0.2)
    px, py = nx * math.cos(lean) + ny * math.sin(lean), ny * math.cos(lean) - nx * math.sin(lean)
    size = 1024
    row = ((np.arcsin(np.clip(py, -1, 1)) / np.pi + 0.5) * (size - 1)).astype(np.intp)
    column = ((np.arctan2(px, nz + 1e-6) / np.pi + 0.5) * (size - 1)).astype(np.intp)
    rough = fractal_noise(rng, (300, 300), 7, (size, size))
    surface = (_giant, _ocean, _desert)[kind](rng, rough)[row, column]
    light = (-0.62, -0.48, 0.62)
    day = np.clip(nx * light[0] + ny * light[1] + nz * light[2], 0, 1) ** 0.8
    air = jitter(rng, ("#ffd9a0", "#6cc8ff", "#ff9a6b")[kind])
    lit = surface * (0.05 + 1.15 * day)[..., None] + air * ((1 - nz) ** 3 * (day + 0.15) * 0.9)[..., None]
    sunward = np.clip(0.55 + (nx * light[0] + ny * light[1]) * 0.6 / (distance + 1e-6), 0.1, 1)
    halo = np.exp(-np.clip(distance - 1, 0, None) * 9) * sunward * 0.75
    canvas = np.clip(canvas + air * halo[..., None], 0, 1)
    if kind != 0:
        return mix(canvas, np.clip(lit, 0, 1), disc)
    flat = np.sqrt(px**2 + (py / 0.28) ** 2)
    grooves = 0.55 + 0.45 * np.interp(flat, np.linspace(1.2, 2.0, 90), rng.random(90)).astype(np.float32)
    gap = 1 - 0.85 * smooth_step(0.03, 0.0, np.abs(flat - 1.66))
    ring = smooth_step(1.24, 1.28, flat) * smooth_step(1.96, 1.88, flat) * grooves * gap
    dust = jitter(rng, "#f4dcb4")
    # The far half of the ring passes behind the ball, the near half in front with a shadow on it.
    canvas = mix(canvas, dust * 0.8, ring * (py < 0) * 0.9)
    cast = smooth_step(1.2, 1.35, np.sqrt(px**2 + ((py - 0.1) / 0.28) ** 2)) * smooth_step(2.0, 1.85, flat) * (py > 0)
    canvas = mix(canvas, np.clip(lit * (1 - 0.55 * cast)[..., None], 0, 1), disc)
    return mix(canvas, dust, ring * (py >= 0) * 0.95)


def _giant(rng: Rng, rough: Field) -> Field:
    """Return the cloud bands of a gas giant as a square RGB texture."""
    size = len(rough)
    latitude = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    warp = latitude + (rough - 0.5) * 0.05
    strata = np.interp(warp, np.linspace(0, 1, 24), rng.random(24)).astype(np.float32)
    colours = [jitter(rng, c) for c in ("#9c5a34", "#e8b06a", "#fff0d2", "#c9783e")]
    return colour_ramp(np.clip(strata + (rough - 0.5) * 0.25, 0, 1), colours)


def _ocean(rng: Rng, rough: Field) -> Field:
    """Return seas, land and clouds as a square RGB texture."""
    sea = colour_ramp(rough, [jitter(rng, "#06357e"), jitter(rng, "#1590e0"), jitter(rng, "#35c3f0")])
    land = colour_ramp(
        smooth_step(0.5, 0.85, rough), [jitter(rng, c) for c in ("#4fae4a", "#2f7a35", "#b79a5c", "#f4efe2")]
    )
    texture = mix(sea, land, smooth_step(0.515, 0.53, rough))
    cloud = fractal_noise(rng, (110, 420), 6, rough.shape)
    return mix(texture, np.ones(3, np.float32), smooth_step(0.46, 0.74, cloud) * 0.95)


def _desert(rng: Rng, rough: Field) -> Field:
    """Return rocky plains with craters as a square RGB texture."""
    size = len(rough)
    y, x = (axis.astype(np.float32) for axis in np.mgrid[0:size, 0:size])
    height = rough * 60
    places = (uniform_draws(rng, 0, size, 46), uniform_draws(rng, 150, size - 150, 46), uniform_draws(rng, 0, 1, 46))
    for cx, cy, large in zip(*places, strict=True):
        r = 70 * large**3 + 10  # many small craters, few large ones
        d = np.sqrt((x - cx) ** 2 + (y - cy) ** 2) / r
        height += r * 0.3 * (np.exp(-(((d - 1) / 0.22) ** 2)) - 0.9 * (d < 1) * (1 - d**2))
    colours = [jitter(rng, c) for c in ("#5c1f14", "#b4482a", "#e58a4f", "#ffd0a0")]
    return light_surface(height, colour_ramp(smooth_step(0.1, 0.95, rough), colours), 0.0)


# --- Crumb & Co: something baked on a wooden table ---------------------------


def paint_table(rng: Rng) -> Field:
    """Return a sunlit table of planks, seen from above."""
    plank = rng.uniform(168, 190)
    start = rng.uniform(0, plank)
    index = ((Y + start) // plank).astype(np.intp)
    within = (Y + start) % plank
    tone, slide = rng.uniform(-0.09, 0.09, 8).astype(np.float32)[index], rng.integers(0, WIDTH, 8)[index]
    fibre = fractal_noise(rng, (26, 900), 5)
    knot = fractal_noise(rng, (170, 700), 3)
    rows = np.arange(HEIGHT)[:, None]
    ends = (X.astype(np.intp) + slide) % WIDTH  # distance from the plank's end
    rings = 0.5 + 0.5 * np.sin(knot[rows, ends] * 55 + Y * 0.05)
    grain = np.clip(0.62 * fibre[rows, ends] + 0.25 * rings + 0.08 + tone, 0, 1)
    canvas = colour_ramp(grain, [jitter(rng, c) for c in ("#5a2d14", "#a8622f", "#d9985a", "#f0bf83")])
    gap = np.minimum(np.minimum(within, plank - within), np.minimum(ends, WIDTH - ends) + 1.5).astype(np.float32)
    canvas = canvas * (1 - 0.75 * smooth_step(5, 1, gap) - 0.12 * smooth_step(16, 4, gap))[..., None]
    sun = np.exp(-((X - 260) ** 2 / 700**2 + (Y - 60) ** 2 / 560**2))
    canvas = canvas * (0.62 + 0.6 * sun)[..., None] * np.array([1.06, 1.0, 0.93], np.float32)
    heap, speck = fractal_noise(rng, (240, 300), 7), fractal_noise(rng, (4, 4), 2)
    flour = np.clip(
        smooth_step(0.6, 1.0, heap) * 0.75 + smooth_step(0.5, 0.8, heap) * smooth_step(0.72, 0.8, speck) * 0.8, 0, 0.85
    )
    canvas = mix(canvas, rgb("#fff8ec"), flour)
    return np.clip(vignette(canvas, 0.45), 0, 1).astype(np.float32)


def paint_pastry(canvas: Field, rng: Rng, kind: int) -> Field:
    """Draw a plate on the right with an iced ring (0), a chocolate ring (1) or a cookie (2)."""
    cx, cy, radius = rng.uniform(955, 985), rng.uniform(350, 375), rng.uniform(232, 250)
    dx, dy = X - cx, Y - cy
    r, angle = np.sqrt(dx**2 + dy**2), np.arctan2(dy, dx)
    canvas = _plate(canvas, r, radius * 1.4, jitter(rng, "#f3f6f7", 0.5, 0.03))
    if kind == 2:
        height, albedo, coverage = _cookie(rng, r, angle, radius)
    else:
        height, albedo, coverage = _doughnut(rng, r, angle, radius, kind)
    if kind == 0:
        height, albedo = _sprinkles(rng, height, albedo, (cx, cy), radius)
    canvas = cast_shadow(canvas, coverage, (16, 22), 16, 0.6)
    return mix(canvas, light_surface(height, albedo, (0.75, 0.6, 0.03)[kind]), coverage)


def _plate(canvas: Field, r: Field, radius: float, glaze: Field) -> Field:
    """Draw a round plate, given each pixel's distance `r` from its centre."""
    coverage = np.clip(radius - r + 0.5, 0, 1)
    height = 26 * smooth_step(radius * 0.62, radius * 0.84, r) - 14 * smooth_step(radius - 14, radius, r)
    canvas = cast_shadow(canvas, coverage, (20, 26), 22, 0.7)
    return mix(canvas, light_surface(height, np.broadcast_to(glaze * 1.13, (*r.shape, 3)), 0.2), coverage)


def _doughnut(rng: Rng, r: Field, angle: Field, radius: float, kind: int) -> tuple[Field, Field, Field]:
    """Return height (pixels), colour and coverage of an iced ring, pink (0) or chocolate (1)."""
    across = (r - radius * 0.64) / (radius * 0.36)
    coverage = np.clip((1 - np.abs(across)) * radius * 0.36 + 0.5, 0, 1)
    height = radius * 0.3 * np.sqrt(np.clip(1 - across**2, 0, 1))
    wave = sum_of_waves(rng, angle, (0.02, 0.05), (5, 7, 9, 14))
    edge = (0.74 + wave - np.abs(across)) * radius * 0.36
    icing = smooth_step(-1, 1, edge)
    height = height + 9 * smooth_step(0, 14, edge)
    crust = [jitter(rng, c, 0.01) for c in ("#b9702f", "#e0a25a", "#f6d08d")]
    dough = colour_ramp(smooth_step(1.05, 0.45, np.abs(across)), crust)
    cream = jitter(rng, ("#ff6fa8", "#4a2413")[kind], 0.03)
    albedo = mix(dough, cream, icing)
    if kind == 1:
        turned = angle + rng.uniform(-0.6, 0.6)
        phase = r * np.cos(turned) / 24
        # The slope of the zigzag widens its band, so divide by it to keep a drizzle of even width.
        steep = np.sqrt(1 + (np.cos(phase) * radius * 0.9 / 24) ** 2)
        line = np.abs(r * np.sin(turned) - np.sin(phase) * radius * 0.9) / steep
        drizzle = smooth_step(7.5, 5.5, line) * icing
        height = height + drizzle * 5 * np.sqrt(np.clip(1 - (line / 8) ** 2, 0, 1))
        albedo = mix(albedo, jitter(rng, "#fff3df"), drizzle)
    return height, albedo, coverage


def _sprinkles(
    rng: Rng, height: Field, albedo: Field, centre: tuple[float, float], radius: float
) -> tuple[Field, Field]:
    """Scatter sugar sprinkles over the icing of a ring."""
    colours = [rgb(c) for c in ("#ffe14d", "#46d3ff", "#ffffff", "#8cf06b", "#ff5a4d", "#b07bff")]
    height, albedo = height.copy(), albedo.copy()
    places = (
        uniform_draws(rng, 0, math.tau, 120),
        uniform_draws(rng, 0.46, 0.82, 120),
        uniform_draws(rng, 0, math.pi, 120),
    )
    for turn, out, spin in zip(*places, strict=True):
        x, y = centre[0] + math.cos(turn) * out * radius, centre[1] + math.sin(turn) * out * radius
        near = window_around(x, y, 18)
        dx, dy = X[near] - x, Y[near] - y
        along = np.clip(dx * math.cos(spin) + dy * math.sin(spin), -9, 9)
        away = np.hypot(dx - along * math.cos(spin), dy - along * math.sin(spin))
        height[near] += 5 * np.sqrt(np.clip(1 - (away / 5.5) ** 2, 0, 1))
        albedo[near] = mix(albedo[near], colours[int(rng.integers(6))], np.clip(6 - away, 0, 1))
    return height, albedo


def _cookie(rng: Rng, r: Field, angle: Field, radius: float) -> tuple[Field, Field, Field]:
    """Return height (pixels), colour and coverage of a chocolate chip cookie."""
    rim = radius * (1 + sum_of_waves(rng, angle, (0.005, 0.018), (3, 5, 8, 13)))
    coverage = np.clip(rim - r + 0.5, 0, 1)
    crumb, crack = fractal_noise(rng, (60, 60), 5), fractal_noise(rng, (110, 110), 4)
    height = 40 * np.sqrt(np.clip(1 - (r / rim) ** 4, 0, 1)) + blur(crumb, 1.5) * 24
    seam = smooth_step(0.035, 0.0, np.abs(crack - 0.5))
    height = height - 6 * blur(seam, 1)
    bake = [jitter(rng, c, 0.01) for c in ("#a8622a", "#d9984f", "#efc27e")]
    albedo = colour_ramp(np.clip(crumb * 0.7 + 0.45 * smooth_step(1.05, 0.5, r / rim), 0, 1), bake)
    x, y = r * np.cos(angle), r * np.sin(angle)
    first = rng.uniform(0, math.tau)
    for number in range(26):
        # The golden angle spreads the chips evenly without rows.
        turn, out = first + number * 2.4, math.sqrt((number + 0.5) / 26) * radius * 0.84
        cx, cy = math.cos(turn) * out + rng.uniform(-9, 9), math.sin(turn) * out + rng.uniform(-9, 9)
        size, stretch, spin = rng.uniform(15, 27), rng.uniform(0.75, 1.0), rng.uniform(0, math.pi)
        u = (x - cx) * math.cos(spin) + (y - cy) * math.sin(spin)
        v = (y - cy) * math.cos(spin) - (x - cx) * math.sin(spin)
        d = np.sqrt(u**2 + (v / stretch) ** 2) / size
        height = height + size * 0.55 * np.sqrt(np.clip(1 - d**2, 0, 1))
        albedo = mix(albedo, rgb("#3b1c10"), np.clip((1 - d) * size + 0.5, 0, 1))
    return height, albedo, coverage


# --- Bolt Squad: a robot in front of rays ------------------------------------


def paint_rays(rng: Rng) -> Field:
    """Return bright rays behind the subject, with a halftone screen in the corners."""
    palette = (
        ("#0b54e0", "#16b7f5", "#b8f6ff"),
        ("#e0401c", "#ff8a1f", "#ffe38a"),
        ("#0d9a6c", "#34d67c", "#e4ff9c"),
    )
    outer, middle, inner = (jitter(rng, c) for c in palette[int(rng.integers(3))])
    dx, dy = X - 950, Y - 390
    r = np.sqrt(dx**2 + dy**2) / 1000
    base = colour_ramp(np.clip(r * 1.25, 0, 1), [inner, middle, outer, outer * 0.7])
    beam = np.sin(np.arctan2(dy, dx) * 14 + rng.uniform(0, 7))
    canvas = base * (1 + 0.16 * smooth_step(-0.06, 0.06, beam) - 0.06)[..., None]
    u, v = (X + Y) % 22 - 11, (X - Y) % 22 - 11
    dot = np.sqrt(u**2 + v**2)
    size = 9.5 * smooth_step(0.35, 1.05, r)
    canvas = mix(canvas, outer * 0.45, np.clip(size - dot, 0, 1) * 0.5)
    canvas = canvas + (np.exp(-(r**2) * 14) * 0.28)[..., None]
    return np.clip(vignette(canvas, 0.35), 0, 1).astype(np.float32)


def paint_robot(canvas: Field, rng: Rng, kind: int) -> Field:
    """Draw a robot on the right, cut out like a sticker: happy (0), amazed (1) or cross (2)."""
    cx, cy = rng.uniform(930, 975), rng.uniform(300, 322)
    wide, tall = rng.uniform(188, 206), rng.uniform(146, 160)
    paint = ("#f4f7fb", "#ff4b3e", "#ffd21f")[int(rng.integers(3))]
    shell, trim, lamp = (jitter(rng, c, 0.03) for c in (paint, "#39445c", "#3dffd0"))
    raised = rng.uniform(-40, 40)
    parts: list[tuple[Field, Field, float]] = [
        (capsule((cx, cy - tall), (cx + rng.uniform(-30, 30), cy - tall - 66), 9), trim, 9),
        (capsule((cx - 150, cy + 320), (cx - 262, cy + 170 + raised), 38), shell, 38),
        (capsule((cx + 150, cy + 320), (cx + 268, cy + 200 - raised), 38), shell, 38),
        (capsule((cx - 272, cy + 150 + raised), (cx - 276, cy + 138 + raised), 50), trim, 46),
        (capsule((cx + 278, cy + 180 - raised), (cx + 282, cy + 168 - raised), 50), trim, 46),
        (rounded_box((cx, cy + tall + 30), (66, 44), 18), trim, 20),
        (rounded_box((cx, cy + tall + 230), (172, 186), 74), shell, 60),
        (rounded_box((cx - wide - 8, cy + 6), (34, 62), 24), trim, 24),
        (rounded_box((cx + wide + 8, cy + 6), (34, 62), 24), trim, 24),
        (rounded_box((cx, cy), (wide, tall), 92), shell, 70),
        (rounded_box((cx, cy + 12), (wide - 44, tall - 44), 62), rgb("#10162b"), 16),
    ]
    ball = capsule((cx, cy - tall - 80), (cx, cy - tall - 79), 25)
    outline = np.max([depth for depth, _, _ in parts] + [ball], axis=0)
    sticker = np.clip(outline + 14, 0, 1)
    canvas = cast_shadow(canvas, sticker, (18, 20), 14, 0.55)
    canvas = mix(canvas, np.ones(3, np.float32), sticker)
    for depth, colour, bevel in parts:
        canvas = paint_solid(canvas, depth, colour, bevel)
    canvas = paint_solid(canvas, ball, lamp, 25, 0.9)
    canvas = paint_solid(canvas, rounded_box((cx, cy + tall + 150), (74, 40), 24), trim, 14)
    lights = [9 - np.hypot(X - cx - 34 * i, Y - cy - tall - 150) for i in (-1, 0, 1)]
    return paint_glow(canvas, np.maximum(_face(kind, cx, cy + 10), np.max(lights, axis=0)), lamp)


def _face(kind: int, cx: float, cy: float) -> Field:
    """Return the depth of a robot's lit eyes and mouth: happy (0), amazed (1) or cross (2)."""
    pieces: list[Field] = []
    for side in (-1, 1):
        x = cx + side * 76
        if kind == 0:
            pieces += [capsule((x - 30, cy + 2), (x, cy - 32), 10), capsule((x, cy - 32), (x + 30, cy + 2), 10)]
        elif kind == 1:
            pieces.append(10 - np.abs(np.hypot(X - x, Y - cy + 18) - 34))
        else:
            lid = (X - x) * side * 0.5 + (Y - cy + 18)
            pieces.append(np.minimum(36 - np.hypot(X - x, Y - cy + 10), lid + 16))
    if kind == 0:
        pieces.append(np.minimum(46 - np.hypot(X - cx, Y - cy - 32), Y - cy - 34))
    elif kind == 1:
        pieces.append(capsule((cx, cy + 54), (cx, cy + 62), 19))
    else:
        steps = [(-54, 62), (-18, 46), (18, 62), (54, 46)]
        pieces += [capsule((cx + a, cy + b), (cx + c, cy + d), 8) for (a, b), (c, d) in itertools.pairwise(steps)]
    depth: Field = np.max(pieces, axis=0)
    return depth
