"""What encoders are asked for, checked before anything is computed."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from neuroalign.encoders.solvers.rows import Pairs, check_folds
from neuroalign.errors import DataError

Metric = Literal["r2", "r"]


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
