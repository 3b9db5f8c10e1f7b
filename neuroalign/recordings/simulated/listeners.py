"""Simulated listeners: what the scanner adds to the planted signal, different in each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.signal import lfilter

from neuroalign.recordings.simulated import planted
from neuroalign.recordings.simulated.narration import Run

BASELINE = 100.0
"""Mean of every cortical vertex: changes are then in percent."""

_AUTOREGRESSION = 0.4
_SHARE_OF_MOTION = 0.06
_SHARE_OF_GLOBAL = 0.02
_DRIFT = 0.8
"""Standard deviation of drifts below _DRIFT_HZ, relative to the noise."""

_DRIFT_HZ = 0.008
_STEP = 1 / 64
"""Recordings are rounded to this, as scanners store integers; it also halves the files."""

MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


@dataclass(frozen=True)
class Listener:
    """What stays the same in a listener from run to run.

    Attributes
    ----------
    label : str
        BIDS subject label.
    noise : float
        Standard deviation of the noise, relative to the average listener.
    gain : array (vertex,)
        Smooth map about 1 that multiplies the signal.
    spread : array (vertex,)
        Standard deviation of the noise in percent at `noise` 1.
    sway : array (6, vertex)
        How much each motion parameter shows at a vertex.
    """

    label: str
    noise: float
    gain: np.ndarray
    spread: np.ndarray
    sway: np.ndarray


@dataclass(frozen=True)
class Recording:
    """One run of one listener.

    Attributes
    ----------
    data : array (volume, vertex) of float32
        About BASELINE in cortex and 0 on the medial wall.
    confounds : DataFrame (volume rows)
        Columns as fMRIPrep names them, and sound_power.
    ceiling : array (vertex,)
        Correlation that the true signal can reach with the data after drift removal.
    """

    data: np.ndarray
    confounds: pd.DataFrame
    ceiling: np.ndarray


def invite(cortex: planted.Cortex, number: int, noise: float, seed: int) -> Listener:
    """Make the listener `number` (1 is the first), always the same for a seed."""
    rng = np.random.default_rng((seed, 100, number))
    gain, spread, *sway = planted.by_hemisphere(cortex, 2 + len(MOTION), 0.5, rng)
    return Listener(f"{number:02d}", noise, np.exp(0.12 * gain), np.exp(0.15 * spread), np.asarray(sway))


def record(
    listener: Listener,
    run: Run,
    signal: np.ndarray,
    strength: np.ndarray,
    cortex: planted.Cortex,
    kernel: sparse.csr_array,
    seed: int,
) -> Recording:
    """Record a run: signal, noise, drifts and the traces of motion, in percent about a baseline.

    data = 100 + spread · (strength · gain · signal + noise · (AR(1) + motion + global + drift))

    Parameters
    ----------
    listener : Listener
    run : Run
    signal : array (volume, vertex)
        Of variance 1 after drift removal, see `planted.plant`.
    strength : array (vertex,)
        Standard deviation of the signal over that of the noise in the average listener.
    cortex : Cortex
    kernel : csr_array (vertex, vertex)
        Spatial smoothing that keeps the variance of white noise, see `planted.smoothing`.
    seed : int

    Returns
    -------
    Recording
        The ceiling is √(signal variance / (signal variance + variance of all the rest)).
    """
    rng = np.random.default_rng((seed, 200, int(listener.label), int(run.label)))
    motion = _motion(run.n_volumes, rng)
    heard = signal * (strength * listener.gain).astype(np.float32)
    added = np.float32(listener.noise) * (_noise(listener, motion, kernel, rng) + _drift(run, kernel, rng))
    power = [planted.remove_drifts(part, run.tr).var(axis=0) for part in (heard, added)]
    data = BASELINE + listener.spread.astype(np.float32) * (heard + added)
    data = (np.round(data / _STEP) * _STEP).astype(np.float32)
    data[:, cortex.wall] = 0
    total = power[0] + power[1]
    ceiling = np.sqrt(np.divide(power[0], total, out=np.zeros_like(total), where=total > 0))
    confounds = _confounds(run, motion, data[:, ~cortex.wall].mean(axis=1, dtype=float))
    return Recording(data, confounds, np.where(cortex.wall, np.nan, ceiling))


def _noise(
    listener: Listener, motion: np.ndarray, kernel: sparse.csr_array, rng: np.random.Generator
) -> np.ndarray:
    """Noise (volume, vertex) of variance about 1: AR(1) smooth in space, motion and a global part."""
    n = len(motion)
    settling = 20
    white = rng.standard_normal((kernel.shape[0], n + settling), np.float32)
    innovation = np.sqrt(1 - _AUTOREGRESSION**2)
    series = lfilter(
        np.array([innovation], np.float32),
        np.array([1, -_AUTOREGRESSION], np.float32),
        kernel @ white,
        axis=1,
    )
    swaying = (motion - motion.mean(axis=0)) / motion.std(axis=0) @ listener.sway / np.sqrt(len(MOTION))
    common = lfilter([1.0], [1.0, -_AUTOREGRESSION], rng.standard_normal(n + settling))[settling:]
    own = 1 - _SHARE_OF_MOTION - _SHARE_OF_GLOBAL
    total = series[:, settling:].T * np.float32(np.sqrt(own))
    total += (np.sqrt(_SHARE_OF_MOTION) * swaying).astype(np.float32)
    total += (np.sqrt(_SHARE_OF_GLOBAL) * common / common.std()).astype(np.float32)[:, None]
    return total


def _drift(run: Run, kernel: sparse.csr_array, rng: np.random.Generator) -> np.ndarray:
    """Slow drift (volume, vertex): a line and the cosines below _DRIFT_HZ, randomly weighted."""
    n = run.n_volumes
    orders = np.arange(1, int(2 * n * run.tr * _DRIFT_HZ) + 1)
    shapes = np.cos(np.pi * (np.arange(n)[:, None] + 0.5) * orders / n) * np.sqrt(2)
    shapes = np.column_stack([np.linspace(-1, 1, n) * np.sqrt(3), shapes])
    weights = kernel @ rng.standard_normal((kernel.shape[0], shapes.shape[1]))
    return (_DRIFT / np.sqrt(shapes.shape[1]) * shapes @ weights.T).astype(np.float32)


def _motion(n: int, rng: np.random.Generator) -> np.ndarray:
    """Head motion (volume, 6) in millimetres and radians: a slow walk, tremor, and now and then a jerk."""
    walk = np.cumsum(0.008 * rng.standard_normal((n, 6)), axis=0)
    tremor = 0.03 * rng.standard_normal((n, 6))
    jerks = rng.standard_normal((n, 6)) * (rng.uniform(size=(n, 1)) < 0.02) * 0.2
    settling = lfilter([1.0], [1.0, -0.7], jerks, axis=0)
    head_radius_mm = 50.0
    units = np.array([1, 1, 1, *([1 / head_radius_mm] * 3)])
    return np.round((walk + tremor + settling) * units, 7)


def _confounds(run: Run, motion: np.ndarray, global_signal: np.ndarray) -> pd.DataFrame:
    """The confounds table; framewise displacement is Power's (2012), sound power the stimulus' own."""
    table = pd.DataFrame(motion, columns=list(MOTION))
    steps = np.abs(np.diff(motion, axis=0)) * [1, 1, 1, 50, 50, 50]
    table.insert(0, "framewise_displacement", [np.nan, *steps.sum(axis=1)])
    table.insert(0, "global_signal", global_signal)
    words = run.words
    table["sound_power"] = planted.hear(run, (words["loudness"] * words["duration"]).to_numpy())
    return table
