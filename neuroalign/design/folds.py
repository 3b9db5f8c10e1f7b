"""What is held out: whole runs, contiguous blocks with a gap, or whole items; never scattered samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neuroalign.errors import DataError
from neuroalign.settings.design import Folds


@dataclass(frozen=True)
class Fold:
    """One held-out part of the data.

    Attributes
    ----------
    label : str
        What is held out, for tables.
    train, test : int arrays
        Sample indices; samples within the gap are in neither.
    inner : tuple of (train, test) int arrays
        The folds inside `train` that choose regularisation and layers, as positions within `train`.
    """

    label: str
    train: np.ndarray
    test: np.ndarray
    inner: tuple[tuple[np.ndarray, np.ndarray], ...]


ITEM_FOLDS = 5
"""Folds by item where their number is left out."""

INNER_BLOCKS = 3
"""Inner folds where only one group of runs is left for training."""


def make_folds(
    runs: np.ndarray,
    times: np.ndarray,
    settings: Folds,
    lag: float,
    linked: Iterable[tuple[str, str]] = (),
    contents: np.ndarray | None = None,
) -> list[Fold]:
    """Outer folds and, inside the training samples of each, inner folds of the same kind.

    Parameters
    ----------
    runs : array (n_samples,) of str
    times : array (n_samples,)
        Seconds within the run.
    settings : Folds
    lag : float
        Longest delay of the response in seconds: the gap wherever a run is cut.
    linked : pairs of run labels
        Runs that share stimuli; they are held out together.
    contents : int array (n_samples,), optional
        What was shown in every trial, for folds by item; equal in all subjects of a study.

    Raises
    ------
    DataError
        There are fewer than two groups of runs to hold out, or blocks are shorter than the gap.
    """
    if settings.by == "run":
        groups, labels = _group_runs(runs, settings.n, linked)
        gap = lag
    elif contents is not None:
        groups, labels = _group_items(contents, settings.n or ITEM_FOLDS)
        gap = 0.0
    else:
        groups, labels = _cut_blocks(runs, settings.n or 5), None
        gap = settings.gap_s
    names = labels or [f"block-{number + 1}" for number in range(int(groups.max()) + 1)]
    folds = []
    for number, label in enumerate(names):
        test = np.flatnonzero(groups == number)
        train = _away_from(test, np.flatnonzero(groups != number), runs, times, gap)
        inner_groups = groups[train]
        if len(np.unique(inner_groups)) < 2:
            inner_groups = _cut_blocks(runs[train], INNER_BLOCKS)
        inner = []
        for group in np.unique(inner_groups):
            inside = train[inner_groups == group]
            rest = _away_from(inside, train[inner_groups != group], runs, times, gap)
            inner.append((np.searchsorted(train, rest), np.searchsorted(train, inside)))
        if any(len(rest) < 2 for rest, _ in inner) or len(test) < 3:
            raise DataError(
                f"design.folds: {len(names)} folds of {len(runs)} samples with a gap of {gap:g} s leave too "
                "little to train on; use fewer folds or a shorter gap"
            )
        folds.append(Fold(label, train, test, tuple(inner)))
    return folds


def _group_runs(
    runs: np.ndarray, n: int | None, linked: Iterable[tuple[str, str]]
) -> tuple[np.ndarray, list[str]]:
    """Number the runs so that linked ones share a number and at most `n` numbers are used."""
    order = list(dict.fromkeys(runs.tolist()))
    leader = {run: run for run in order}

    def find(run: str) -> str:
        while leader[run] != run:
            run = leader[run]
        return run

    linked = list(linked)
    for one, other in linked:
        leader[find(other)] = find(one)
    roots = list(dict.fromkeys(find(run) for run in order))
    if len(roots) < 2:
        if linked:
            raise DataError(
                f"all {len(order)} runs share stimuli ({linked[0][0]} and {linked[0][1]}, for one), "
                "so whatever is held out was also trained on; set design.folds.shared_items: allow "
                "to test generalisation over time only"
            )
        raise DataError(
            f"folds by run need at least two runs, but there is only '{order[0]}'; "
            "set design.folds: {by: block, n: 5, gap_s: 10}"
        )
    n = min(n or len(roots), len(roots))
    number = {root: place * n // len(roots) for place, root in enumerate(roots)}
    groups = np.array([number[find(run)] for run in runs])
    labels = ["+".join(run for run in order if number[find(run)] == group) for group in range(n)]
    return groups, labels


def _group_items(contents: np.ndarray, n: int) -> tuple[np.ndarray, list[str]]:
    """Deal contents to `n` groups by their number, so that subjects agree about what they share."""
    found, groups = np.unique(contents % n, return_inverse=True)
    if len(found) < 2:
        raise DataError(
            f"design.folds: {len(np.unique(contents))} distinct stimuli cannot be dealt to {n} folds; "
            "hold out runs (by: run), or give other stimuli"
        )
    return groups, [f"items-{number + 1}" for number in found]


def _cut_blocks(runs: np.ndarray, n: int) -> np.ndarray:
    """Cut every run into `n` contiguous blocks and number them 0 … n − 1."""
    groups = np.empty(len(runs), int)
    for run in np.unique(runs):
        samples = np.flatnonzero(runs == run)
        groups[samples] = np.arange(len(samples)) * n // len(samples)
    return groups


def _away_from(
    test: np.ndarray, candidates: np.ndarray, runs: np.ndarray, times: np.ndarray, gap: float
) -> np.ndarray:
    """Those of the candidate samples that are further than `gap` seconds from every test sample."""
    keep = np.ones(len(candidates), bool)
    for run in np.unique(runs[test]):
        held = np.sort(times[test][runs[test] == run])
        same = runs[candidates] == run
        at = times[candidates][same]
        after = np.searchsorted(held, at)
        before = np.where(after > 0, at - held[np.maximum(after - 1, 0)], np.inf)
        until = np.where(after < len(held), held[np.minimum(after, len(held) - 1)] - at, np.inf)
        keep[same] = np.minimum(before, until) > gap - 1e-6
    return candidates[keep]
