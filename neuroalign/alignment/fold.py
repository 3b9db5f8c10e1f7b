"""One layer in one fold: bands scaled, penalty and weight of the nuisance chosen, predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroalign.design.features import unit_band
from neuroalign.design.folds import Fold
from neuroalign.encoders import RidgeEncoder

NUISANCE_VARIANCES = (0.1, 1.0)
"""Total variance of the nuisance features beside a network's 1, under the one penalty of both.

At 1 their few columns are all but unpenalised, which suits targets that follow word rate; at .1 they cost
less where the network matters more. The inner folds choose for every target.
"""

EDGE_SHARE, PREDICTED_R, MOST_WIDENINGS = 0.05, 0.1, 3

Inner = Sequence[tuple[np.ndarray, np.ndarray]]


def fit_fold(
    observed: np.ndarray,
    nuisance: np.ndarray,
    network: np.ndarray | None,
    fold: Fold,
    alphas: Sequence[float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predict what a fold holds out, every choice made by its inner folds for each target.

    Parameters
    ----------
    observed : array (n_samples, n_targets)
    nuisance : array (n_samples, n_nuisance)
    network : array (n_samples, n_features) or None
        None fits the nuisance features alone.
    fold : Fold
    alphas : sequence of float

    Returns
    -------
    predicted : array (n_test, n_targets)
    alpha, cv_r : arrays (n_targets,)
        The penalty chosen, and the mean r over the inner folds with it.
    """
    inside = observed[fold.train]
    beside = unit_band(nuisance, fold.train)
    if network is None or not beside.shape[1]:
        candidates = [beside if network is None else unit_band(network, fold.train)]
    else:
        band = unit_band(network, fold.train)
        candidates = [
            np.concatenate([np.float32(np.sqrt(variance)) * beside, band], axis=1)
            for variance in NUISANCE_VARIANCES
        ]
    predicted = np.empty((len(fold.test), inside.shape[1]), np.float32)
    score, alpha, cv_r = np.full((3, inside.shape[1]), -np.inf)
    for features in candidates:
        encoder = fit_widening(features[fold.train], inside, alphas, fold.inner)
        better = encoder.cv_scores_ > score
        predicted[:, better] = encoder.predict(features[fold.test])[:, better]
        score[better], alpha[better] = encoder.cv_scores_[better], encoder.best_alphas_[better]
        cv_r[better] = encoder.cv_r_[better]
    return predicted, alpha, cv_r


def fit_widening(
    features: np.ndarray, observed: np.ndarray, alphas: Sequence[float], folds: Inner
) -> RidgeEncoder:
    """Fit ridge; where too many well-predicted targets choose the end of the grid, widen it and fit again.

    A target counts as well predicted from an inner r of `PREDICTED_R`; without signal the largest α is
    the right one.
    """
    grid = np.asarray(alphas, float)
    for _ in range(MOST_WIDENINGS):
        encoder = RidgeEncoder(grid, folds).fit(features, observed)
        chosen = encoder.best_alphas_[encoder.cv_r_ > PREDICTED_R]
        low, high = ((chosen == end).mean() if len(chosen) else 0.0 for end in (grid[0], grid[-1]))
        if max(low, high) <= EDGE_SHARE or len(grid) < 2:
            break
        ratio = grid[1] / grid[0]
        steps = ratio ** np.arange(1, 1 + round(2 / np.log10(ratio)))
        below = grid[0] / steps[::-1] if low > EDGE_SHARE else grid[:0]
        above = grid[-1] * steps if high > EDGE_SHARE else grid[:0]
        grid = np.concatenate([below, grid, above])
    return encoder
