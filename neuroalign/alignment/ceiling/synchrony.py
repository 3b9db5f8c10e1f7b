"""Whether time series of one stimulus share anything: their products, against those of shifted series.

Two series that are slow agree by chance for longer than any block that a bootstrap could draw, so that
its interval lies above zero too often: of 1/f noise and blocks of 30 s in 4 % of cases instead of 2.5. Here
every series is shifted in a circle within its runs instead, each by another amount, which leaves what it
is and breaks what it shares (Lancaster et al. 2018, Physics Reports 748:1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.fft

AT_ONCE = 500
"""Shifts looked at together; bounds the memory."""

ENOUGH = 10
"""So many shifts at least are to be expected beyond the level."""


@dataclass(frozen=True)
class Shifts:
    """By how much every series is shifted in every run.

    Attributes
    ----------
    lengths : tuple of int
        Samples of every run.
    amounts : int array (n_series, n_runs, n_shifts)
    tail : float
        One-sided level of the test.
    """

    lengths: tuple[int, ...]
    amounts: np.ndarray
    tail: float

    @classmethod
    def draw(
        cls, lengths: Sequence[int], n_series: int, tail: float, least: int, rng: np.random.Generator
    ) -> Shifts:
        """Draw at least so many shifts, and as many as the level needs.

        The first series stays. Of every run, shifts come up equally often: of a single short run few are
        different, and which of them a plain draw prefers would decide how often noise passes.
        """
        longest = max(lengths)
        n = -(-max(least, int(np.ceil(ENOUGH / tail))) // longest) * longest
        amounts = np.zeros((n_series, len(lengths), n), int)
        for run, length in enumerate(lengths):
            for one in amounts[1:, run]:
                one[:] = rng.permutation(np.arange(n) % length)
        return cls(tuple(lengths), amounts, tail)

    def above_chance(self, series: Sequence[np.ndarray]) -> np.ndarray:
        """Which targets (n_targets,) have more in common than shifted series do.

        Parameters
        ----------
        series : sequence of arrays (n_samples, n_targets)
            Centred within runs; every two of them are multiplied. NaN counts as 0.
        """
        runs = self._spectra([np.nan_to_num(one) for one in series])
        n_shifts = self.amounts.shape[2]
        pairs = list(combinations(range(len(series)), 2))
        observed = sum(np.einsum("nt,nt->t", *map(np.nan_to_num, (series[a], series[b]))) for a, b in pairs)
        reached = np.zeros(series[0].shape[1], int)
        for start in range(0, n_shifts, AT_ONCE):
            drawn = slice(start, start + AT_ONCE)
            null = np.zeros((min(AT_ONCE, n_shifts - start), len(reached)))
            for run, (length, spectra) in enumerate(zip(self.lengths, runs, strict=True)):
                for a, b in pairs:
                    products = scipy.fft.irfft(spectra[a] * spectra[b].conj(), n=length, axis=0)
                    null += products[(self.amounts[b, run, drawn] - self.amounts[a, run, drawn]) % length]
            reached += (null >= observed - 1e-9 * np.abs(observed)).sum(axis=0)
        there = np.logical_and.reduce([np.isfinite(one).any(axis=0) for one in series])
        return there & ((1 + reached) / (1 + n_shifts) <= self.tail)

    def _spectra(self, series: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """Of every run, the spectra of all series."""
        ends = np.cumsum(self.lengths)[:-1]
        parts = [np.split(one, ends) for one in series]
        return [[scipy.fft.rfft(part[run], axis=0) for part in parts] for run in range(len(self.lengths))]
