"""Ridge regression on feature spaces that each have a regularisation of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from neuroalign.encoders.banding.bands import Bands, check_bands
from neuroalign.encoders.banding.candidates import check_candidates
from neuroalign.encoders.banding.pooling import FIRST
from neuroalign.encoders.banding.search import search
from neuroalign.encoders.banding.trials import Contest
from neuroalign.encoders.banding.winners import fit_chosen
from neuroalign.encoders.linear import LinearEncoder
from neuroalign.encoders.ridge import DEFAULT_ALPHAS
from neuroalign.encoders.solvers.arguments import Metric, check_block, check_grid, check_metric
from neuroalign.encoders.solvers.compute import Array, Compute, Dtype, host
from neuroalign.encoders.solvers.features import centre, check_features
from neuroalign.encoders.solvers.problems import problem_of
from neuroalign.encoders.solvers.rows import FoldRows, check_folds
from neuroalign.encoders.solvers.targets import Targets, number_type
from neuroalign.errors import DataError
from neuroalign.metrics import product_measure

DUAL = 2
"""From this ratio of features to samples on, dual weights take less memory, although in float64."""


class BandedRidgeEncoder(LinearEncoder):
    """Ridge regression whose features come in bands, each with a regularisation of its own per target.

    Minimises ‖y − b − Σ_b X_b w_b‖² + α Σ_b ‖w_b‖² / γ_b, with weights γ of the bands that are not negative
    and sum to 1; a band of weight 0 is left out (Nunez-Elizalde et al. 2019, NeuroImage 197:482; Dupré la
    Tour et al. 2022, NeuroImage 264:119728). Bands alike in scale make γ comparable: divide every band by
    the root of its total variance.

    Candidates of γ are the centre and corners of the simplex, points spread over it, and, for the last
    third, points near those that targets chose so far. All are scored with every α from statistics that are
    taken once. Of more than 512 targets, 512 at even distances try all candidates, the others a shortlist
    that serves these nearly as well. How freely a target chooses is learned from the data: see `pooling`.

    Parameters
    ----------
    bands : dict of str to columns, or sequence of int
        Slice, indices or mask of every band's columns, or the widths of adjacent bands. Every column is in
        one band.
    alphas : sequence of float
        Candidate regularisation strengths, all positive.
    folds : int or iterable of (train, test) index pairs
        Contiguous folds, or your own: for time series hold out whole runs.
    n_candidates : int or array (n_candidates, n_bands)
        How many γ to try, at least one more than bands; or the γ to try.
    metric : {"r2", "r"}
        What chooses γ and α: R² against the training mean, or Pearson r.
    pooling : float, optional
        0 lets every target choose its γ by itself, 1 gives all targets the γ that is best for them on
        average; in between, candidates are ranked by a mixture of both scores; 2 gives all bands the same
        weight (the first of the candidates, if they are given). By default learned: every fold in turn is
        held out of the choice and scores it, and caution wins unless it scores worse. Choosing freely
        does so on short recordings. With a single fold, targets choose by themselves.
    seed : int
        Of the candidates.
    block : int
        Targets computed at once.
    device : str, optional
        None computes with numpy; "cpu", "cuda", "cuda:1" with torch.
    threads : int, optional
        CPU threads; as many as BLAS may use by default.

    Attributes
    ----------
    band_names_ : list of str
    band_weights_ : array (n_bands, n_targets)
        γ; NaN for targets that are not finite.
    best_alphas_ : array (n_targets,)
        Ties go to the larger α.
    cv_scores_, cv_r_ : arrays (n_targets,)
        Mean of `metric`, and of Pearson r, over the folds with the chosen γ and α.
    pooling_ : float
        As given, or learned.
    candidates_ : array (n_candidates, n_bands)
        All γ that were tried.
    coef_ : array (n_features, n_targets)
        Primal weights; formed when first asked for.
    intercept_ : array (n_targets,)

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 40))
    >>> Y = X[:, :4] @ rng.standard_normal((4, 3)) + rng.standard_normal((80, 3))
    >>> encoder = BandedRidgeEncoder({"sound": slice(0, 4), "words": slice(4, 40)}, n_candidates=10)
    >>> encoder.fit(X, Y).band_weights_.shape
    (2, 3)
    >>> bool((encoder.band_weights_[0] > 0.9).all()), encoder.predict(X, split=True).shape
    (True, (2, 80, 3))
    """

    _fitted: ClassVar[tuple[str, ...]] = (
        *LinearEncoder._fitted,
        "band_weights_",
        "candidates_",
        "pooling_",
    )

    def __init__(
        self,
        bands: Bands,
        alphas: Sequence[float] | np.ndarray = DEFAULT_ALPHAS,
        folds: int | Iterable[tuple[np.ndarray, np.ndarray]] = 5,
        n_candidates: int | np.ndarray = 30,
        metric: Metric = "r2",
        pooling: float | None = None,
        seed: int = 0,
        block: int = 512,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.bands = bands
        self.alphas = alphas
        self.folds = folds
        self.n_candidates = n_candidates
        self.metric = metric
        self.pooling = pooling
        self.seed = seed
        self.block = block
        self.device = device
        self.threads = threads

    def fit(self, X: Any, Y: Any) -> BandedRidgeEncoder:
        """Choose γ and α for every target, then fit all samples with them.

        Parameters
        ----------
        X : array (n_samples, n_features)
            float16, float32 or float64, numpy or torch; NaN or infinite values are an error.
        Y : array (n_samples, n_targets) or (n_samples,)
            Also a memory map, a Zarr or HDF5 array. A target with NaN or infinite values is not fitted: its
            weights and scores are NaN.

        Returns
        -------
        BandedRidgeEncoder
            Itself.

        Raises
        ------
        DataError
            X, Y and the bands do not fit together, X is not finite, a fold is empty, an α is not positive,
            candidates are not on the simplex, or `pooling` is none of its values.
        """
        X = check_features(X)
        n_samples, n_features = X.shape
        targets = Targets(Y, n_samples)
        columns = list(check_bands(self.bands, n_features).values())
        alphas, metric = check_grid(self.alphas), check_metric(self.metric)
        folds = [FoldRows.of(*pair, n_samples) for pair in check_folds(self.folds, n_samples)]
        candidates = check_candidates(self.n_candidates, len(columns))
        self._check_settings()
        dtype: Dtype = "float64" if "float64" in (targets.dtype, number_type(X, "X")) else "float32"
        compute = Compute.choose(self.device, self.threads)
        with compute.limited(compute.threads):
            features, mean = centre(X, compute, dtype)
            problem = problem_of(features, folds, compute, dtype, columns)
            contest = Contest(problem, targets, alphas, metric, self.block)
            choice = search(contest, candidates, len(columns), self.pooling, self.seed)
            dual = n_features > DUAL * n_samples
            n_weights = n_samples if dual else n_features
            weights, y_mean, bad = fit_chosen(problem, targets, choice, n_weights, dual, self.block)
        for each in (choice.weights, choice.alphas, choice.score, choice.r):
            each[..., bad] = np.nan
        found = {
            "x_mean_": mean,
            "y_mean_": y_mean,
            "best_alphas_": choice.alphas,
            "cv_scores_": choice.score,
            "cv_r_": choice.r,
            "band_weights_": choice.weights,
            "candidates_": choice.tried,
            "pooling_": np.array(choice.degree, float),
            "_weights": weights,
            "_basis": host(features).T if dual else np.empty((0, 0), dtype),
        }
        self._take(found, targets.single)
        return self

    @property
    def coef_(self) -> np.ndarray:
        """Weights (n_features, n_targets)."""
        check_is_fitted(self, "x_mean_")
        if not len(self._basis):
            return self._weights.T
        coef = np.empty((self.n_features_in_, len(self._weights)), self._basis.dtype)
        for columns, weight in zip(self._columns, self.band_weights_, strict=True):
            coef[columns] = (self._basis[columns].astype(float) @ self._weights.T) * weight
        return coef

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts (n_targets,)."""
        check_is_fitted(self, "x_mean_")
        return self.y_mean_ - np.sum(list(self._parts(self.x_mean_[None])), axis=0)[0]

    def predict(self, X: Any, split: bool = False) -> np.ndarray:
        """Predicted responses (n_samples, n_targets), or what every band adds to the intercept.

        Parameters
        ----------
        X : array (n_samples, n_features)
        split : bool
            Return (n_bands, n_samples, n_targets): these sum to the prediction less `intercept_`.
        """
        check_is_fitted(self, "x_mean_")
        parts = self._parts(self._about_mean(X))
        if split:
            offset = self._parts(self.x_mean_[None])
            predicted = np.stack([part + more for part, more in zip(parts, offset, strict=True)])
        else:
            predicted = sum(parts) + self.y_mean_.astype(self._basis.dtype)
        return predicted[..., 0] if self._single else predicted

    def score_bands(self, X: Any, Y: Any) -> np.ndarray:
        """The R² of all bands, split among them by the product measure: (n_bands, n_targets).

        With y the responses about their mean and ŷ = Σ_b ŷ_b the prediction about the same, band b scores
        Σ ŷ_b (2 y − ŷ) / Σ y², sums over samples (Hoffman 1960, Psychological Bulletin 57:116; Pratt 1987;
        himalaya's `r2_score_split`). The scores sum to `score(X, Y, metric="r2")`. ŷ_b is about the training
        means; what the means of training and test responses differ by is shared out as γ is.
        A band's score may be negative. NaN if Y is constant.
        """
        check_is_fitted(self, "x_mean_")
        parts = np.stack(list(self._parts(self._about_mean(X))))
        Targets(Y, parts.shape[1])
        observed = host(Y).reshape(parts.shape[1:])
        reference = observed.mean(axis=0, dtype=np.float64)
        offset = self.band_weights_ * (self.y_mean_ - reference)
        return product_measure(parts + offset[:, None, :], observed, reference)

    def _check_settings(self) -> None:
        if self.pooling is not None and not (0 <= self.pooling <= 1 or self.pooling == FIRST):
            raise DataError(f"pooling is {self.pooling}; expected 0 to 1, 2, or None to learn it")
        check_block(self.block)

    def _about_mean(self, X: Any) -> Array:
        X = self._fitting(X)
        features = host(X).astype(np.float64) - self.x_mean_
        if not np.isfinite(features).all():
            raise DataError(f"X holds {int((~np.isfinite(features)).sum())} NaN or infinite values")
        return features

    def _parts(self, features: np.ndarray) -> Iterator[np.ndarray]:
        """What every band predicts (n_samples, n_targets) from features without an intercept."""
        compute, kind = Compute.choose(self.device, self.threads), str(self._weights.dtype)
        weights = compute.put(self._weights, kind)
        for columns, weight in zip(self._columns, self.band_weights_, strict=True):
            inside = compute.put(features[:, columns], kind)
            if len(self._basis):
                inside = compute.product(inside, compute.put(self._basis[columns], kind))
                yield (host(compute.product(inside, weights.T)) * weight).astype(self._basis.dtype)
            else:
                yield host(compute.product(inside, weights[:, compute.index(columns)].T))

    def _take(self, arrays: dict[str, np.ndarray], single: bool) -> None:
        super()._take(arrays, single)
        self.pooling_ = float(arrays["pooling_"])
        bands = check_bands(self.bands, self.n_features_in_)
        self.band_names_, self._columns = list(bands), list(bands.values())

    def _settings(self, single: bool) -> dict[str, Any]:
        columns = zip(self.band_names_, self._columns, strict=True)
        return {**super()._settings(single), "bands": {name: each.tolist() for name, each in columns}}
