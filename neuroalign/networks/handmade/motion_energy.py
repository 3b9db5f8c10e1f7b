"""Motion energy of film: how much of it moves where, in which direction, how fast and how finely.

A pyramid of spatiotemporal Gabor filters in quadrature pairs (Adelson & Bergen 1985; Nishimoto et al. 2011),
by pymoten: for filter k at time t, log(√(s_k(t)² + c_k(t)²) + 10⁻⁵), of lightness L* (CIE 1976, 0 to 100).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from neuroalign.errors import NetworkError
from neuroalign.networks.handmade.image_features import relative_luminance
from neuroalign.stimuli.video import read_frames

RATE_HZ = 15
"""Pictures per second that filters see."""

SIDE = 96
"""Pixels along each side of the pictures that filters see: they are stretched to a square."""

DIRECTIONS = tuple(range(0, 360, 45))
"""Directions of motion in degrees."""

CYCLES = (0, 2, 4, 8, 16)
"""Spatial frequencies in cycles per picture."""

CYCLES_HZ = (0, 2, 4)
"""Temporal frequencies."""

_WIDTH = 10
"""Pictures that a filter sees: two thirds of a second."""

_AHEAD = math.ceil(_WIDTH / 2) - 1
"""How many of them come after the one at its centre."""

_MOST_PICTURES = 600
"""Pictures in memory at once, unless a single step has more."""


class Step(NamedTuple):
    """A span of a file, in seconds."""

    uri: str
    start_s: float
    stop_s: float

    @property
    def pictures(self) -> tuple[int, int]:
        """Numbers of the first and the last picture of the step, one at least."""
        last = math.floor(self.stop_s * RATE_HZ - 0.5 + 1e-6)
        return min(math.ceil(self.start_s * RATE_HZ - 0.5 - 1e-6), last), last


def motion_energy(steps: Sequence[Step]) -> np.ndarray:
    """Motion energy (step, filter), averaged over what each step adds to the film.

    A filter counts at the moment when it has seen all of its pictures, so nothing that follows a step
    enters it. What is before a film is its first picture.

    Parameters
    ----------
    steps : sequence of Step
        Those of a file beside each other, ascending.

    Raises
    ------
    NetworkError
        pymoten is not installed.
    DataError
        A file cannot be read, or has no pictures.
    """
    found = np.empty((len(steps), pyramid().nfilters), np.float32)
    for block in _blocks(steps):
        spans = [steps[row].pictures for row in block]
        begin = spans[0][0] - _WIDTH + 1
        energy = _energy(steps[block[0]].uri, range(begin, max(last for _, last in spans) + 1))
        for row, (first, last) in zip(block, spans, strict=True):
            found[row] = energy[first - _AHEAD - begin : last - _AHEAD - begin + 1].mean(axis=0)
    return found


def filters() -> dict[str, np.ndarray]:
    """What every filter answers to most, by pymoten's names of parameters, each an array (filter,).

    Among them `direction` (degrees: 0 is to the right, 90 upwards), `spatial_freq` (cycles per picture),
    `temporal_freq` (Hz), `centerh` and `centerv` (shares of the picture, from its upper left).
    """
    found = {name: np.asarray(values) for name, values in pyramid().parameters.items()}
    # pymoten names a filter by how it looks when it is played; it is convolved with the film, backwards in
    # time, and so answers to what moves the other way.
    moving = found["temporal_freq"] > 0
    found["direction"] = np.where(moving, (found["direction"] + 180) % 360, found["direction"])
    return found


@lru_cache(maxsize=1)
def pyramid() -> Any:
    """The pyramid of filters.

    Raises
    ------
    NetworkError
        pymoten is not installed.
    """
    try:
        from moten.pyramids import MotionEnergyPyramid
    except ModuleNotFoundError as error:
        raise NetworkError(
            f"the feature motion_energy needs the package pymoten, and '{error.name}' is not installed; "
            "pip install 'neuroalign[motion]'"
        ) from None
    return MotionEnergyPyramid(
        stimulus_vhsize=(SIDE, SIDE),
        stimulus_fps=RATE_HZ,
        temporal_frequencies=list(CYCLES_HZ),
        spatial_frequencies=list(CYCLES),
        spatial_directions=list(DIRECTIONS),
        filter_temporal_width=_WIDTH,
    )


def _blocks(steps: Sequence[Step]) -> Iterator[range]:
    """Rows of steps of one file that are looked at together."""
    start = 0
    for row in range(1, len(steps) + 1):
        ends = row == len(steps) or steps[row].uri != steps[start].uri
        if ends or steps[row].pictures[1] - steps[start].pictures[0] >= _MOST_PICTURES:
            yield range(start, row)
            start = row


def _energy(uri: str, pictures: range) -> np.ndarray:
    """Log energy (picture, filter) of pictures of a film, by the picture at a filter's centre."""
    times = [max((number + 0.5) / RATE_HZ, 0.0) for number in pictures]
    seen = np.empty((len(times), SIDE, SIDE), np.float32)
    for place, time in enumerate(times):
        seen[place] = _lightness(read_frames(uri, [time])[0])
    return np.asarray(pyramid().project_stimulus_batched(seen))


def _lightness(pixels: np.ndarray) -> np.ndarray:
    """L* (row, column), from 0 to 100, of a picture (height, width, 3) of 8 bits, made small."""
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    light = relative_luminance(np.asarray(small))
    linear = light <= (6 / 29) ** 3
    return np.where(linear, light * (29 / 3) ** 3, 116 * np.cbrt(light) - 16)
