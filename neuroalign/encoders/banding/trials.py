"""Candidates for the weights of bands, scored for all targets from statistics taken once.

A candidate only scales the blocks of the same Gram matrices (or the kernels that are added up), so that each
costs an eigendecomposition per fold and the scores of all penalties; features and responses are not touched
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from neuroalign.encoders.banding.pooling import Scores
from neuroalign.encoders.solvers.arguments import Metric
from neuroalign.encoders.solvers.compute import host
from neuroalign.encoders.solvers.fitting import best_of
from neuroalign.encoders.solvers.problems import Problem
from neuroalign.encoders.solvers.targets import Centred, Targets

ROUND = 4
"""Candidates whose scores are in memory at once, before the best penalty is known."""

HELD_BYTES = 2**30
"""Statistics of targets are kept up to about this size."""


@dataclass(frozen=True)
class Trials:
    """Candidates and how well every target did with each; the first `len(weights)` rows are filled.

    Attributes
    ----------
    weights : array (n_tried, n_bands)
    scores : Scores
    best, r : arrays (n_candidates, n_targets)
        Index of the penalty, and the mean r with it.
    """

    weights: np.ndarray
    scores: Scores
    best: np.ndarray
    r: np.ndarray


@dataclass
class Contest:
    """Where candidates are scored.

    Parameters
    ----------
    problem : Problem
        Of features in bands.
    targets : Targets
    alphas : array (n_alphas,)
        Ascending.
    metric : {"r2", "r"}
    width : int
        Targets computed at once.
    """

    problem: Problem
    targets: Targets
    alphas: np.ndarray
    metric: Metric
    width: int
    _kept: list[tuple[slice, Any]] | None = field(default=None, init=False)

    def empty(self, n_bands: int, number: int) -> Trials:
        """Room for this many candidates."""
        count = self.targets.count
        return Trials(
            np.empty((0, n_bands)),
            Scores(np.empty((number, count)), np.empty((number, self.problem.n_folds, count), np.float32)),
            np.empty((number, count), np.int32),
            np.empty((number, count)),
        )

    def extend(self, trials: Trials, weights: np.ndarray) -> Trials:
        """Score further candidates (n_candidates, n_bands), for which there is room."""
        start = len(trials.weights)
        for first in range(0, len(weights), ROUND):
            self._score(trials, start + first, weights[first : first + ROUND])
        tried = np.concatenate([trials.weights, weights])
        return Trials(tried, trials.scores, trials.best, trials.r)

    def _score(self, trials: Trials, first: int, weights: np.ndarray) -> None:
        problem, by_r = self.problem, self.metric == "r"
        grid = problem.compute.put(self.alphas, "float64")
        folds = range(problem.n_folds)
        for blocks in self._groups():
            start, stop = blocks[0][0].start, blocks[-1][0].stop
            shape = (len(weights), len(folds), len(self.alphas), stop - start)
            score, r = np.empty((2, *shape))

            def one(
                task: tuple[int, int],
                blocks: list[tuple[slice, Any]] = blocks,
                found: tuple[int, np.ndarray, np.ndarray] = (start, score, r),
            ) -> None:
                start, score, r = found
                scorer = problem.scorer(task[1], grid, weights[task[0]])
                for at, block in blocks:
                    inside = slice(at.start - start, at.stop - start)
                    by_fold_r, by_fold_r2 = scorer.scores(block)
                    r[task][:, inside] = host(by_fold_r)
                    score[task][:, inside] = r[task][:, inside] if by_r else host(by_fold_r2)

            problem.compute.map(one, [(number, fold) for number in range(len(weights)) for fold in folds])
            for number in range(len(weights)):
                _enter(trials, first + number, slice(start, stop), score[number], r[number])

    def _groups(self) -> Iterator[list[tuple[slice, Any]]]:
        """Targets with their statistics, as many at once as are kept; formed anew if not all can be."""
        if self._kept is not None:
            yield self._kept
            return
        group: list[tuple[slice, Any]] = []
        held = 0
        for columns, responses, parts in self.targets.read(self.width):
            for inside in parts:
                centred = Centred.of(responses[:, inside], self.problem.compute, self.problem.dtype)
                block = self.problem.block(centred.responses)
                at = slice(columns.start + inside.start, columns.start + inside.stop)
                group.append((at, block))
                held += _size(block)
                if held >= HELD_BYTES and at.stop < self.targets.count:
                    yield group
                    group, held = [], 0
        if group[0][0].start == 0:
            self._kept = group
        yield group


def _enter(trials: Trials, number: int, at: slice, score: np.ndarray, r: np.ndarray) -> None:
    """Reduce scores (n_folds, n_alphas, n_targets) of a candidate to the penalties that are best."""
    targets = np.arange(score.shape[2])
    mean = score.mean(axis=0)
    best = best_of(mean)
    trials.best[number, at], trials.scores.mean[number, at] = best, mean[best, targets]
    trials.scores.folds[number, :, at] = score[:, best, targets]
    trials.r[number, at] = r[:, best, targets].mean(axis=0)


def _size(value: Any) -> int:
    """Bytes of all arrays in statistics of targets."""
    if is_dataclass(value):
        return sum(_size(getattr(value, each.name)) for each in fields(value))
    if isinstance(value, list):
        return sum(map(_size, value))
    return int(getattr(value, "nbytes", 0))
