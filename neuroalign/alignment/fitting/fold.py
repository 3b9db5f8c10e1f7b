"""What nested cross-validation asks of an encoder: one layer in one outer fold, fitted and predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from neuroalign.design.folds import Fold

EDGE_SHARE, PREDICTED_R, MOST_WIDENINGS = 0.05, 0.1, 3


@dataclass(frozen=True)
class FoldFit:
    """What an encoder makes of one layer in one outer fold.

    Attributes
    ----------
    predicted : array (n_test, n_targets)
        Of the samples held out.
    cv_r : array (n_targets,)
        Mean r over the inner folds with what they chose; it decides the layer of a target.
    extras : dict of arrays (…, n_targets)
        What more there is to keep of every target, by the names that the encoder announced.
    """

    predicted: np.ndarray
    cv_r: np.ndarray
    extras: dict[str, np.ndarray]


class FoldEncoder(Protocol):
    """An encoder with its settings, ready for any layer and fold.

    Everything it chooses it chooses in `Fold.inner`, from training samples.
    """

    @property
    def makes_lags(self) -> bool:
        """Whether it takes features at no lag and looks at them from several."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Settings to be kept with the scores."""

    @property
    def coordinates(self) -> dict[str, Any]:
        """Coordinates of what `extras` keeps."""

    def extras(self, control: bool) -> dict[str, tuple[str, ...]]:
        """What `fit_fold` keeps of every target, with its dimensions before that of targets.

        For the control, of the nuisance features alone.
        """

    def fit_fold(
        self,
        observed: np.ndarray,
        nuisance: np.ndarray,
        network: np.ndarray | None,
        fold: Fold,
        blanks: int = 0,
    ) -> FoldFit:
        """Predict what a fold holds out; its inner folds choose.

        Parameters
        ----------
        observed : array (n_samples, n_targets)
        nuisance : array (n_samples, n_nuisance)
        network : array (n_samples, n_features) or None
            None fits the nuisance features alone.
        fold : Fold
        blanks : int
            So many of the last targets are `blanks`, which decide nothing for others.
        """


class Chosen(Protocol):
    """A fitted encoder with a penalty per target."""

    best_alphas_: np.ndarray
    cv_r_: np.ndarray


Encoder = TypeVar("Encoder", bound=Chosen)


def fit_widening(fit: Callable[[np.ndarray], Encoder], alphas: Sequence[float], blanks: int = 0) -> Encoder:
    """Fit with a grid of α; where too many well-predicted targets choose its end, widen it and fit again.

    A target counts as well predicted from an inner r of `PREDICTED_R`; without signal the largest α is
    the right one.

    Parameters
    ----------
    fit : function of a grid (n_alphas,)
        Gives back a fitted encoder.
    alphas : sequence of float
        The grid to begin with.
    blanks : int
        So many of the last targets do not count.
    """
    grid = np.asarray(alphas, float)
    for _ in range(MOST_WIDENINGS):
        encoder = fit(grid)
        counted = slice(len(encoder.cv_r_) - blanks)
        chosen = encoder.best_alphas_[counted][encoder.cv_r_[counted] > PREDICTED_R]
        low, high = ((chosen == end).mean() if len(chosen) else 0.0 for end in (grid[0], grid[-1]))
        if max(low, high) <= EDGE_SHARE or len(grid) < 2:
            break
        ratio = grid[1] / grid[0]
        steps = ratio ** np.arange(1, 1 + round(2 / np.log10(ratio)))
        below = grid[0] / steps[::-1] if low > EDGE_SHARE else grid[:0]
        above = grid[-1] * steps if high > EDGE_SHARE else grid[:0]
        grid = np.concatenate([below, grid, above])
    return encoder
