"""One layer in one fold: bands scaled, penalty chosen, held-out samples predicted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroalign.design.features import unit_band
from neuroalign.design.folds import Fold
from neuroalign.encoders import RidgeEncoder

NUISANCE_VARIANCE = 0.3
"""Total variance of the nuisance features beside a network's 1, under the one penalty of both.

Their few columns would be all but unpenalised at 1, which costs short recordings; at 0 word rate would
have to hide in the network's features. Of .03, .1, .3 and 1, tried on the thirteen listeners of Brennan
et al. (2016) and on their mean, .3 is within a standard error of the best everywhere.
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
    """Predict what a fold holds out; its inner folds choose the penalty of every target.

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
    features = unit_band(nuisance, fold.train)
    if network is not None:
        beside = np.float32(np.sqrt(NUISANCE_VARIANCE)) * features
        features = np.concatenate([beside, unit_band(network, fold.train)], axis=1)
    encoder = fit_widening(features[fold.train], observed[fold.train], alphas, fold.inner)
    return encoder.predict(features[fold.test]), encoder.best_alphas_, encoder.cv_r_


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
