"""Ridge regression with a regularisation strength of its own for every target."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from sklearn.base import BaseEstimator
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted

from neuroalign.arrays import replacing, save_json
from neuroalign.encoders import solvers
from neuroalign.errors import DataError
from neuroalign.metrics import pearson, r_squared

DEFAULT_ALPHAS = tuple(10.0**exponent for exponent in range(-2, 7))
WEIGHTS, SETTINGS = "weights.safetensors", "encoder.json"
FITTED = ("x_mean_", "y_mean_", "best_alphas_", "cv_scores_", "cv_r_", "_basis", "_weights")


class RidgeEncoder(BaseEstimator):
    """Ridge regression whose regularisation is chosen per target by cross-validation.

    Minimises ‖y − b − X w‖² + α ‖w‖² for every target (Hoerl & Kennard 1970); α is the one of
    scikit-learn and himalaya. Features and targets are centred on the training samples of every
    fold; features are not rescaled.

    Parameters
    ----------
    alphas : sequence of float
        Candidate regularisation strengths, all positive.
    folds : int or iterable of (train, test) index pairs
        Contiguous folds, or your own: for time series hold out whole runs.
    metric : {"r2", "r"}
        What chooses α: R² against the training mean, or Pearson r.
    block : int
        Targets computed at once; bounds the memory.

    Attributes
    ----------
    coef_ : array (n_features, n_targets)
        Primal weights; formed when first asked for.
    intercept_ : array (n_targets,)
    best_alphas_ : array (n_targets,)
        Ties go to the larger α; constant targets get the largest.
    cv_scores_ : array (n_targets,)
        Mean of `metric` over the folds, at the chosen α.
    cv_r_ : array (n_targets,)
        Mean Pearson r over the folds, at the chosen α.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 5))
    >>> Y = X @ rng.standard_normal((5, 3))
    >>> encoder = RidgeEncoder(alphas=[0.1, 1.0, 10.0], folds=4).fit(X, Y)
    >>> encoder.coef_.shape, float(encoder.score(X, Y).min().round(2))
    ((5, 3), 1.0)
    """

    def __init__(
        self,
        alphas: Sequence[float] | np.ndarray = DEFAULT_ALPHAS,
        folds: int | Iterable[tuple[np.ndarray, np.ndarray]] = 5,
        metric: Literal["r2", "r"] = "r2",
        block: int = 1024,
    ) -> None:
        self.alphas = alphas
        self.folds = folds
        self.metric = metric
        self.block = block

    def fit(self, X: np.ndarray, Y: np.ndarray) -> RidgeEncoder:
        """Choose α for every target, then fit all samples with it.

        Parameters
        ----------
        X : array (n_samples, n_features)
            float16, float32 or float64; NaN or infinite values are an error.
        Y : array (n_samples, n_targets) or (n_samples,)
            A target with NaN or infinite values is not fitted: its weights and scores are NaN.

        Returns
        -------
        RidgeEncoder
            Itself.

        Raises
        ------
        DataError
            X and Y do not fit together, X is not finite, a fold is empty, or an α is not positive.
        """
        X, Y = _check_features(X), _check_responses(Y, len(X))
        alphas = _check_alphas(self.alphas)
        pairs = _check_folds(self.folds, len(X))
        split = _splitter(X)
        everything = np.arange(len(X))
        whole = split(everything, everything[:0])
        precision = np.float64 if Y.dtype.itemsize == 8 else np.float32
        scorers = [solvers.GridScorer(split(train, test), alphas, precision) for train, test in pairs]

        n_targets = Y.shape[1]
        self._weights = np.empty((len(whole.values), n_targets), precision)
        self.best_alphas_, self.cv_scores_, self.cv_r_, self.y_mean_ = np.empty((4, n_targets))
        for start in range(0, n_targets, self.block):
            columns = slice(start, start + self.block)
            responses = np.array(Y[:, columns], precision)
            bad = ~np.isfinite(responses).all(axis=0)
            responses[:, bad] = 0
            alpha, score, r = _choose(scorers, responses, alphas, self.metric)
            self._weights[:, columns] = np.where(bad, np.nan, solvers.solve(whole, responses, alpha))
            self.best_alphas_[columns] = np.where(bad, np.nan, alpha)
            self.cv_scores_[columns] = np.where(bad, np.nan, score)
            self.cv_r_[columns] = np.where(bad, np.nan, r)
            self.y_mean_[columns] = np.where(bad, np.nan, responses.mean(axis=0, dtype=np.float64))
        self._basis = solvers.feature_basis(whole, X)
        self.x_mean_ = X.mean(axis=0, dtype=np.float64)
        self.n_features_in_ = X.shape[1]
        return self

    @property
    def coef_(self) -> np.ndarray:
        """Weights (n_features, n_targets)."""
        check_is_fitted(self, "x_mean_")
        return self._basis.astype(self._weights.dtype) @ self._weights

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts (n_targets,)."""
        check_is_fitted(self, "x_mean_")
        return self.y_mean_ - (self.x_mean_ @ self._basis) @ self._weights

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predicted responses (n_samples, n_targets)."""
        check_is_fitted(self, "x_mean_")
        X = _check_features(X)
        if X.shape[1] != self.n_features_in_:
            raise DataError(
                f"X has {X.shape[1]} features, but the encoder was fitted on {self.n_features_in_}"
            )
        carried = (X - self.x_mean_) @ self._basis
        return carried.astype(self._weights.dtype) @ self._weights + self.y_mean_.astype(self._weights.dtype)

    def score(self, X: np.ndarray, Y: np.ndarray, metric: Literal["r", "r2"] = "r") -> np.ndarray:
        """Score per target (n_targets,): Pearson r, or R² against the mean of Y; NaN if Y is constant."""
        predicted, Y = self.predict(X), _check_responses(Y, len(X))
        return pearson(predicted, Y) if metric == "r" else r_squared(predicted, Y, Y.mean(axis=0))

    def save(self, path: str | Path) -> None:
        """Write the fitted encoder to a folder: `encoder.json` and `weights.safetensors`."""
        check_is_fitted(self, "x_mean_")
        arrays = {name: getattr(self, name) for name in FITTED}
        parameters = {
            "alphas": [float(alpha) for alpha in self.alphas],
            "metric": self.metric,
            "block": self.block,
        }
        with replacing(path) as folder:
            folder.mkdir()
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / WEIGHTS)
            save_json({"encoder": "RidgeEncoder", "parameters": parameters}, folder / SETTINGS)

    @classmethod
    def load(cls, path: str | Path) -> RidgeEncoder:
        """Read an encoder that was saved; it predicts and scores as before.

        Raises
        ------
        DataError
            The folder holds no ridge encoder, or its files are damaged.
        """
        try:
            settings = json.loads((Path(path) / SETTINGS).read_text(encoding="utf-8"))
            arrays = load_file(Path(path) / WEIGHTS)
            encoder = cls(**settings["parameters"])
            for name in FITTED:
                setattr(encoder, name, arrays[name])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise DataError(f"{path}: not a saved RidgeEncoder ({error})") from None
        encoder.n_features_in_ = len(encoder._basis)
        return encoder


def _splitter(X: np.ndarray) -> Callable[[np.ndarray, np.ndarray], solvers.Split]:
    """The cheaper way to decompose a split: by samples when there are more features, else by features."""
    if X.shape[1] >= len(X):
        return partial(solvers.split_from_gram, solvers.gram(X))
    return partial(solvers.split_from_features, X)


def _choose(
    scorers: list[solvers.GridScorer], responses: np.ndarray, alphas: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best α of every target, with its mean score and mean r over the folds."""
    scored = [scorer.scores(responses) for scorer in scorers]
    r = np.mean([pair[0] for pair in scored], axis=0)
    score = r if metric == "r" else np.mean([pair[1] for pair in scored], axis=0)
    best = len(alphas) - 1 - score[::-1].argmax(axis=0)
    chosen = best, np.arange(responses.shape[1])
    return alphas[best], score[chosen], r[chosen]


def _check_features(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X)
    if X.ndim != 2 or 0 in X.shape:
        raise DataError(f"X has shape {X.shape}; expected (n_samples, n_features), neither of them 0")
    if X.dtype.kind not in "fiu":
        raise DataError(f"X holds {X.dtype} values; expected numbers")
    X = X.astype(np.float64 if X.dtype.itemsize == 8 else np.float32, copy=False)
    if not np.isfinite(X).all():
        raise DataError(
            f"X holds {int((~np.isfinite(X)).sum())} NaN or infinite values; remove or impute them"
        )
    return X


def _check_responses(Y: np.ndarray, n_samples: int) -> np.ndarray:
    Y = np.asarray(Y)
    Y = Y[:, None] if Y.ndim == 1 else Y
    if Y.ndim != 2 or len(Y) != n_samples:
        raise DataError(f"Y has shape {Y.shape}; expected ({n_samples}, n_targets) to go with X")
    return Y


def _check_alphas(alphas: Sequence[float] | np.ndarray) -> np.ndarray:
    grid = np.unique(np.asarray(alphas, float))
    if not len(grid) or not np.isfinite(grid).all() or grid[0] <= 0:
        raise DataError(f"alphas are {list(alphas)}; expected positive finite numbers")
    return grid


def _check_folds(
    folds: int | Iterable[tuple[np.ndarray, np.ndarray]], n_samples: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    if isinstance(folds, int) and not 2 <= folds <= n_samples:
        raise DataError(f"folds is {folds}; expected 2 to {n_samples} (the number of samples)")
    given = KFold(folds).split(np.empty(n_samples)) if isinstance(folds, int) else folds
    pairs = [(np.asarray(train), np.asarray(test)) for train, test in given]
    if not pairs:
        raise DataError("folds is empty; give at least one (train, test) pair")
    for number, (train, test) in enumerate(pairs):
        if len(train) < 2 or not len(test):
            raise DataError(
                f"fold {number} has {len(train)} training and {len(test)} test samples; it needs both"
            )
        if np.intersect1d(train, test).size:
            raise DataError(f"fold {number} has samples in both training and test; they must be apart")
    return pairs
