"""What all linear encoders have in common once they are fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from neuroalign.arrays import replacing
from neuroalign.encoders import store
from neuroalign.encoders.compute import Compute, host
from neuroalign.encoders.features import check_features, check_finite
from neuroalign.encoders.fitting import Metric
from neuroalign.encoders.targets import Targets
from neuroalign.errors import DataError
from neuroalign.metrics import pearson, r_squared


class LinearEncoder(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Weights of features for every target, kept as a product of two factors.

    Attributes
    ----------
    x_mean_ : array (n_features,)
    y_mean_, best_alphas_, cv_scores_, cv_r_ : arrays (n_targets,)
    coef_ : array (n_features, n_targets)
        Formed when asked for.
    intercept_ : array (n_targets,)
    """

    _fitted: ClassVar[tuple[str, ...]] = (
        "x_mean_",
        "y_mean_",
        "best_alphas_",
        "cv_scores_",
        "cv_r_",
        "_basis",
        "_weights",
    )

    @property
    def coef_(self) -> np.ndarray:
        """Weights (n_features, n_targets)."""
        check_is_fitted(self, "x_mean_")
        return self._basis @ self._weights.T

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts (n_targets,)."""
        check_is_fitted(self, "x_mean_")
        return self.y_mean_ - self._weights @ (self.x_mean_ @ self._basis)

    def predict(self, X: Any) -> np.ndarray:
        """Predicted responses (n_samples, n_targets), or (n_samples,) after a fit to such."""
        check_is_fitted(self, "x_mean_")
        X = check_features(X)
        if X.shape[1] != self.n_features_in_:
            raise DataError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        kind = str(self._weights.dtype)
        compute = Compute.choose(self.device, self.threads)
        here = compute.put(X, str(np.result_type(host(X[:0]).dtype, np.float32)))
        here = here - compute.put(self.x_mean_, kind)
        check_finite(here, compute.xp.sum(here), compute)
        weights, basis = (compute.put(part, kind) for part in (self._weights, self._basis))
        with compute.limited():
            predicted = (compute.xp.astype(here, weights.dtype) @ basis) @ weights.T
        predicted = host(predicted) + self.y_mean_.astype(kind)
        return predicted[:, 0] if self._single else predicted

    def score(self, X: Any, Y: Any, metric: Metric = "r") -> np.ndarray:
        """Score per target (n_targets,): Pearson r, or R² against the mean of Y; NaN if Y is constant."""
        predicted = self.predict(X).reshape(len(X), -1)
        Targets(Y, len(X))
        observed = host(Y).reshape(len(X), -1)
        if metric == "r":
            return pearson(predicted, observed)
        return r_squared(predicted, observed, observed.mean(axis=0))

    def save(self, path: str | Path) -> None:
        """Write the fitted encoder to a folder: `encoder.json` and `weights.safetensors`."""
        check_is_fitted(self, "x_mean_")
        arrays = {name: np.asarray(getattr(self, name)) for name in self._fitted}
        with replacing(path) as folder:
            folder.mkdir()
            mapped = store.create(folder, {name: (a.shape, str(a.dtype)) for name, a in arrays.items()})
            for name, array in arrays.items():
                mapped[name][...] = array
            store.finish(mapped, folder, type(self).__name__, self._settings(self._single))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read an encoder that was saved; it predicts and scores as before.

        Raises
        ------
        DataError
            The folder holds no such encoder, or its files are damaged.
        """
        settings, arrays = store.load(path, cls.__name__, cls._fitted)
        single = bool(settings.pop("single", False))
        encoder = cls(**settings)
        encoder._take(arrays, single)
        return encoder

    def _take(self, arrays: dict[str, np.ndarray], single: bool) -> None:
        """Become fitted; `single` if the responses were a vector."""
        for name in self._fitted:
            setattr(self, name, arrays[name])
        self.n_features_in_ = len(self.x_mean_)
        self._single = single

    def _settings(self, single: bool) -> dict[str, Any]:
        """Parameters as JSON has them; folds of its own do not outlive the fit."""
        parameters = {
            name: np.asarray(value).tolist() if isinstance(value, np.ndarray | tuple | range) else value
            for name, value in self.get_params().items()
        }
        if not isinstance(parameters["folds"], int):
            del parameters["folds"]
        return {**parameters, "single": single}
