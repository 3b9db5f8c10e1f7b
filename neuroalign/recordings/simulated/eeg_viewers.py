"""Simulated people whose EEG is recorded while they look at images: who sees which one when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuroalign.recordings.simulated.ongoing import Generators, ongoing
from neuroalign.settings.simulation import SimulateEEG

SHOWN_S = 0.5
"""How long an image stays."""

EVERY_S = (1.0, 1.3)
"""Shortest and longest time from one onset to the next."""

AROUND_S = 2.0
"""Rest before the first image of a run, and after the last has begun."""

EPOCH_S = (-0.2, 0.8)
"""Seconds about the onset for which the truth is told; the baseline is what lies before it."""

STRENGTH_V = 3.5e-6
"""Standard deviation over images of the response to a source, at its peak, where it is largest."""


@dataclass(frozen=True)
class EEGViewer:
    """What stays the same in a person.

    Attributes
    ----------
    label : str
        BIDS subject label.
    noise : float
        Standard deviation of the noise, relative to the average person.
    gains : array (layer, side)
        Strength of the sources, in volts where they are seen best.
    trials : DataFrame
        Columns run (label), onset (number of the sample within the run), image (number) and repeat (1 for the
        first time), in order.
    """

    label: str
    noise: float
    gains: np.ndarray
    trials: pd.DataFrame


def epoch_times(sampling_hz: float) -> np.ndarray:
    """Seconds after onset (time,) of the samples of an epoch."""
    first, last = (round(second * sampling_hz) for second in EPOCH_S)
    return np.arange(first, last + 1) / sampling_hz


def invite_eeg_viewer(number: int, n_layers: int, settings: SimulateEEG, seed: int) -> EEGViewer:
    """Make the person `number` (1 is the first), always the same for a seed.

    Every image is seen once, in random order, before any is seen again; the trials are then cut into runs.
    """
    rng = np.random.default_rng((seed, 700, number))
    order = np.concatenate([rng.permutation(settings.images) for _ in range(settings.repeats)])
    parts = np.array_split(np.arange(len(order)), settings.runs)
    shortest, longest = (round(second * settings.sampling_hz) for second in EVERY_S)
    first = round(AROUND_S * settings.sampling_hz)
    onsets = [
        first + np.concatenate([[0], np.cumsum(rng.integers(shortest, longest + 1, len(part) - 1))])
        for part in parts
    ]
    trials = pd.DataFrame(
        {
            "run": np.repeat([str(label) for label in range(1, settings.runs + 1)], [len(p) for p in parts]),
            "onset": np.concatenate(onsets).astype(int),
            "image": order,
            "repeat": np.repeat(np.arange(settings.repeats) + 1, settings.images),
        }
    )
    gains = STRENGTH_V * np.exp(0.15 * rng.standard_normal((n_layers, 2)))
    return EEGViewer(f"{number:02d}", settings.noise[(number - 1) % len(settings.noise)], gains, trials)


@dataclass(frozen=True)
class EEGRun:
    """One run of one person, in volts.

    Attributes
    ----------
    label : str
    trials : DataFrame
        Of this run, see `EEGViewer`.
    eeg : array (channel, time)
    eye : array (time,)
    noise : array (channel, epoch's time)
        Summed squares over trials of what is no response, less its mean over the baseline.
    """

    label: str
    trials: pd.DataFrame
    eeg: np.ndarray
    eye: np.ndarray
    noise: np.ndarray


def record(
    viewer: EEGViewer, responses: np.ndarray, generators: Generators, sampling_hz: float, seed: int
) -> Iterator[EEGRun]:
    """Record all runs of a person: everything that goes on, and the response to every image shown.

    Parameters
    ----------
    viewer : EEGViewer
    responses : array (image, channel, time)
        In volts, for the samples of an epoch.
    generators : Generators
    sampling_hz : float
    seed : int
    """
    times = epoch_times(sampling_hz)
    before = int((times < 0).sum())
    for label, trials in viewer.trials.groupby("run", sort=False):
        rng = np.random.default_rng((seed, 800, int(viewer.label), int(str(label))))
        onsets = trials["onset"].to_numpy()
        n_samples = int(onsets[-1]) + round(AROUND_S * sampling_hz)
        eeg, eye = ongoing(generators, n_samples, sampling_hz, viewer.noise, rng)
        noise = np.zeros(responses.shape[1:])
        for onset in onsets:
            epoch = eeg[:, onset - before : onset - before + len(times)]
            noise += np.square(epoch - epoch[:, : before + 1].mean(axis=1, keepdims=True))
        for onset, image in zip(onsets, trials["image"], strict=True):
            eeg[:, onset - before : onset - before + len(times)] += responses[image]
        yield EEGRun(str(label), trials, eeg, eye, noise)
