"""Targets in which nothing is left to find: fitted beside the others, they tell how wide scores spread.

Shifting what a fold holds out tells how a target's score would spread if folds were independent. They are
not: they share pairs of held-out parts, and choose layers by data that others of them are scored with (see
`inference`). By how much that widens their mean depends on the number of folds, on how alike layers are, on
how many directions their features have and on the penalties chosen. No formula has all of this; so some
targets, drawn at random, are moved first, every run of each by an amount of its own (of trials, the items of
every fold), and then go the same way: fitted, their penalties and layers chosen, scored. That is a
permutation test in which everything is fitted anew; too few draws of it for a target's own p, enough for one
number, the width, that all targets share: with it no more blanks pass at two levels than should, read one
standard error further out. It is never less than √2, what pairs alone can make of it: short runs lose their
trends when they are moved in a circle, and blanks then spread less than noise does (1.3 instead of 1.4, of
runs of 30 samples).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroalign.alignment.inference.moves import Segment
from neuroalign.alignment.inference.null import Sides, null_scores

MOST, FEWEST = 1000, 200
"""Blanks of a study, and of one that is so long that `NUMBERS` would not allow more."""

NUMBERS = 20_000_000
"""So many samples of blanks are held at most."""

SHIFTS = 199
"""Moves from which a blank's own spread is learned."""

QUANTILES = (0.95, 0.99)
"""Where scores of blanks are compared with their own nulls."""


def blanks_of(n_samples: int) -> int:
    """How many blanks are fitted."""
    return int(np.clip(NUMBERS // max(n_samples, 1), FEWEST, MOST))


def draw_blanks(observed: np.ndarray, segments: Sequence[Sequence[Segment]], seed: int = 0) -> np.ndarray:
    """Targets (n_samples, n_blanks) drawn from those there are and moved.

    Parameters
    ----------
    observed : array (n_samples, n_targets)
    segments : lists of what is moved as one
        Whole runs, even where folds are parts of them: what neighbouring folds share must stay. A tenth
        of the length is the least that a segment is moved, or else slow signals would be left where they are.
    seed : int
    """
    rng = np.random.default_rng(seed)
    n = blanks_of(len(observed)) if observed.shape[1] else 0
    drawn = rng.integers(0, max(observed.shape[1], 1), n)
    blanks = np.zeros((len(observed), n), observed.dtype)
    for segment in (part for fold in segments for part in fold):
        own, least = observed[segment.samples], max(1, len(segment) // 10)
        orders = rng.integers(least, max(len(segment) - least, least) + 1, n)
        rows = (np.arange(len(own))[:, None] - segment.repeats * orders) % len(own)
        blanks[segment.samples] = own[rows, drawn]
    return blanks


def width_of_blanks(
    sides: Sides, nuisance: np.ndarray, segments: Sequence[Sequence[Segment]], seed: int = 0
) -> float:
    """How much wider the upper tail of the mean over folds is than that of independent folds.

    Parameters
    ----------
    sides : Sides
        Held-out predictions of blanks, with the layers chosen, and the blanks.
    nuisance : array (n_samples, n_nuisance)
    segments : for every fold, what changes places in the null
    seed : int

    Returns
    -------
    float
        At least √2.
    """
    rng = np.random.default_rng(seed)
    moves = [[rng.integers(0, len(part), SHIFTS) for part in fold] for fold in segments]
    statistic, null = null_scores(sides, nuisance, segments, moves, 1.0)
    found = [np.sqrt(2)]
    for level in QUANTILES:
        own = np.quantile(null, level, axis=0, method="weibull")
        told = own > 1e-9
        if told.any():
            further = level + np.sqrt(level * (1 - level) / told.sum())
            found.append(np.quantile(statistic[told] / own[told], min(further, 1.0)))
    return float(max(found))
