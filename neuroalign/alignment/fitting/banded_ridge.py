"""Banded ridge in one fold: nuisance and network features, each set with a penalty of its own.

Beside the model of both, the network and the nuisance features are fitted alone, through the same folds and
each with penalties of its own, so that held-out R² can be parted among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neuroalign import metrics
from neuroalign.alignment.fitting.fold import FoldFit, fit_widening
from neuroalign.alignment.fitting.partition import PARTS, PRODUCT, WEIGHT, partition
from neuroalign.alignment.fitting.ridge import FoldRidge, fit_ridge
from neuroalign.design.features import unit_band
from neuroalign.design.folds import Fold
from neuroalign.encoders.banded import BandedRidgeEncoder


@dataclass(frozen=True)
class FoldBandedRidge:
    """Banded ridge as nested cross-validation wants it.

    Attributes
    ----------
    alphas : sequence of float
        The grid of penalties, widened where its ends are chosen too often.
    candidates : int
        Weights of the bands to try.
    seed : int
        They are drawn from it.
    """

    alphas: Sequence[float]
    candidates: int
    seed: int

    makes_lags = False
    coordinates: ClassVar[dict[str, Any]] = {}

    @property
    def attributes(self) -> dict[str, Any]:
        """The grid, and how many weights are tried."""
        return {"alphas": np.asarray(self.alphas, float), "candidates": self.candidates}

    def extras(self, control: bool) -> dict[str, tuple[str, ...]]:
        """Penalty, weight of the network and both splits of R²; of the nuisance alone, its penalty."""
        return dict.fromkeys(("alpha",) if control else ("alpha", WEIGHT, *PARTS, *PRODUCT), ())

    def fit_fold(
        self,
        observed: np.ndarray,
        nuisance: np.ndarray,
        network: np.ndarray | None,
        fold: Fold,
        blanks: int = 0,
    ) -> FoldFit:
        """See `FoldEncoder.fit_fold`; one band alone is ridge."""
        if network is None:
            return FoldRidge(self.alphas).fit_fold(observed, nuisance, None, fold, blanks)
        bands = [unit_band(features, fold.train) for features in (network, nuisance)]
        both = self._fit_both(bands, observed, fold, blanks)
        parts = both.predict(np.concatenate(bands, axis=1)[fold.test], split=True)
        held, reference = observed[fold.test], observed[fold.train].mean(axis=0)
        predicted = parts.sum(axis=0) + both.intercept_.astype(parts.dtype)
        alone = [
            fit_ridge(band, observed, fold, self.alphas, blanks).predict(band[fold.test]) for band in bands
        ]
        scores = [metrics.r_squared(each, held, reference) for each in (predicted, *alone)]
        product = metrics.product_measure(parts, held, reference)
        extras = {"alpha": both.best_alphas_, WEIGHT: both.band_weights_[0], **partition(*scores)}
        return FoldFit(predicted, both.cv_r_, extras | dict(zip(PRODUCT, product, strict=True)))

    def _fit_both(
        self, bands: list[np.ndarray], observed: np.ndarray, fold: Fold, blanks: int
    ) -> BandedRidgeEncoder:
        inside, responses = np.concatenate(bands, axis=1)[fold.train], observed[fold.train]
        first = bands[0].shape[1]
        columns = {"network": slice(0, first), "nuisance": slice(first, None)}

        def fit(grid: np.ndarray) -> BandedRidgeEncoder:
            encoder = BandedRidgeEncoder(
                columns, grid, fold.inner, n_candidates=self.candidates, seed=self.seed
            )
            return encoder.fit(inside, responses)

        return fit_widening(fit, self.alphas, blanks)
