"""How what a layer answers for an image is laid out: patches, a feature map, or a plain vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from neuroalign.networks.tapping.probe import Probe

MOST_SPECIAL = 32
"""More tokens than patches by more than this are not class and register tokens."""


@dataclass(frozen=True)
class Layout:
    """Where the places of the image lie in an array (image, …) of a layer.

    Attributes
    ----------
    form : str
        `vector` (image, unit), `tokens` (image, token, unit), `map` (image, unit, row, column) or
        `map_last` (image, row, column, unit).
    units : int
    special : int
        Class and register tokens, which stand before the patches.
    grid : tuple of int
        Rows and columns of the patches; (1, 1) for a vector, which is one token in the middle, and
        (1, tokens) where the tokens are no patches.
    """

    form: Literal["vector", "tokens", "map", "map_last"]
    units: int
    special: int
    grid: tuple[int, int]
    placed: bool = True

    @property
    def has_class(self) -> bool:
        """Whether the first token is the class token."""
        return self.special > 0

    @property
    def size(self) -> int:
        """Number of values of an image."""
        return self.units * (self.special + self.grid[0] * self.grid[1])

    @property
    def places(self) -> np.ndarray:
        """Centres (x, y) of the patches, row by row, in shares of the image from its upper left corner."""
        rows, columns = self.grid
        y, x = np.meshgrid(
            (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij"
        )
        return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)

    @property
    def counted(self) -> str:
        """How many tokens there are, for tables: "14 × 14 + 1" for patches and a class token."""
        if self.form == "vector":
            return ""
        patches = f"{self.grid[0]} × {self.grid[1]}" if self.placed else str(self.grid[1])
        return patches + (f" + {self.special}" if self.special else "")

    def tokens(self, answer: torch.Tensor) -> torch.Tensor:
        """Bring an answer into the form (image, token, unit), special tokens first."""
        if self.form == "vector":
            return answer[:, None]
        if self.form == "map":
            return answer.flatten(2).transpose(1, 2)
        if self.form == "map_last":
            return answer.flatten(1, 2)
        return answer

    def patches(self, answer: torch.Tensor) -> torch.Tensor:
        """Patches (image, patch, unit) alone: what stands before them is dropped by its position."""
        return self.tokens(answer)[:, self.special :]


def units_last(module: torch.nn.Module) -> bool:
    """Whether a module works on the last axis, so that a feature map of its has its units there."""
    if type(module) in (torch.nn.Linear, torch.nn.LayerNorm):
        return True
    # ConvNeXt's norm says so itself; other norms made for feature maps keep the units first.
    return bool(getattr(module, "data_format", "") == "channels_last")


def layout_of(
    shape: Sequence[int],
    images: int,
    patches: tuple[int, int] | None,
    square: bool,
    last: bool = False,
) -> Layout | None:
    """Recognise the layout of an array; None where it is not one value per image and unit.

    Parameters
    ----------
    shape : sequence of int
        Shape of what a module answers for `images` images.
    images : int
    patches : tuple of int or None
        Rows and columns into which the network first cuts an image.
    square : bool
        Images are square, and so are the maps.
    last : bool
        Units stand last: what to believe of a feature map whose shape does not tell where its units are.
    """
    if len(shape) < 2 or len(shape) > 4 or shape[0] != images:
        return None
    if len(shape) == 2:
        return Layout("vector", shape[1], 0, (1, 1))
    if len(shape) == 3:
        return _layout_of_tokens(shape[1], shape[2], patches)
    _, first, second, third = shape
    # The two equal axes of a map are its space; units and space may be of one size, too.
    if square and (first == second) != (second == third):
        last = first == second
    if last:
        return Layout("map_last", third, 0, (first, second))
    return Layout("map", first, 0, (second, third))


def _layout_of_tokens(tokens: int, units: int, patches: tuple[int, int] | None) -> Layout:
    if patches is not None:
        rows, columns = patches
        special = tokens - rows * columns
        if 0 <= special <= MOST_SPECIAL:
            return Layout("tokens", units, special, patches)
        for factor in (2, 4, 8, 16):  # hierarchical networks merge squares of patches
            if tokens * factor**2 == rows * columns and rows % factor == columns % factor == 0:
                return Layout("tokens", units, 0, (rows // factor, columns // factor))
    return Layout("tokens", units, 0, (1, tokens), placed=False)


def first_grid(model: torch.nn.Module, seen: Probe) -> tuple[int, int] | None:
    """Rows and columns that the first convolution makes of an image: the patches of a transformer."""
    for path in seen.order:
        shape = seen.outputs[path]
        if isinstance(model.get_submodule(path), torch.nn.Conv2d) and len(shape) == 4:
            return shape[2], shape[3]
    return None
