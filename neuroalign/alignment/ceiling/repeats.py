"""The noise ceiling of trials, from stimuli that were shown more than once.

A response is y = g + noise, with g what the stimulus decides. Trials of one stimulus differ by noise
alone, so that their variance, pooled over stimuli, is the noise's: σ² = Σ_ik (y_ik − ȳ_i)² / Σ_i (n_i − 1).
A perfect model of g correlates with means over n trials at

    ceiling = √( s² / (s² + σ² / n) ).

The variance s² of g comes in two ways. `signal_power` takes it from the means of stimuli, less the noise
that is left in them (analysis of variance; for equal numbers of repeats the signal power of Sahani &
Linden 2003): unbiased, whatever the number of stimuli. `nsd` takes what the variance of all trials
exceeds the noise by (Allen et al. 2022, Nature Neuroscience 25:116), and uses stimuli without repeats
too. A third way, `split_half`, needs neither: the repeats of every stimulus are halved at random, means over
either half are correlated over stimuli, and Spearman and Brown's formula (1910, Br. J. Psychol. 3:271, 296)
turns the correlation r of means over k trials into that of single trials, ρ = r / (k − (k − 1) r), whose
shares of signal and noise are ρ and 1 − ρ. Intervals come from a bootstrap over stimuli.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse
import xarray as xr

from neuroalign.design.trials import trial_events
from neuroalign.settings.statistics import Ceiling

SPLITS = 20
"""Random halvings of the repeats that are averaged."""

BLOCK = 2048
"""Targets bootstrapped at once."""


def repeat_ceiling(
    data: xr.Dataset, events: pd.DataFrame, settings: Ceiling, averaged: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """Ceiling and reliability of every target, with bootstrap replicates of both.

    Parameters
    ----------
    data : Dataset
        Responses to trials, of one subject.
    events : DataFrame
        Of this subject.
    settings : Ceiling
    averaged : bool
        Whether what is predicted are means over the trials of a stimulus, not single trials.
    rng : Generator

    Returns
    -------
    ceiling, reliability : arrays (1 + n_bootstraps, n_targets)
        The estimate first. Reliability is the expected correlation of two trials of one stimulus. The
        ceiling is NaN where the signal's variance is not above zero. None where no stimulus was repeated.
    """
    _, of, count = np.unique(trial_events(data, events)["content"], return_inverse=True, return_counts=True)
    if not (count > 1).any():
        return None
    draws = rng.multinomial(len(count), np.full(len(count), 1 / len(count)), settings.bootstraps)
    weights = np.concatenate([np.ones((1, len(count))), draws])
    shrink = (weights @ (1 / count)) / weights.sum(axis=1) if averaged else np.ones(len(weights))
    values = data["response"].values
    ceiling, reliability = (np.full((len(weights), values.shape[1]), np.nan, np.float32) for _ in range(2))
    halves = Halves.draw(of, count, rng) if settings.repeats == "split_half" else None
    by_item = np.argsort(of, kind="stable")
    starts = np.cumsum(count) - count
    for start in range(0, values.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        block = values[:, part].astype(np.float64)
        block -= block.mean(axis=0)
        sums = np.add.reduceat(block[by_item], starts, axis=0)
        squares = np.add.reduceat(block[by_item] ** 2, starts, axis=0)
        if halves is not None:
            signal = halves.reliability(weights, block)
            noise = 1 - signal
        else:
            signal, noise = variances(weights, count, sums, squares, settings.repeats)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.sqrt(np.where(signal > 0, signal, np.nan) / (signal + noise * shrink[:, None]))
            ceiling[:, part], reliability[:, part] = found, signal / (signal + noise)
    return ceiling, reliability


@dataclass(frozen=True)
class Halves:
    """Random halves of the repeats of every stimulus; of an odd number, one trial is left out.

    Attributes
    ----------
    pairs : list of two sparse arrays (n_stimuli, n_trials)
        Each takes the means over one half; rows of stimuli without repeats are empty.
    trials : array (n_stimuli,)
        In one half; 0 without repeats.
    """

    pairs: list[tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]]
    trials: np.ndarray

    @classmethod
    def draw(cls, of: np.ndarray, count: np.ndarray, rng: np.random.Generator) -> Halves:
        """Halve `SPLITS` times the trials of stimuli, `of` (n_trials,) with so many each, `count`."""
        trials = count // 2
        rank = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
        pairs = []
        for _ in range(SPLITS):
            order = np.lexsort((rng.random(len(of)), of))
            item = of[order]
            sides = (rank < trials[item], (rank >= trials[item]) & (rank < 2 * trials[item]))
            one, other = (
                scipy.sparse.csr_array(
                    (1 / trials[item[side]], (item[side], order[side])), shape=(len(count), len(of))
                )
                for side in sides
            )
            pairs.append((one, other))
        return cls(pairs, trials)

    def reliability(self, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Expected correlation (n_replicates, n_targets) of two single trials of one stimulus.

        Parameters
        ----------
        weights : array (n_replicates, n_stimuli)
        values : array (n_trials, n_targets)
        """
        product, square, mean = (np.zeros((len(self.trials), values.shape[1])) for _ in range(3))
        for one, other in self.pairs:
            a, b = one @ values, other @ values
            product += a * b / SPLITS
            square += (a**2 + b**2) / (2 * SPLITS)
            mean += (a + b) / (2 * SPLITS)
        used = weights * (self.trials > 0)
        total = used.sum(axis=1, keepdims=True)
        # Noise in means over unequal halves averages as 1 / k does.
        inverse = np.divide(1.0, self.trials, out=np.zeros(len(self.trials)), where=self.trials > 0)
        k = total / (used @ inverse)[:, None]
        offset = (used @ mean / total) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (used @ product / total - offset) / (used @ square / total - offset)
            return r / (k - (k - 1) * r)


def variances(
    weights: np.ndarray, count: np.ndarray, sums: np.ndarray, squares: np.ndarray, formula: str
) -> tuple[np.ndarray, np.ndarray]:
    """Variance of the signal and of the noise (n_replicates, n_targets).

    Parameters
    ----------
    weights : array (n_replicates, n_stimuli)
        How often each replicate has a stimulus.
    count : array (n_stimuli,)
        Trials of each.
    sums, squares : arrays (n_stimuli, n_targets)
        Of responses and of their squares, over the trials of a stimulus.
    formula : {"signal_power", "nsd"}
    """
    within = weights @ (squares - sums**2 / count[:, None])
    noise = within / (weights @ (count - 1.0))[:, None]
    if formula == "nsd":
        n = (weights @ count)[:, None]
        total = (weights @ squares - (weights @ sums) ** 2 / n) / (n - 1)
        return total - noise, noise
    # Only stimuli with repeats: their means know how much noise is left in them.
    repeated = weights * (count > 1)
    stimuli = repeated.sum(axis=1)[:, None]
    trials = (repeated @ count)[:, None]
    between = repeated @ (sums**2 / count[:, None]) - (repeated @ sums) ** 2 / trials
    per_stimulus = (trials - (repeated @ count**2)[:, None] / trials) / (stimuli - 1)
    return (between / (stimuli - 1) - noise) / per_stimulus, noise
