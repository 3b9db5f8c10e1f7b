"""The penalty of every target chosen, then its weights found, block by block of targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from neuroalign.encoders.solvers import freed
from neuroalign.encoders.solvers.arguments import Metric
from neuroalign.encoders.solvers.compute import LARGE, Array, host
from neuroalign.encoders.solvers.problems import Problem, Scorer, Solver
from neuroalign.encoders.solvers.targets import Centred, Targets

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


Room = Callable[[int, Solver], Fitted]
"""Where the results of a problem go, known by its number, once its weights' basis is found."""


@dataclass(frozen=True)
class Choice:
    """Among which penalties targets choose, and how.

    Attributes
    ----------
    alphas : array (n_alphas,)
        Ascending.
    metric : {"r2", "r"}
        What is maximised; ties go to the larger penalty.
    groups : array (n_targets,) or None
        Targets of equal number share a penalty; None gives each its own.
    """

    alphas: np.ndarray
    metric: Metric
    groups: np.ndarray | None

    def of(self, r: np.ndarray, r2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best penalty of every target or group with its score and r, from all (n_alphas, n_targets)."""
        score = r if self.metric == "r" else r2
        compared = score
        if self.groups is not None:
            finite = np.isfinite(score[0])
            counts = np.bincount(self.groups, finite)
            means = np.array([np.bincount(self.groups, np.where(finite, row, 0.0)) for row in score])
            compared = (means / np.maximum(counts, 1))[:, self.groups]
        best = best_of(compared)
        chosen = best, np.arange(len(best))
        return self.alphas[best], score[chosen], r[chosen]

    def least(self, chosen: np.ndarray) -> float:
        """The smallest penalty that was chosen; the largest there is if none was."""
        return float(np.min(chosen[np.isfinite(chosen)], initial=self.alphas[-1]))


def fit_targets(
    problems: Sequence[Problem], targets: Targets, choice: Choice, width: int, room: Room
) -> list[tuple[Fitted, Solver]]:
    """Fit all targets to each of several problems.

    Every target is read once for all problems. Where targets share a penalty they are read twice; and where
    they are in memory, and the decompositions of all folds side by side would take much more of it, once for
    a few folds at a time.

    Parameters
    ----------
    problems : sequence of Problem
        Sharing compute, dtype and folds.
    targets : Targets
    choice : Choice
    width : int
        Targets computed at once.
    room : callable

    Returns
    -------
    list of (Fitted, Solver)
        Of every problem.
    """
    n_folds = problems[0].n_folds
    at_once = max(1, min(WORK_BYTES // (8 * WORK_MATRICES * each.order**2) for each in problems))
    batches = -(-n_folds // at_once) if targets.resident else 1
    job = _Job(problems, targets, choice, width, at_once)
    if not n_folds or (choice.groups is None and batches == 1):
        return job.fit(room)
    return job.solve(job.choose(np.array_split(np.arange(n_folds), batches)), room)


Chosen = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Penalty, score and r, each (n_targets,)."""


@dataclass(frozen=True)
class _Job:
    """What is fitted; so many decompositions are made at once."""

    problems: Sequence[Problem]
    targets: Targets
    choice: Choice
    width: int
    at_once: int
    known: dict[tuple[int, int], Any] = field(default_factory=dict)
    """What is known of a problem's block of targets, by the number of the one and the start of the other."""

    def fit(self, room: Room) -> list[tuple[Fitted, Solver]]:
        """All folds and the whole decomposed, then every block of targets scored and solved."""
        folds = np.arange(self.problems[0].n_folds)
        scorers, solvers = self._decomposed(folds)
        fitted = [room(number, solver) for number, solver in enumerate(solvers)]

        def one(number: int, block: Any, at: slice, centred: Centred) -> None:
            into = fitted[number]
            into.best_alphas[at], into.cv_scores[at], into.cv_r[at] = self.choice.alphas[0], np.nan, np.nan
            if len(folds):
                r, r2 = (total / len(folds) for total in summed_scores(scorers[number], block))
                into.best_alphas[at], into.cv_scores[at], into.cv_r[at] = self.choice.of(r, r2)
            self._solve(number, solvers[number], into, block, at, centred)

        self._each_block(one)
        return list(zip(fitted, solvers, strict=True))

    def choose(self, batches: Sequence[np.ndarray]) -> list[Chosen]:
        """The penalties for every problem, some folds at a time."""
        shape = (2, len(self.choice.alphas), self.targets.count)
        totals = [np.zeros(shape) for _ in self.problems]
        for folds in batches:
            scorers, _ = self._decomposed(folds, whole=False)

            def one(number: int, block: Any, at: slice, centred: Centred, scorers: Any = scorers) -> None:
                if len(batches) > 1:
                    self.known[number, at.start] = block.known
                total = totals[number][:, :, at]
                total += summed_scores(scorers[number], block)
                total[:, :, centred.bad] = np.nan

            self._each_block(one)
            del scorers, one
            freed.hand_back(self.problems[0].order)
        return [self.choice.of(*total / self.problems[0].n_folds) for total in totals]

    def solve(self, chosen: Sequence[Chosen], room: Room) -> list[tuple[Fitted, Solver]]:
        """All samples decomposed, and weights with the penalties that were chosen."""
        _, solvers = self._decomposed(np.arange(0))
        fitted = [room(number, solver) for number, solver in enumerate(solvers)]
        for into, (best_alphas, score, r) in zip(fitted, chosen, strict=True):
            into.best_alphas[:], into.cv_scores[:], into.cv_r[:] = best_alphas, score, r

        def one(number: int, block: Any, at: slice, centred: Centred) -> None:
            self._solve(number, solvers[number], fitted[number], block, at, centred)
            self.known.pop((number, at.start), None)

        self._each_block(one)
        return list(zip(fitted, solvers, strict=True))

    def _decomposed(self, folds: np.ndarray, whole: bool = True) -> tuple[list[list[Scorer]], list[Solver]]:
        """Some folds of every problem, and all samples where `whole`, decomposed side by side."""
        compute = self.problems[0].compute
        grid = compute.put(self.choice.alphas, "float64")
        only = float(self.choice.alphas[0]) if len(self.choice.alphas) == 1 else None
        tasks: list[Callable[[], Any]] = []
        for problem in self.problems:
            tasks += [partial(problem.scorer, int(fold), grid) for fold in folds]
            tasks += [partial(problem.solver, only=only)] * whole
        large = self.problems[0].order >= LARGE
        found = compute.map(lambda task: task(), tasks, self.at_once, spare=large)
        freed.hand_back(self.problems[0].order)
        step = len(folds) + whole
        scorers = [found[start : start + len(folds)] for start in range(0, len(found), step)]
        return scorers, found[len(folds) :: step] if whole else []

    def _each_block(self, work: Callable[[int, Any, slice, Centred], None]) -> None:
        """Do the work for every problem and block of targets, blocks side by side."""
        compute, dtype = self.problems[0].compute, self.problems[0].dtype
        for columns, responses, blocks in self.targets.read(self.width):

            def one(inside: slice, responses: Array = responses, start: int = columns.start) -> None:
                centred = Centred.of(responses[:, inside], compute, dtype)
                at = slice(start + inside.start, start + inside.stop)
                for number, problem in enumerate(self.problems):
                    known = self.known.get((number, at.start))
                    work(number, problem.block(centred.responses, known), at, centred)

            compute.map(one, blocks)

    def _solve(
        self, number: int, solver: Solver, fitted: Fitted, block: Any, at: slice, centred: Centred
    ) -> None:
        """Weights with the penalties that were chosen."""
        alphas = self.problems[number].compute.put(fitted.best_alphas[at], "float64")
        fitted.weights[at] = host(solver.solve(block, alphas)).T
        fitted.y_mean[at] = centred.mean
        if centred.bad.any():
            bad = at.start + np.flatnonzero(centred.bad)
            for found in (fitted.weights, fitted.best_alphas, fitted.cv_scores, fitted.cv_r):
                found[bad] = np.nan


def summed_scores(scorers: Sequence[Scorer], block: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sums of r and of R² over the folds, of which there are some, each (n_alphas, n_targets)."""
    r, r2 = scorers[0].scores(block)
    for scorer in scorers[1:]:
        more = scorer.scores(block)
        r, r2 = r + more[0], r2 + more[1]
    return host(r), host(r2)


def best_of(score: np.ndarray) -> np.ndarray:
    """Index of the best penalty (n_targets,) of scores (n_alphas, n_targets); the last where they tie."""
    return len(score) - 1 - score[::-1].argmax(axis=0)


def weights_basis(fitted: Fitted, solver: Solver, problem: Problem, choice: Choice, width: int) -> np.ndarray:
    """The basis (n_features, rank) that the weights are in, in the precision that they need.

    Where it is square and no finer than they are, they become those of features in their place, and the
    basis is none (0, 0): both kinds of weights are never held side by side.

    Parameters
    ----------
    fitted : Fitted
    solver : Solver
    problem : Problem
    choice : Choice
    width : int
        Targets computed at once.
    """
    compute = problem.compute
    with compute.limited():
        basis = solver.basis(choice.least(fitted.best_alphas))
    if basis.shape[0] != basis.shape[1] or not str(basis.dtype).endswith(problem.dtype):
        return host(basis)

    def unfold(start: int) -> None:
        part = compute.put(fitted.weights[start : start + width], problem.dtype)
        fitted.weights[start : start + width] = host(part @ basis.T)

    compute.map(unfold, range(0, len(fitted.weights), width))
    return np.empty((0, 0), problem.dtype)
