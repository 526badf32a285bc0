"""The tokens of a transformer as a map of the picture: rows and columns of cells, and tokens that are no cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from core.keras_settings import use_keras

use_keras()

MAX_EXTRA = 8  # tokens that are no cell: a class token, a distillation token, registers


@dataclass(frozen=True)
class TokenGrid:
    """How tokens (N, extra + rows * columns, C) lie on the picture.

    The map (N, rows + hidden_rows, columns, C) holds the cells first. Tokens that are no cell, such as a class token, come
    before the cells among the tokens, and in hidden rows below the cells in the map. The rest of these rows is zero.

    >>> grid = TokenGrid(2, 3, extra=1)
    >>> tokens = np.arange(7.0).reshape(1, 7, 1)
    >>> np.asarray(grid.to_map(tokens))[0, :, :, 0].tolist()
    [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.0, 0.0, 0.0]]
    >>> np.asarray(grid.to_tokens(grid.to_map(tokens))).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    """

    rows: int
    columns: int
    extra: int = 0

    @property
    def count(self) -> int:
        """The number of tokens."""
        return self.extra + self.rows * self.columns

    @property
    def hidden_rows(self) -> int:
        """The rows of the map that hold other tokens."""
        return -(-self.extra // self.columns)

    def cells(self, tokens: np.ndarray) -> np.ndarray:
        """The cells (N, rows, columns, C) of tokens (N, T, C)."""
        return tokens[:, self.extra :].reshape(len(tokens), self.rows, self.columns, tokens.shape[-1])

    def to_map(self, tokens: Any, name: str | None = None) -> Any:
        """Tokens -> the map. Takes arrays, tensors and symbolic tensors. `name`: of the layer that gives the map."""
        shape = (self.rows + self.hidden_rows, self.columns, tokens.shape[-1])
        if self.extra:
            free = self.hidden_rows * self.columns - self.extra
            rotated = keras.ops.concatenate([tokens[:, self.extra :], tokens[:, : self.extra]], 1)
            tokens = keras.ops.pad(rotated, ((0, 0), (0, free), (0, 0)))
        return layers.Reshape(shape, name=name)(tokens)

    def to_tokens(self, maps: Any) -> Any:
        """The map -> tokens."""
        count, channels = self.rows * self.columns, maps.shape[-1]
        tokens = layers.Reshape((count + self.hidden_rows * self.columns, channels))(maps)
        if not self.extra:
            return tokens
        return keras.ops.concatenate([tokens[:, count : count + self.extra], tokens[:, :count]], 1)


def possible_grids(count: int, canvas: tuple[int, int], shapes: set[tuple[int, int]]) -> Iterator[TokenGrid]:
    """The grids that tokens may have, the most likely first.

    Args:
        count: Number of tokens.
        canvas: Shape (h, w) of the canvas.
        shapes: Rows and columns of the maps from which the tokens are calculated.
    """
    tried = set()
    for extra in range(MAX_EXTRA + 1):
        cells = count - extra
        by_aspect = round((cells * canvas[0] / canvas[1]) ** 0.5) if cells >= 4 else 0
        pairs = [(by_aspect, cells // by_aspect)] if by_aspect else []
        for rows, columns in [*(shape for shape in sorted(shapes) if shape[0] * shape[1] == cells), *pairs]:
            square = abs(rows * canvas[1] - columns * canvas[0]) < max(canvas)  # cells of about equal sides
            if rows * columns == cells and min(rows, columns) > 1 and square and (rows, columns, extra) not in tried:
                tried.add((rows, columns, extra))
                yield TokenGrid(rows, columns, extra)
