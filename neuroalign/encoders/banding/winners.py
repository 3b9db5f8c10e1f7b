"""The candidates that targets chose, fitted to all samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroalign.encoders.banding.search import Choice
from neuroalign.encoders.solvers.compute import LARGE, Array, host
from neuroalign.encoders.solvers.dual import DualSolver
from neuroalign.encoders.solvers.problems import Problem, Solver
from neuroalign.encoders.solvers.targets import Centred, Targets


def fit_chosen(
    problem: Problem, targets: Targets, choice: Choice, n_weights: int, dual: bool, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit all samples, with one eigendecomposition for all targets that chose alike.

    Parameters
    ----------
    problem : Problem
    targets : Targets
    choice : Choice
    n_weights : int
        Per target: features, or samples if `dual`.
    dual : bool
        Return dual weights, in float64: features cancel most of what is in them. The problem is one by
        samples then.
    width : int
        Targets computed at once.

    Returns
    -------
    weights : array (n_targets, n_weights)
    mean : array (n_targets,)
    bad : array (n_targets,)
        Targets that are not finite; `weights` and `mean` are NaN there.
    """
    gammas, chosen = np.unique(choice.weights.T, axis=0, return_inverse=True)
    weights = np.empty((targets.count, n_weights), "float64" if dual else problem.dtype)
    mean, bad = np.empty(targets.count), np.empty(targets.count, bool)
    for columns, responses, _ in targets.read(width):
        inside = chosen[columns]

        def one(
            number: int, responses: Any = responses, start: int = columns.start, inside: Any = inside
        ) -> None:
            solver = problem.solver(gammas[number])
            mine = np.flatnonzero(inside == number)
            for first in range(0, len(mine), width):
                piece = mine[first : first + width]
                centred = Centred.of(responses[:, piece], problem.compute, problem.dtype)
                at = start + piece
                weights[at] = _solve(problem, solver, centred.responses, choice.alphas[at], dual)
                mean[at], bad[at] = centred.mean, centred.bad

        problem.compute.map(one, np.unique(inside), spare=problem.order >= LARGE)
    weights[bad] = np.nan
    return weights, mean, bad


def _solve(problem: Problem, solver: Solver, responses: Array, alphas: np.ndarray, dual: bool) -> np.ndarray:
    """Weights (n_targets, n_weights) of some targets that chose the solver's candidate."""
    xp = problem.compute.xp
    solved = solver.solve(problem.block(responses), problem.compute.put(alphas, "float64"))
    if dual and isinstance(solver, DualSolver):
        return host(solver.dual(solved)).T
    basis = solver.basis(float(alphas.min()))
    return host(basis @ xp.astype(solved, basis.dtype)).T
