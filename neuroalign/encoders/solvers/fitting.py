"""The penalty of every target chosen, then its weights found, block by block of targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from neuroalign.encoders.solvers import freed
from neuroalign.encoders.solvers.compute import Array, host
from neuroalign.encoders.solvers.problems import Problem, Scorer, Solver
from neuroalign.encoders.solvers.rows import Pairs, check_folds
from neuroalign.encoders.solvers.targets import Centred, Targets
from neuroalign.errors import DataError

Metric = Literal["r2", "r"]

WORK_BYTES, WORK_MATRICES = 2**29, 6
"""What decompositions side by side may take, and how many matrices of its size each takes."""


@dataclass(frozen=True)
class Fitted:
    """What is found for every target; arrays may be mapped to a file.

    Attributes
    ----------
    weights : array (n_targets, rank)
        In the basis of the problem's solver.
    best_alphas, cv_scores, cv_r, y_mean : arrays (n_targets,), float64
    """

    weights: np.ndarray
    best_alphas: np.ndarray
    cv_scores: np.ndarray
    cv_r: np.ndarray
    y_mean: np.ndarray


@dataclass(frozen=True)
class Decomposed:
    """One problem with all its eigendecompositions, and where its results go."""

    problem: Problem
    scorers: list[Scorer]
    solver: Solver
    fitted: Fitted


def decompose_all(problem: Problem, alphas: np.ndarray) -> tuple[list[Scorer], Solver]:
    """Every fold and the whole decomposed, side by side."""
    grid = problem.compute.put(alphas, "float64")
    tasks: list[Callable[[], Any]] = [partial(problem.scorer, fold, grid) for fold in range(problem.n_folds)]
    at_once = max(1, WORK_BYTES // (8 * WORK_MATRICES * problem.order**2))
    only = float(alphas[0]) if len(alphas) == 1 else None
    tasks.append(partial(problem.solver, only=only))
    *scorers, solver = problem.compute.map(lambda task: task(), tasks, at_once)
    freed.hand_back()
    return scorers, solver


def fit_targets(
    parts: Sequence[Decomposed],
    targets: Targets,
    alphas: np.ndarray,
    metric: Metric,
    groups: np.ndarray | None,
    width: int,
) -> None:
    """Fit all targets to each of several problems, reading every target once for all of them.

    Parameters
    ----------
    parts : sequence of Decomposed
        Sharing compute and dtype; `fitted` is written.
    targets : Targets
    alphas : array (n_alphas,)
        Ascending.
    metric : {"r2", "r"}
        What is maximised; ties go to the larger penalty.
    groups : array (n_targets,) or None
        Targets of equal number share a penalty; None gives each its own.
    width : int
        Targets computed at once.
    """
    if groups is None or not parts[0].scorers:
        _each_block(
            parts, targets, width, lambda part, block, at, y: _fit_own(part, block, at, y, alphas, metric)
        )
        return
    grids = [_Grid(alphas, metric, targets.count) for _ in parts]
    of_part = {id(part): grid for part, grid in zip(parts, grids, strict=True)}
    _each_block(parts, targets, width, lambda part, block, at, y: of_part[id(part)].score(part, block, at, y))
    for part, grid in zip(parts, grids, strict=True):
        grid.choose(groups, part.fitted)
    _each_block(parts, targets, width, lambda part, block, at, y: _solve(part, block, at, y))


def _each_block(
    parts: Sequence[Decomposed],
    targets: Targets,
    width: int,
    work: Callable[[Decomposed, Any, slice, Centred], None],
) -> None:
    """Do the work for every part and block of targets, blocks side by side."""
    compute, dtype = parts[0].problem.compute, parts[0].problem.dtype
    for columns, responses, blocks in targets.read(width):

        def one(inside: slice, responses: Array = responses, start: int = columns.start) -> None:
            centred = Centred.of(responses[:, inside], compute, dtype)
            for part in parts:
                at = slice(start + inside.start, start + inside.stop)
                work(part, part.problem.block(centred.responses), at, centred)

        compute.map(one, blocks)


def mean_scores(scorers: Sequence[Scorer], block: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean r and R² over the folds, of which there are some, each (n_alphas, n_targets)."""
    r, r2 = scorers[0].scores(block)
    for scorer in scorers[1:]:
        more = scorer.scores(block)
        r, r2 = r + more[0], r2 + more[1]
    return host(r) / len(scorers), host(r2) / len(scorers)


def best_of(score: np.ndarray) -> np.ndarray:
    """Index of the best penalty (n_targets,) of scores (n_alphas, n_targets); the last where they tie."""
    return len(score) - 1 - score[::-1].argmax(axis=0)


def _fit_own(
    part: Decomposed, block: Any, at: slice, centred: Centred, alphas: np.ndarray, metric: Metric
) -> None:
    """Every target with the penalty that is best for it."""
    if not part.scorers:
        _give_only(alphas, part.fitted, at)
        _solve(part, block, at, centred)
        return
    r, r2 = mean_scores(part.scorers, block)
    score = r if metric == "r" else r2
    best = best_of(score)
    chosen = best, np.arange(len(best))
    fitted = part.fitted
    fitted.best_alphas[at], fitted.cv_scores[at], fitted.cv_r[at] = alphas[best], score[chosen], r[chosen]
    _solve(part, block, at, centred)


def _give_only(alphas: np.ndarray, fitted: Fitted, at: slice) -> None:
    """The one penalty there is, without scores."""
    fitted.best_alphas[at], fitted.cv_scores[at], fitted.cv_r[at] = alphas[0], np.nan, np.nan


def _solve(part: Decomposed, block: Any, at: slice, centred: Centred) -> None:
    """Weights with the penalties that were chosen."""
    problem, fitted = part.problem, part.fitted
    solved = part.solver.solve(block, problem.compute.put(fitted.best_alphas[at], "float64"))
    fitted.weights[at] = host(solved).T
    fitted.y_mean[at] = centred.mean
    if centred.bad.any():
        bad = at.start + np.flatnonzero(centred.bad)
        for found in (fitted.weights, fitted.best_alphas, fitted.cv_scores, fitted.cv_r):
            found[bad] = np.nan


class _Grid:
    """Scores of every penalty, kept until targets that share one can be averaged."""

    def __init__(self, alphas: np.ndarray, metric: Metric, count: int) -> None:
        self._alphas, self._metric = alphas, metric
        self._r, self._score = np.empty((2, len(alphas), count))

    def score(self, part: Decomposed, block: Any, at: slice, centred: Centred) -> None:
        r, r2 = mean_scores(part.scorers, block)
        self._r[:, at] = np.where(centred.bad, np.nan, r)
        self._score[:, at] = np.where(centred.bad, np.nan, r if self._metric == "r" else r2)

    def choose(self, groups: np.ndarray, fitted: Fitted) -> None:
        finite = np.isfinite(self._score[0])
        counts = np.bincount(groups, finite)
        means = np.array([np.bincount(groups, np.where(finite, row, 0.0)) for row in self._score])
        best = best_of(means / np.maximum(counts, 1))[groups]
        chosen = best, np.arange(len(groups))
        fitted.best_alphas[:] = self._alphas[best]
        fitted.cv_scores[:], fitted.cv_r[:] = self._score[chosen], self._r[chosen]


def check_grid(alphas: Any) -> np.ndarray:
    """The penalties ascending, each once.

    Raises
    ------
    DataError
        None, or one that is not a positive finite number.
    """
    try:
        grid = np.unique(np.asarray(alphas, float))
    except (TypeError, ValueError):
        grid = np.empty(0)
    if not len(grid) or not np.isfinite(grid).all() or grid[0] <= 0:
        found = " ".join(str(alphas).split())
        raise DataError(f"alphas are {found}; expected positive finite numbers")
    return grid


def check_choice(alphas: Any, folds: Any, n_samples: int) -> tuple[np.ndarray, Pairs]:
    """The penalties, and pairs of (train, test) indices to choose among them by: none if `folds` is None.

    Raises
    ------
    DataError
        See `check_grid` and `check_folds`; or there are several penalties, and no folds.
    """
    grid = check_grid(alphas)
    if folds is not None:
        return grid, check_folds(folds, n_samples)
    if len(grid) > 1:
        raise DataError(f"folds is None with {len(grid)} alphas; give one alpha, or folds to choose it by")
    return grid, []


def check_block(block: Any) -> int:
    """The number of targets to compute at once.

    Raises
    ------
    DataError
        No positive whole number.
    """
    if not isinstance(block, int | np.integer) or block < 1:
        raise DataError(f"block is {block}; expected a positive whole number of targets")
    return int(block)


def check_groups(alpha_per: Any, n_targets: int) -> np.ndarray | None:
    """Which targets share a penalty, numbered; None if none do.

    Raises
    ------
    DataError
        Another word than "target" and "all", or not one label per target.
    """
    if isinstance(alpha_per, str):
        if alpha_per not in ("target", "all"):
            raise DataError(f"alpha_per is '{alpha_per}'; expected 'target', 'all' or one label per target")
        return None if alpha_per == "target" else np.zeros(n_targets, int)
    labels = np.asarray(alpha_per)
    if labels.shape != (n_targets,):
        raise DataError(f"alpha_per has shape {labels.shape}; expected one label per target ({n_targets},)")
    return np.unique(labels, return_inverse=True)[1]


def check_metric(metric: str) -> Metric:
    """The metric, if it is one.

    Raises
    ------
    DataError
        Neither "r" nor "r2".
    """
    if metric not in ("r", "r2"):
        raise DataError(f"metric is '{metric}'; expected 'r2' or 'r'")
    return metric  # type: ignore[return-value]
