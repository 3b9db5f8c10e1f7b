"""Handmade features of sound: its envelope, and a log mel spectrogram."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RATE_HZ = 16_000
"""Samples per second at which sound is looked at."""

FRAME, HOP = 400, 160
"""Samples of a frame of the spectrogram (25 ms), and from one to the next (10 ms)."""

FLOOR = 1e-10
"""Least power in a band, so that silence has a logarithm."""


def envelope(wave: np.ndarray) -> np.ndarray:
    """Root-mean-square amplitude (1,) of a waveform (sample,) from −1 to 1."""
    return np.sqrt(np.mean(np.square(wave, dtype=np.float64), keepdims=True))


def mel(wave: np.ndarray, bands: int) -> np.ndarray:
    """Log mel spectrogram (band,) of a waveform (sample,) at `RATE_HZ`, averaged over frames.

    In each frame log10 Σ_f w_b(f) |Σ_t h(t) x(t) e^(−2πift)|², with a periodic Hann window h and triangles
    w_b between centres that are evenly spaced in mel, 2595 log10(1 + f / 700 Hz), from 0 to 8 kHz. Frames
    lie within the waveform; one shorter than a frame is followed by silence.
    """
    wave = np.pad(wave, (0, max(FRAME - len(wave), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    total, size = np.zeros(bands), 1000  # frames at once
    for start in range(0, len(frames), size):
        power = np.abs(np.fft.rfft(frames[start : start + size] * hann, axis=1)) ** 2
        total += np.log10(np.maximum(power @ _triangles(bands), FLOOR)).sum(axis=0)
    return total / len(frames)


@lru_cache(maxsize=4)
def _triangles(bands: int) -> np.ndarray:
    """Weights (frequency, band) of triangles: 1 in the middle, 0 in the middles of their neighbours."""
    highest = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, bands + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(FRAME, 1 / RATE_HZ)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0)
