"""Time-lagged ridge regression: temporal response functions, and decoding backwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neuroalign.encoders.lagging.folds import lagged_problem
from neuroalign.encoders.lagging.moments import LaggedFeatures
from neuroalign.encoders.linear import LinearEncoder
from neuroalign.encoders.ridge import DEFAULT_ALPHAS
from neuroalign.encoders.scores import scored
from neuroalign.encoders.solvers.arguments import (
    Metric,
    check_block,
    check_choice,
    check_groups,
    check_metric,
)
from neuroalign.encoders.solvers.compute import Array, Compute, Dtype, host
from neuroalign.encoders.solvers.features import centre, check_features, check_finite
from neuroalign.encoders.solvers.fitting import Choice, Fitted, fit_targets, weights_basis
from neuroalign.encoders.solvers.problems import Solver
from neuroalign.encoders.solvers.targets import Targets, number_type
from neuroalign.errors import DataError, choices

DIRECTIONS = ("forward", "backward")

CHUNK = 2**20
"""Values of the lagged matrix that predictions hold at once."""

HELD = 2**25
"""Values that are held at once of products of targets with lagged features."""

READ = 2**22
"""Responses of a block: more take no less time, since memory is slow to get."""


class LaggedRidgeEncoder(LinearEncoder):
    """Ridge regression on features at several lags, whose regularisation is chosen by cross-validation.

    Predicts the response at sample t from features at t − lag, for every lag: a temporal response function
    (Crosse et al. 2016). Beyond the edges of a segment features are 0, so that nothing passes from one to
    another; have them centred if they are not 0 at rest. Minimises ‖y − b − Σ_lag X(t − lag) w‖² + α ‖w‖²:
    α is the one of `RidgeEncoder` fitted to the lagged matrix, which is never formed; mTRFpy divides by the
    sampling rate and the number of trials, α = λ · rate · n_trials.

    Parameters
    ----------
    lags : sequence of int
        In samples, ascending; see `lags_between`. Positive lags: the response follows the features.
    alphas : sequence of float
        Candidate regularisation strengths, all positive.
    folds : int, iterable of (train, test) index pairs, or None
        Contiguous blocks of samples, or your own; None to fit with the only α there is. Lagged features
        reach over the edges of folds, though not of segments: hold out whole runs, or leave out a gap of the
        longest lag.
    direction : {"forward", "backward"}
        Backward decodes: X are recordings, Y is the stimulus, and recordings at t + lag predict the stimulus
        at t, so that one set of lags serves both directions.
    metric : {"r2", "r"}
        What chooses α: R² against the training mean, or Pearson r.
    alpha_per : {"target", "all"} or array of labels (n_targets,)
        Which targets share an α, the one with their best mean score.
    block : int
        Targets computed at once; bounds the memory.
    device : str, optional
        None computes with numpy; "cpu", "cuda", "cuda:1" with torch.
    threads : int, optional
        CPU threads; as many as BLAS may use by default.

    Attributes
    ----------
    coef_ : array (n_features, n_lags, n_targets)
        Formed when asked for.
    intercept_ : array (n_targets,)
    best_alphas_ : array (n_targets,)
        Ties go to the larger α; constant targets get the largest.
    cv_scores_ : array (n_targets,)
        Mean of `metric` over the folds, at the chosen α; NaN without folds.
    cv_r_ : array (n_targets,)
        Mean Pearson r over the folds, at the chosen α.

    Examples
    --------
    >>> import numpy as np
    >>> sound = np.random.default_rng(0).standard_normal((200, 1))
    >>> response = np.roll(sound, 3, axis=0)
    >>> encoder = LaggedRidgeEncoder(range(6), alphas=[0.1, 1.0]).fit(sound, response)
    >>> encoder.coef_.shape, int(encoder.coef_[0, :, 0].argmax())
    ((1, 6, 1), 3)
    """

    _fitted: ClassVar[tuple[str, ...]] = (*LinearEncoder._fitted, "_lagged_mean")

    def __init__(
        self,
        lags: Sequence[int] | np.ndarray,
        alphas: Sequence[float] | np.ndarray = DEFAULT_ALPHAS,
        folds: int | Iterable[tuple[np.ndarray, np.ndarray]] | None = 5,
        direction: Literal["forward", "backward"] = "forward",
        metric: Metric = "r2",
        alpha_per: Literal["target", "all"] | Sequence | np.ndarray = "target",
        block: int = 512,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.lags = lags
        self.alphas = alphas
        self.folds = folds
        self.direction = direction
        self.metric = metric
        self.alpha_per = alpha_per
        self.block = block
        self.device = device
        self.threads = threads

    def fit(self, X: Any, Y: Any, segments: Any = None) -> LaggedRidgeEncoder:
        """Choose α for every target, then fit all samples with it.

        Parameters
        ----------
        X : array (n_samples, n_features)
            float16, float32 or float64, numpy or torch; NaN or infinite values are an error.
        Y : array (n_samples, n_targets) or (n_samples,)
            Also a memory map, a Zarr or HDF5 array larger than memory. A target with NaN or infinite
            values is not fitted: its weights and scores are NaN.
        segments : sequence (n_samples,), optional
            A label per sample; where it changes, a run or trial ends and another begins.

        Returns
        -------
        LaggedRidgeEncoder
            Itself.

        Raises
        ------
        DataError
            X and Y do not fit together, X is not finite, a fold is empty, an α is not positive, or lags are
            not ascending integers.
        """
        X = check_features(X)
        targets = Targets(Y, len(X))
        alphas, pairs = check_choice(self.alphas, self.folds, len(X))
        choice = Choice(alphas, check_metric(self.metric), check_groups(self.alpha_per, targets.count))
        compute = Compute.choose(self.device, self.threads)
        dtype: Dtype = "float64" if "float64" in (targets.dtype, number_type(X, "X")) else "float32"
        with compute.limited(compute.threads):
            here, mean = centre(X, compute, dtype)
            mean = mean.astype(dtype).astype(float)  # to the last digit what was taken off
            lagged = self._lagged(here, mean, segments, compute)
            problem, lagged_mean = lagged_problem(lagged, pairs, dtype)
            count, width = targets.count, self._width(lagged, len(pairs), targets.count)

            def room(_: int, solver: Solver) -> Fitted:
                return Fitted(np.empty((count, solver.rank), dtype), *np.empty((4, count)))

            ((found, solver),) = fit_targets([problem], targets, choice, width, room)
            basis = weights_basis(found, solver, problem, choice, width)
        arrays = {"x_mean_": mean, "_basis": basis, "_lagged_mean": lagged_mean}
        arrays |= {"best_alphas_": found.best_alphas, "cv_scores_": found.cv_scores, "cv_r_": found.cv_r}
        arrays |= {"y_mean_": found.y_mean, "_weights": found.weights}
        self._take(arrays, targets.single)
        return self

    @property
    def coef_(self) -> np.ndarray:
        """Weights (n_features, n_lags, n_targets), lags as given."""
        check_is_fitted(self, "x_mean_")
        by_lag = self._flat_coef().reshape(-1, self.n_features_in_, len(self.y_mean_))
        return by_lag.transpose(1, 0, 2).astype(self._weights.dtype, copy=False)

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts (n_targets,)."""
        check_is_fitted(self, "x_mean_")
        n_lags = len(self._lagged_mean) // self.n_features_in_
        return self._offset() - self._weighted(np.tile(self.x_mean_, n_lags))

    def predict(self, X: Any, segments: Any = None) -> np.ndarray:
        """Predicted responses (n_samples, n_targets), or (n_samples,) after a fit to such.

        Parameters
        ----------
        X : array (n_samples, n_features)
        segments : sequence (n_samples,), optional
            As in `fit`.
        """
        X = self._fitting(X)
        compute, coef = Compute.choose(self.device, self.threads), self._flat_coef()
        kind, fine = str(self._weights.dtype), str(coef.dtype)
        here = compute.put(X, kind) - compute.put(self.x_mean_, kind)
        check_finite(here, compute.xp.sum(here), compute)
        lagged = self._lagged(here, self.x_mean_, segments, compute)
        coef, offset = compute.put(coef, fine), compute.put(self._offset(), fine)
        predicted = np.empty((len(X), coef.shape[1]), kind)

        def one(chunk: np.ndarray) -> None:
            predicted[chunk] = host(compute.put(lagged.rows(chunk), fine) @ coef + offset)

        compute.map(one, np.array_split(np.arange(len(X)), 1 + len(X) * len(coef) // CHUNK))
        return predicted[:, 0] if self._single else predicted

    def score(self, X: Any, Y: Any, metric: Metric = "r", segments: Any = None) -> np.ndarray:
        """Score per target (n_targets,): Pearson r, or R² against the mean of Y; NaN if Y is constant."""
        return scored(self.predict(X, segments), Y, metric)

    def _flat_coef(self) -> np.ndarray:
        """Weights (n_lags · n_features, n_targets) of the lagged matrix; in float64 where that is needed."""
        return self._basis @ self._weights.T if len(self._basis) else self._weights.T

    def _offset(self) -> np.ndarray:
        """What is predicted (n_targets,) where all features are at their means."""
        return self.y_mean_ - self._weighted(self._lagged_mean)

    def _lagged(self, features: Array, mean: np.ndarray, segments: Any, compute: Compute) -> LaggedFeatures:
        """Features about their means at the lags of this encoder: what was 0 outside is minus the mean."""
        outside = -compute.put(mean, number_type(features, "X"))
        return LaggedFeatures(features, outside, self._delays(), _breaks(segments, len(features)), compute)

    def _delays(self) -> np.ndarray:
        """How many samples features come before what they predict, for every lag."""
        lags = np.asarray(self.lags)
        if lags.ndim != 1 or not len(lags) or lags.dtype.kind not in "iu" or (np.diff(lags) <= 0).any():
            raise DataError(f"lags are {lags.tolist()}; expected ascending integers, in samples")
        if self.direction not in DIRECTIONS:
            raise DataError(f"direction is '{self.direction}'; {choices(self.direction, DIRECTIONS)}")
        return lags.astype(int) if self.direction == "forward" else -lags.astype(int)

    def _width(self, lagged: LaggedFeatures, n_folds: int, n_targets: int) -> int:
        """Targets computed at once: every thread has some, and what is held of all has its bounds."""
        workers = lagged.compute.threads if lagged.compute.device is None else 1
        held = 2 * (n_folds + 1) * lagged.n_columns + 4 * lagged.n_transformed
        n_features = lagged.n_columns // len(self._delays())
        few = max(n_features, READ // len(lagged.places))
        return max(1, min(check_block(self.block), -(-n_targets // workers), few, HELD // (workers * held)))


def lags_between(start_s: float, stop_s: float, sampling_hz: float) -> np.ndarray:
    """Lags in samples from one time to another, both included, each rounded to the nearest sample.

    Halves go to the even sample, as in MNE; mTRFpy rounds outwards instead.

    Parameters
    ----------
    start_s, stop_s : float
        Seconds.
    sampling_hz : float

    Returns
    -------
    int array (n_lags,)

    Raises
    ------
    DataError
        The sampling rate is not positive, or the last lag comes before the first.

    Examples
    --------
    >>> lags_between(-0.02, 0.03, 100)
    array([-2, -1,  0,  1,  2,  3])
    """
    if not 0 < sampling_hz < np.inf or not -np.inf < start_s <= stop_s < np.inf:
        raise DataError(
            f"lags are from {start_s} s to {stop_s} s at {sampling_hz} Hz; expected the first not after the "
            "last, and a positive rate"
        )
    return np.arange(round(start_s * sampling_hz), round(stop_s * sampling_hz) + 1)


def _breaks(segments: Any, n_samples: int) -> np.ndarray:
    """First samples of the segments."""
    if segments is None:
        return np.zeros(1, int)
    labels = np.asarray(segments)
    if labels.shape != (n_samples,):
        raise DataError(f"segments has shape {labels.shape}; expected one label per sample ({n_samples},)")
    return np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
