"""Handmade features of images, on a grid of places: luminance, contrast, colour, a Gabor pyramid.

Every feature set is computed place by place, (row, column, channel), and for the image as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

SIDE = 64
"""Pixels along each side of the image that filters see: it is stretched to a square."""

CYCLES = (2, 4, 8, 16)
"""Spatial frequencies of the Gabor pyramid, in cycles per image."""

ORIENTATIONS = 6
"""Orientations of the Gabor pyramid, evenly spaced over 180°."""

_BANDWIDTH = (2 - 1) / (2 + 1) / np.sqrt(2 * np.log(2))
"""Standard deviation of a filter over its frequency: one octave wide at half height."""

_MARGIN = SIDE // 2
"""Pixels mirrored around the image, so that opposite edges do not meet."""

_SHARES_OF_LIGHT = np.array([0.2126, 0.7152, 0.0722])
"""Shares of red, green and blue light in luminance (sRGB, ITU-R BT.709)."""


@dataclass(frozen=True)
class FeatureSet:
    """One set of features.

    Attributes
    ----------
    channels : int
        Features of one place.
    compute : callable
        Pixels (height, width, 3) of 8 bits and places along a side → features of every place (grid, grid,
        channels), and of the whole image (channels,).
    spread : bool
        Whether the features of all places, one after the other, are the layer where no tokens are kept.
    """

    channels: int
    compute: Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
    spread: bool = False


def luminance(pixels: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean relative luminance, from 0 (black) to 1 (white)."""
    light = relative_luminance(pixels)[:, :, None]
    return _cells(light, grid), light.mean(axis=(0, 1))


def contrast(pixels: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Root-mean-square contrast: the standard deviation of relative luminance (Peli 1990)."""
    light = relative_luminance(pixels)[:, :, None]
    mean, square = _cells(light, grid), _cells(light**2, grid)
    return np.sqrt(np.maximum(square - mean**2, 0)), light.std(axis=(0, 1))


def colour(pixels: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of the opponent colours red − green and blue − yellow, each from −1 to 1."""
    red, green, blue = np.moveaxis(pixels / 255.0, 2, 0)
    opponents = np.stack([red - green, blue - (red + green) / 2], axis=2)
    return _cells(opponents, grid), opponents.mean(axis=(0, 1))


def gabor(pixels: np.ndarray, grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude of Gabor filters in quadrature: √ of their mean energy (even² + odd²) around each place.

    Filters see the lightness (CIE L*, 0 to 1) of the image at SIDE × SIDE pixels. Channels are the
    ORIENTATIONS of the lowest of CYCLES, then of the next one; orientation 0 varies along x.
    """
    light = relative_luminance(pixels)
    lightness = np.where(light > 216 / 24389, 1.16 * np.cbrt(light) - 0.16, light * 24389 / 2700)
    scaled = Image.fromarray(lightness.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    image = np.asarray(scaled, float)
    padded = np.pad(image - image.mean(), _MARGIN, mode="symmetric")
    inside = slice(_MARGIN, _MARGIN + SIDE)
    responses = np.fft.ifft2(np.fft.fft2(padded) * _filters())[:, inside, inside]
    energy = np.moveaxis(responses.real**2 + responses.imag**2, 0, 2)
    return np.sqrt(_cells(energy, grid)), np.sqrt(energy.mean(axis=(0, 1)))


FEATURES = {
    "luminance": FeatureSet(1, luminance),
    "contrast": FeatureSet(1, contrast),
    "colour": FeatureSet(2, colour),
    "gabor": FeatureSet(len(CYCLES) * ORIENTATIONS, gabor, spread=True),
}
"""Feature sets of images, by name."""


def places(grid: int) -> np.ndarray:
    """Centres (place, 2) of the grid, x and y in shares of the image, row after row."""
    axis = (np.arange(grid) + 0.5) / grid
    return np.stack([np.tile(axis, grid), np.repeat(axis, grid)], axis=1)


def relative_luminance(pixels: np.ndarray) -> np.ndarray:
    """Relative luminance (height, width), 0 to 1, of sRGB pixels of 8 bits (IEC 61966-2-1)."""
    coded = np.arange(256) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return linear[pixels] @ _SHARES_OF_LIGHT


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """Transfer functions (channel, fy, fx): Gaussians about one frequency, whose negative they leave out.

    The response is complex: its real part is that of the even filter, its imaginary part of the odd one.
    """
    size = SIDE + 2 * _MARGIN
    cycles = np.fft.fftfreq(size) * SIDE
    found = []
    for frequency in CYCLES:
        for angle in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS:
            along = cycles[None] - frequency * np.cos(angle)
            across = cycles[:, None] - frequency * np.sin(angle)
            found.append(np.exp(-(along**2 + across**2) / (2 * (_BANDWIDTH * frequency) ** 2)))
    return np.stack(found)


def _cells(values: np.ndarray, grid: int) -> np.ndarray:
    """Mean (grid, grid, channel) of values (height, width, channel) over the cells of a grid.

    Pixels that an edge of a cell cuts count to both sides, by their shares.
    """
    rows, columns = (_shares(size, grid) for size in values.shape[:2])
    return np.einsum("ih,hwc,jw->ijc", rows, values, columns, optimize=True)


@lru_cache(maxsize=64)
def _shares(size: int, grid: int) -> np.ndarray:
    """Weights (cell, pixel), which sum to 1 in every cell."""
    edges = np.arange(grid + 1) * size / grid
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.maximum(overlap, 0) * grid / size
