"""What all linear encoders have in common once they are fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from neuroalign.artefacts.atomic import replacing
from neuroalign.encoders import store
from neuroalign.encoders.scores import scored
from neuroalign.encoders.solvers.arguments import Metric
from neuroalign.encoders.solvers.compute import Compute, host
from neuroalign.encoders.solvers.features import check_features, check_finite
from neuroalign.encoders.solvers.moments import CHUNK
from neuroalign.encoders.solvers.targets import number_type
from neuroalign.errors import DataError


class LinearEncoder(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Weights of features for every target, kept as two factors where these are smaller or finer.

    Attributes
    ----------
    x_mean_ : array (n_features,)
    y_mean_, best_alphas_, cv_scores_, cv_r_ : arrays (n_targets,)
    coef_ : array (n_features, n_targets)
        Formed when asked for, where factors are kept.
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
        if not len(self._basis):
            return self._weights.T
        return self._basis.astype(self._weights.dtype, copy=False) @ self._weights.T

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts (n_targets,)."""
        check_is_fitted(self, "x_mean_")
        return self.y_mean_ - self._weighted(self.x_mean_)

    def predict(self, X: Any) -> np.ndarray:
        """Predicted responses (n_samples, n_targets), or (n_samples,) after a fit to such."""
        X = self._fitting(X)
        compute, kind = Compute.choose(self.device, self.threads), number_type(X, "X")
        here, mean = compute.put(X, kind), self.x_mean_.astype(kind)
        here = here - compute.put(mean, kind)
        check_finite(here, compute.xp.sum(here), compute)
        weights, basis = (compute.put(part, str(part.dtype)) for part in (self._weights, self._basis))
        inside = compute.xp.astype(here, basis.dtype) + compute.put(
            mean - self.x_mean_, str(self._basis.dtype)
        )
        inside = compute.product(inside, basis) if len(self._basis) else inside
        predicted = compute.product(compute.xp.astype(inside, weights.dtype), weights.T)
        predicted = host(predicted) + self.y_mean_.astype(self._weights.dtype)
        return predicted[:, 0] if self._single else predicted

    def score(self, X: Any, Y: Any, metric: Metric = "r") -> np.ndarray:
        """Score per target (n_targets,): Pearson r, or R² against the mean of Y; NaN if Y is constant."""
        return scored(self.predict(X), Y, metric)

    def _weighted(self, features: np.ndarray) -> np.ndarray:
        """What features (n_features,), in float64, add to the prediction of every target."""
        inside = _times(self._basis.T, features) if len(self._basis) else features
        return _times(self._weights, inside)

    def _fitting(self, X: Any) -> Any:
        """Features as they are, if this encoder is fitted and was so on as many of them."""
        check_is_fitted(self, "x_mean_")
        X = check_features(X)
        if X.shape[1] != self.n_features_in_:
            raise DataError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return X

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
        try:
            encoder = cls(**settings)
        except TypeError as error:
            raise DataError(f"{path}: not a saved {cls.__name__} ({error})") from None
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
        parameters = self.get_params()
        if not isinstance(parameters["folds"], int | np.integer):
            del parameters["folds"]
        plain = (np.ndarray, np.generic, list, tuple, range)
        for name, value in parameters.items():
            if isinstance(value, plain):
                parameters[name] = np.asarray(value).tolist()
        return {**parameters, "single": single}


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Their product in float64, some rows at a time, so that no float64 copy of all is made."""
    parts = np.array_split(matrix, 1 + matrix.size // CHUNK)
    return np.concatenate([part @ vector for part in parts])
