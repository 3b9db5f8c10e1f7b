"""Images for a simulated study: gratings, textures, shapes and blobs of colour, here and there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 64
"""Pixels along each side of an image."""

_SUPERSAMPLED = 2
"""Points along each side of a pixel, so that the edges of shapes are not jagged."""

Grid = tuple[np.ndarray, np.ndarray]


def draw(number: int, seed: int) -> tuple[str, np.ndarray]:
    """Draw image `number`: its kind, one of KINDS, and its pixels (SIDE, SIDE, 3) of 8 bits.

    On a background of one colour with a slope of light lie five to twelve elements of the kind, each at a
    place of its own; the light and the contrast of images vary.
    """
    rng = np.random.default_rng((seed, 300, number))
    kind = list(KINDS)[number % len(KINDS)]
    points = SIDE * _SUPERSAMPLED
    axis = (np.arange(points) + 0.5) / points
    x, y = np.meshgrid(axis, axis)
    slope = rng.uniform(-0.2, 0.2, (2, 1, 1))
    image = rng.uniform(0.3, 0.65) + rng.uniform(-0.08, 0.08, 3)
    image = image + (slope[0] * (x - 0.5) + slope[1] * (y - 0.5))[..., None]
    for _ in range(rng.integers(5, 13)):
        centre, size = rng.uniform(0.05, 0.95, 2), rng.uniform(0.06, 0.2)
        values, cover = KINDS[kind](((x - centre[0]) / size, (y - centre[1]) / size), rng)
        cover = rng.uniform(0.5, 1.0) * cover[..., None]
        image = (1 - cover) * image + cover * values
    pixels = image.reshape(SIDE, _SUPERSAMPLED, SIDE, _SUPERSAMPLED, 3).mean(axis=(1, 3))
    return kind, np.round(255 * np.clip(pixels, 0, 1)).astype(np.uint8)


def _gaussian(grid: Grid) -> np.ndarray:
    return np.exp(-(grid[0] ** 2 + grid[1] ** 2) / 2)


def _grating(grid: Grid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A grating between two colours, seen through a soft window."""
    angle, cycles, phase = rng.uniform(0, np.pi), rng.uniform(0.3, 1.6), rng.uniform(0, 2 * np.pi)
    along = grid[0] * np.cos(angle) + grid[1] * np.sin(angle)
    wave = 0.5 + 0.5 * np.cos(2 * np.pi * cycles * along + phase)[..., None]
    return wave * _colour(rng) + (1 - wave) * _colour(rng), _gaussian(grid)


def _texture(grid: Grid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Filtered noise with a grain and a direction of its own, seen through a soft window."""
    fine, coarse = np.sort(rng.uniform(0.8, 5.0, 2))
    noise = gaussian_filter(rng.standard_normal(grid[0].shape), (fine, coarse)[:: rng.choice([-1, 1])])
    level = (0.5 + 0.25 * noise / noise.std())[..., None]
    return level * _colour(rng) + (1 - level) * _colour(rng), _gaussian(grid)


def _shape(grid: Grid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A polygon of one colour, or an ellipse."""
    angle, flat, corners = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.0), int(rng.choice([3, 4, 5, 60]))
    across = (grid[1] * np.cos(angle) - grid[0] * np.sin(angle)) / flat
    along = grid[0] * np.cos(angle) + grid[1] * np.sin(angle)
    sides = np.arange(corners) * 2 * np.pi / corners
    inside = np.max([along * np.cos(side) + across * np.sin(side) for side in sides], axis=0) < 1
    return np.broadcast_to(_colour(rng), (*inside.shape, 3)), inside.astype(float)


def _blob(grid: Grid, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A patch of one colour without edges."""
    return np.broadcast_to(_colour(rng), (*grid[0].shape, 3)), _gaussian(grid)


def _colour(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(0, 1) + rng.uniform(-0.4, 0.4, 3)


KINDS: dict[str, Callable[[Grid, np.random.Generator], tuple[np.ndarray, np.ndarray]]] = {
    "grating": _grating,
    "texture": _texture,
    "shape": _shape,
    "blob": _blob,
}
"""What images are made of."""
