"""Colour profiles (ICC, version 2) with a matrix and a gamma, written by hand, and the closed form of what they mean."""

from __future__ import annotations

import struct

import numpy as np

# Columns: the red, green and blue primaries in XYZ, adapted to D50 (Lindbloom, www.brucelindbloom.com).
SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
ADOBE = np.array(
    [[0.6097559, 0.2052401, 0.1492240], [0.3111242, 0.6256560, 0.0632197], [0.0194811, 0.0608902, 0.7448387]]
)
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
D50 = (0.9642, 1.0, 0.8249)


def fixed(values: object) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in np.ravel(values))


def profile(matrix: np.ndarray | None, gamma: float, name: str = "by hand") -> bytes:
    """A profile of RGB with these primaries, or of grey for None; one gamma."""
    text = name.encode("ascii") + b"\0"
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(D50),
    }
    if matrix is None:
        tags[b"kTRC"] = curve
    else:
        for channel, column in zip((b"r", b"g", b"b"), matrix.T, strict=True):
            tags |= {channel + b"XYZ": b"XYZ " + bytes(4) + fixed(column), channel + b"TRC": curve}
    place, table, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += key + struct.pack(">II", place + len(data), len(content))
        data += padded
    space = b"GRAY" if matrix is None else b"RGB "
    header = b"".join([
        struct.pack(">I", place + len(data)), bytes(4), struct.pack(">I", 0x02100000), b"mntr", space, b"XYZ ",
        struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp", bytes(28), fixed(D50), bytes(48),
    ])  # fmt: skip
    assert len(header) == 128
    return header + table + data


def to_srgb(levels: np.ndarray, matrix: np.ndarray | None, gamma: float) -> np.ndarray:
    """The sRGB levels (float) of levels (..., 3) in the colours of a profile."""
    linear = (np.asarray(levels, float) / 255) ** gamma
    if matrix is not None:
        linear = np.clip(linear @ matrix.T @ np.linalg.inv(SRGB).T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded * 255
