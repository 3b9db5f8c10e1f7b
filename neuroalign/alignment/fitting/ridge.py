"""Ridge in one fold: nuisance and network features scaled to fixed weights, one penalty for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neuroalign.alignment.fitting.fold import FoldFit, fit_widening
from neuroalign.design.features import unit_band
from neuroalign.design.folds import Fold
from neuroalign.encoders.ridge import RidgeEncoder

NUISANCE_VARIANCE = 0.3
"""Total variance of the nuisance features beside a network's 1, under the one penalty of both.

Their few columns would be all but unpenalised at 1, which costs short recordings; at 0 word rate would
have to hide in the network's features. Of .03, .1, .3 and 1, tried on the thirteen listeners of Brennan
et al. (2016) and on their mean, .3 is within a standard error of the best everywhere.
"""


@dataclass(frozen=True)
class FoldRidge:
    """Ridge as nested cross-validation wants it.

    Attributes
    ----------
    alphas : sequence of float
        The grid of penalties, widened where its ends are chosen too often.
    """

    alphas: Sequence[float]

    makes_lags = False
    coordinates: ClassVar[dict[str, Any]] = {}

    @property
    def attributes(self) -> dict[str, Any]:
        """The grid."""
        return {"alphas": np.asarray(self.alphas, float)}

    def extras(self, control: bool) -> dict[str, tuple[str, ...]]:
        """The penalty of every target."""
        return {"alpha": ()}

    def fit_fold(
        self,
        observed: np.ndarray,
        nuisance: np.ndarray,
        network: np.ndarray | None,
        fold: Fold,
        blanks: int = 0,
    ) -> FoldFit:
        """See `FoldEncoder.fit_fold`."""
        features = side_by_side(nuisance, network, fold.train)
        encoder = fit_ridge(features, observed, fold, self.alphas, blanks)
        predicted = encoder.predict(features[fold.test])
        return FoldFit(predicted, encoder.cv_r_, {"alpha": encoder.best_alphas_})


def side_by_side(nuisance: np.ndarray, network: np.ndarray | None, train: np.ndarray) -> np.ndarray:
    """Nuisance and network features (n_samples, n_features), scaled by the training samples."""
    features = unit_band(nuisance, train)
    if network is None:
        return features
    beside = np.float32(np.sqrt(NUISANCE_VARIANCE)) * features
    return np.concatenate([beside, unit_band(network, train)], axis=1)


def fit_ridge(
    features: np.ndarray, observed: np.ndarray, fold: Fold, alphas: Sequence[float], blanks: int = 0
) -> RidgeEncoder:
    """Fit the training samples of a fold; its inner folds choose α for every target.

    Parameters
    ----------
    features : array (n_samples, n_features)
        Scaled by the training samples.
    observed : array (n_samples, n_targets)
    fold : Fold
    alphas : sequence of float
    blanks : int
        So many of the last targets have no say in the grid.
    """
    inside, responses = features[fold.train], observed[fold.train]
    return fit_widening(lambda grid: RidgeEncoder(grid, fold.inner).fit(inside, responses), alphas, blanks)


def refitted(features: np.ndarray, observed: np.ndarray, train: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """What ridge predicts of all samples (n_samples, n_targets) from some of them, α being known.

    Parameters
    ----------
    features : array (n_samples, n_features)
    observed : array (n_samples, n_targets)
    train : int array
        Samples to fit.
    alphas : array (n_targets,)
    """
    found = np.empty(observed.shape, np.float32)
    for alpha in np.unique(alphas):
        at = np.flatnonzero(alphas == alpha)
        encoder = RidgeEncoder([alpha], folds=None).fit(features[train], observed[np.ix_(train, at)])
        found[:, at] = encoder.predict(features)
    return found
