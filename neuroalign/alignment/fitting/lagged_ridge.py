"""Time-lagged ridge in one fold: nuisance and network features at the same lags, one penalty for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroalign.alignment.fitting.fold import FoldFit, fit_widening
from neuroalign.alignment.fitting.ridge import NUISANCE_VARIANCE
from neuroalign.design.folds import Fold
from neuroalign.design.lagged import segments_of
from neuroalign.encoders.lagged import LaggedRidgeEncoder, lags_between
from neuroalign.settings.design import Lags


@dataclass(frozen=True)
class FoldLaggedRidge:
    """Time-lagged ridge as nested cross-validation wants it.

    Attributes
    ----------
    alphas : sequence of float
        The grid of penalties, widened where its ends are chosen too often.
    lags : int array (n_lags,)
        In samples.
    step : float
        Seconds between samples.
    segments : int array (n_samples,)
        Samples of one number follow each other without a gap.
    components : int or None
        Principal components of the network's features.
    """

    alphas: Sequence[float]
    lags: np.ndarray
    step: float
    segments: np.ndarray
    components: int | None

    makes_lags = True

    @classmethod
    def of(cls, responses: xr.Dataset, settings: Lags, alphas: Sequence[float]) -> FoldLaggedRidge:
        """For the responses of one subject, from `meeg.responses.read_sensors`."""
        step = float(responses.attrs["tr"])
        segments = segments_of(responses["run"].values.astype(str), responses["time_s"].values, step)
        lags = lags_between(settings.start_s, settings.stop_s, 1 / step)
        return cls(alphas, lags, step, segments, settings.components)

    @property
    def attributes(self) -> dict[str, Any]:
        """The grid."""
        return {"alphas": np.asarray(self.alphas, float)}

    @property
    def coordinates(self) -> dict[str, Any]:
        """The lags in seconds."""
        return {"lag": self.lags * self.step}

    def extras(self, control: bool) -> dict[str, tuple[str, ...]]:
        """The penalty of every target, and its kernel: how much it weighs features at every lag."""
        return {"alpha": (), "kernel": ("lag",)}

    def fit_fold(
        self,
        observed: np.ndarray,
        nuisance: np.ndarray,
        network: np.ndarray | None,
        fold: Fold,
        blanks: int = 0,
    ) -> FoldFit:
        """See `FoldEncoder.fit_fold`; features are at no lag yet.

        With s the spread of a feature over training samples, the kernel is w s of a single feature, of
        nuisance features alone Σ_f w_f s_f, and of a network with more features the root of Σ_f (w_f s_f)²,
        since the signs of components mean nothing.
        """
        features = self._features(nuisance, network, fold.train)
        inside, segments = features[fold.train], self.joined(fold.train)

        def fit(grid: np.ndarray) -> LaggedRidgeEncoder:
            encoder = LaggedRidgeEncoder(self.lags, grid, fold.inner, metric="r2")
            return encoder.fit(inside, observed[fold.train], segments)

        encoder = fit_widening(fit, self.alphas, blanks)
        around = self.around(fold.test)
        held = np.searchsorted(around, fold.test)
        predicted = encoder.predict(features[around], self.joined(around))[held]
        weights = encoder.coef_ * inside.std(axis=0)[:, None, None]
        own = weights if network is None else weights[nuisance.shape[1] :]
        signed = network is None or len(own) == 1
        kernel = own.sum(axis=0) if signed else np.sqrt((own**2).sum(axis=0))
        return FoldFit(predicted, encoder.cv_r_, {"alpha": encoder.best_alphas_, "kernel": kernel})

    def _features(self, nuisance: np.ndarray, network: np.ndarray | None, train: np.ndarray) -> np.ndarray:
        """Features side by side, each band of unit variance over all lags; nothing is centred.

        Beyond the edges of a segment features are 0, and so they are between impulses.
        """
        bands = [self._unit(nuisance, train)] if nuisance.shape[1] else []
        if network is not None:
            bands = [np.float32(np.sqrt(NUISANCE_VARIANCE)) * band for band in bands]
            bands.append(self._unit(principal(network, train, self.components), train))
        return np.concatenate(bands, axis=1)

    def _unit(self, features: np.ndarray, train: np.ndarray) -> np.ndarray:
        total = features[train].var(axis=0, dtype=np.float64).sum() * len(self.lags)
        return features * np.float32(1 / np.sqrt(total)) if total > 0 else features

    def joined(self, samples: np.ndarray) -> np.ndarray:
        """Number the stretches of some samples (ascending) between which others are missing."""
        same = (np.diff(samples) == 1) & (np.diff(self.segments[samples]) == 0)
        return np.concatenate([[0], np.cumsum(~same)])

    def around(self, samples: np.ndarray) -> np.ndarray:
        """These samples and those that their lags reach."""
        wanted = np.zeros(len(self.segments) + 1, int)
        reach = max(abs(int(self.lags[0])), abs(int(self.lags[-1])))
        np.add.at(wanted, np.maximum(samples - reach, 0), 1)
        np.add.at(wanted, np.minimum(samples + reach + 1, len(self.segments)), -1)
        return np.flatnonzero(np.cumsum(wanted)[:-1] > 0)


def principal(features: np.ndarray, train: np.ndarray, components: int | None) -> np.ndarray:
    """The leading principal components (n_samples, n_components) of features, by training samples.

    Columns count alike and are not centred: what all stimuli share stays in.
    """
    inside = features[train].astype(np.float64)
    spread = inside.std(axis=0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6 * max(spread.max(), 1e-30))
    if components is None or components >= features.shape[1]:
        return (features * scale).astype(np.float32)
    inside *= scale
    axes = np.linalg.eigh(inside.T @ inside)[1][:, : -components - 1 : -1]
    return features @ (scale[:, None] * axes).astype(np.float32)
