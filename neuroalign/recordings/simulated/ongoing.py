"""What simulated EEG holds beside responses: background, alpha, the noise of electrodes, and blinks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroalign.recordings.simulated.head import Head, fields_of

BACKGROUND_V, ALPHA_V, ELECTRODE_V = 7e-6, 7e-6, 2e-6
"""Standard deviations: the background averaged over electrodes, alpha where it is largest, each electrode."""

BLINK_V = 120e-6
"""The potential of a blink where it is largest."""

EYE_V = 250e-6
"""The same between the electrodes above and below an eye."""

_SOURCES = 60
"""Dipoles of the background, all over the brain."""

_PINK_FROM_HZ = 0.5
"""Below this the power of the background rises no further."""

_ALPHA_HZ, _ALPHA_WIDTH_HZ = 10.0, 1.0
_EVERY_S = 5.0
"""Mean time between blinks."""

_BLINK_S = 0.06
"""Standard deviation of the Gaussian course of a blink."""


@dataclass(frozen=True)
class Generators:
    """What the electrodes see of the sources of noise.

    Attributes
    ----------
    background : array (channel, source)
        Scaled so that sources of variance 1 make BACKGROUND_V.
    alpha : array (channel, source)
        Scaled so that sources of variance 1 make ALPHA_V where it is largest.
    eyes : array (channel,)
        Of a blink, 1 where it is largest.
    """

    background: np.ndarray
    alpha: np.ndarray
    eyes: np.ndarray


def open_generators(head: Head, rng: np.random.Generator) -> Generators:
    """Background from everywhere, alpha from both occipital lobes, blinks from the eyes."""
    background = fields_of(head, rng.standard_normal((_SOURCES, 3)), 0.6, rng.standard_normal((_SOURCES, 3)))
    background *= BACKGROUND_V / np.sqrt((background**2).sum(axis=1).mean())
    lobes = np.array([[-0.35, -1.0, 0.3], [0.35, -1.0, 0.3]])
    alpha = fields_of(head, lobes, 0.6)
    alpha *= ALPHA_V / np.sqrt((alpha**2).sum(axis=1)).max()
    sockets = np.array([[-0.35, 1.0, -0.2], [0.35, 1.0, -0.2]])
    eyes = fields_of(head, sockets, 0.8).sum(axis=1)
    return Generators(background, alpha, eyes / eyes.max())


def ongoing(
    generators: Generators, n_samples: int, sampling_hz: float, noise: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A recording without any response, in volts.

    Parameters
    ----------
    generators : Generators
    n_samples : int
    sampling_hz : float
    noise : float
        Scales all but blinks.
    rng : Generator

    Returns
    -------
    eeg : array (channel, time)
        Against the average of the electrodes.
    eye : array (time,)
        Between the electrodes above and below an eye.
    """
    n_channels = len(generators.eyes)
    hz = np.fft.rfftfreq(n_samples, 1 / sampling_hz)
    pink = np.sqrt(1 / np.maximum(hz, _PINK_FROM_HZ)) * (hz > 0)
    alpha = np.exp(-0.5 * ((hz - _ALPHA_HZ) / _ALPHA_WIDTH_HZ) ** 2)
    white = ELECTRODE_V * rng.standard_normal((n_channels, n_samples))
    eeg = white - white.mean(axis=0)
    eeg += generators.background @ _coloured(pink, generators.background.shape[1], n_samples, rng)
    eeg += generators.alpha @ _coloured(alpha, generators.alpha.shape[1], n_samples, rng)
    blinks = _blinks(n_samples, sampling_hz, rng)
    eye = EYE_V * blinks + noise * 2 * BACKGROUND_V * _coloured(pink, 1, n_samples, rng)[0]
    return noise * eeg + BLINK_V * generators.eyes[:, None] * blinks, eye


def _coloured(shape: np.ndarray, count: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise (series, time) of variance 1 whose amplitude spectrum has this shape."""
    spectrum = np.fft.rfft(rng.standard_normal((count, n_samples)), axis=1) * shape
    series = np.fft.irfft(spectrum, n_samples, axis=1)
    return np.asarray(series / series.std(axis=1, keepdims=True))


def _blinks(n_samples: int, sampling_hz: float, rng: np.random.Generator) -> np.ndarray:
    """The course (time,) of blinks at random moments, of random height about 1."""
    course = np.zeros(n_samples)
    times = np.arange(n_samples) / sampling_hz
    for moment in rng.uniform(0, times[-1], rng.poisson(times[-1] / _EVERY_S)):
        course += rng.uniform(0.8, 1.2) * np.exp(-0.5 * ((times - moment) / _BLINK_S) ** 2)
    return course
