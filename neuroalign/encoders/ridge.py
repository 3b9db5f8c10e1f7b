"""Ridge regression with a regularisation strength of its own for every target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuroalign.artefacts.atomic import replacing
from neuroalign.encoders import store as storage
from neuroalign.encoders.linear import LinearEncoder
from neuroalign.encoders.solvers import freed
from neuroalign.encoders.solvers.arguments import (
    Metric,
    check_block,
    check_choice,
    check_groups,
    check_metric,
)
from neuroalign.encoders.solvers.compute import Compute, Dtype, host
from neuroalign.encoders.solvers.features import centre, check_features
from neuroalign.encoders.solvers.fitting import Choice, Fitted, fit_targets, weights_basis
from neuroalign.encoders.solvers.problems import Problem, Solver, problem_of
from neuroalign.encoders.solvers.rows import FoldRows
from neuroalign.encoders.solvers.targets import Targets, number_type
from neuroalign.errors import DataError

DEFAULT_ALPHAS = tuple(10.0**exponent for exponent in range(-2, 7))

HELD_BYTES = 2**31
"""Eigendecompositions of several layers are kept side by side up to about this size."""


class RidgeEncoder(LinearEncoder):
    """Ridge regression whose regularisation is chosen by cross-validation, per target.

    Minimises ‖y − b − X w‖² + α ‖w‖² for every target (Hoerl & Kennard 1970); α is the one of
    scikit-learn and himalaya. Features and targets are centred on the training samples of every
    fold. All α are scored from one eigendecomposition per fold, without forming predictions.

    Parameters
    ----------
    alphas : sequence of float
        Candidate regularisation strengths, all positive.
    folds : int, iterable of (train, test) index pairs, or None
        Contiguous folds, or your own: for time series hold out whole runs; None to fit with the only α
        there is.
    metric : {"r2", "r"}
        What chooses α: R² against the training mean, or Pearson r.
    scale : bool
        Divide every feature by its standard deviation in the training samples of the fold.
    alpha_per : {"target", "all"} or array of labels (n_targets,)
        Which targets share an α, the one with their best mean score.
    block : int
        Targets computed at once; bounds the memory.
    device : str, optional
        None computes with numpy; "cpu", "cuda", "cuda:1" with torch.
    scoring : {"bfloat16"}, optional
        Choose α by products in bfloat16, on a torch device that is fast at it: scores then err by some
        1e-3, weights do not.
    threads : int, optional
        CPU threads; as many as BLAS may use by default.

    Attributes
    ----------
    coef_ : array (n_features, n_targets)
        Primal weights; formed when first asked for.
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
        folds: int | Iterable[tuple[np.ndarray, np.ndarray]] | None = 5,
        metric: Metric = "r2",
        scale: bool = False,
        alpha_per: Literal["target", "all"] | Sequence | np.ndarray = "target",
        block: int = 512,
        device: str | None = None,
        scoring: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.alphas = alphas
        self.folds = folds
        self.metric = metric
        self.scale = scale
        self.alpha_per = alpha_per
        self.block = block
        self.device = device
        self.scoring = scoring
        self.threads = threads

    def fit(self, X: Any, Y: Any, store: str | Path | None = None) -> RidgeEncoder:
        """Choose α for every target, then fit all samples with it.

        Parameters
        ----------
        X : array (n_samples, n_features)
            float16, float32 or float64, numpy or torch; NaN or infinite values are an error.
        Y : array (n_samples, n_targets) or (n_samples,)
            Also a memory map, a Zarr or HDF5 array larger than memory. A target with NaN or infinite
            values is not fitted: its weights and scores are NaN.
        store : path, optional
            Folder to write the encoder to while it is fitted, as `save` would: its weights then need no
            memory. The folder is there once all is done.

        Returns
        -------
        RidgeEncoder
            Itself.

        Raises
        ------
        DataError
            X and Y do not fit together, X is not finite, a fold is empty, or an α is not positive.
        """
        plan = _Plan.of(self, [X], Y)
        if store is None:
            (found,) = plan.fit(None)
        else:
            with replacing(store) as folder:
                folder.mkdir()
                (found,) = plan.fit(folder)
                storage.finish(found, folder, type(self).__name__, self._settings(plan.targets.single))
            found = storage.load(store, type(self).__name__, self._fitted)[1]
        self._take(found, plan.targets.single)
        return self

    def fit_layers(self, layers: Sequence[Any], Y: Any) -> list[RidgeEncoder]:
        """Fit several layers' features, each (n_samples, n_features), to the same responses.

        Responses are read and centred once for as many layers as fit in memory side by side.

        Returns
        -------
        list of RidgeEncoder
            One per layer, as `fit` would make it. This encoder stays as it is.

        Raises
        ------
        DataError
            As in `fit`; or there are no layers.
        """
        plan = _Plan.of(self, layers, Y)
        encoders = [type(self)(**self.get_params()) for _ in layers]
        for encoder, found in zip(encoders, plan.fit(None), strict=True):
            encoder._take(found, plan.targets.single)
        return encoders


@dataclass(frozen=True)
class _Plan:
    """A fit of one or more layers, with everything checked before anything is computed."""

    layers: Sequence[Any]
    targets: Targets
    compute: Compute
    dtype: Dtype
    choice: Choice
    folds: list[FoldRows]
    scale: bool
    width: int

    @classmethod
    def of(cls, encoder: RidgeEncoder, layers: Sequence[Any], responses: Any) -> _Plan:
        if not len(layers):
            raise DataError("there are no layers; give at least one array of features")
        checked = [check_features(layer) for layer in layers]
        n_samples = len(checked[0])
        if any(len(layer) != n_samples for layer in checked):
            raise DataError(
                f"layers have {sorted({len(x) for x in checked})} samples; expected as many in all"
            )
        targets = Targets(responses, n_samples)
        compute = Compute.choose(encoder.device, encoder.threads, encoder.scoring)
        alphas, pairs = check_choice(encoder.alphas, encoder.folds, n_samples)
        kinds = {targets.dtype, *(number_type(layer, "X") for layer in checked)}
        return cls(
            checked,
            targets,
            compute,
            "float64" if "float64" in kinds else "float32",
            Choice(alphas, check_metric(encoder.metric), check_groups(encoder.alpha_per, targets.count)),
            [FoldRows.of(*pair, n_samples) for pair in pairs],
            encoder.scale,
            compute.width(check_block(encoder.block), targets.count),
        )

    def fit(self, folder: Path | None) -> Iterator[dict[str, np.ndarray]]:
        """What is fitted of every layer, in order; mapped to files of `folder` if there is one."""
        with self.compute.limited(self.compute.threads):
            for layers in self._batches():
                problems, means = [], []
                for layer in layers:
                    features, mean = centre(layer, self.compute, self.dtype)
                    problems.append(
                        problem_of(features, self.folds, self.compute, self.dtype, scale=self.scale)
                    )
                    means.append(mean)
                yield from self._fitted(problems, means, folder)

    def _fitted(
        self, problems: list[Problem], means: list[np.ndarray], folder: Path | None
    ) -> Iterator[dict[str, np.ndarray]]:
        """What is fitted of some layers side by side."""
        found: list[dict[str, np.ndarray]] = []

        def room(number: int, solver: Solver) -> Fitted:
            found.append(self._room(means[number], solver, folder))
            names = ("_weights", "best_alphas_", "cv_scores_", "cv_r_", "y_mean_")
            return Fitted(*(found[number][name] for name in names))

        solved = fit_targets(problems, self.targets, self.choice, self.width, room)
        freed.hand_back(problems[0].order)
        for arrays, problem, (fitted, solver) in zip(found, problems, solved, strict=True):
            if folder is None:
                arrays["_basis"] = weights_basis(fitted, solver, problem, self.choice, self.width)
            else:
                arrays["_basis"][:] = host(solver.basis(self.choice.least(fitted.best_alphas)))
            yield arrays

    def _batches(self) -> Iterator[list[Any]]:
        """Layers in groups whose decompositions may be held side by side; one by one where Y is in memory."""
        most = 0 if self.targets.resident else HELD_BYTES
        batch: list[Any] = []
        held = 0
        for layer in self.layers:
            rank = min(layer.shape[1], len(layer))
            size = (len(self.folds) + 1) * 3 * rank**2 * np.dtype(self.dtype).itemsize
            if batch and held + size > most:
                yield batch
                batch, held = [], 0
            batch, held = [*batch, layer], held + size
        yield batch

    def _room(self, mean: np.ndarray, solver: Solver, folder: Path | None) -> dict[str, np.ndarray]:
        """Arrays for what is found of a layer."""
        count, names = self.targets.count, ("y_mean_", "best_alphas_", "cv_scores_", "cv_r_")
        shapes = {
            "x_mean_": ((len(mean),), "float64"),
            **dict.fromkeys(names, ((count,), "float64")),
            "_weights": ((count, solver.rank), self.dtype),
        }
        if folder is None:
            found = {name: np.empty(*each) for name, each in shapes.items()}
        else:
            shapes["_basis"] = ((len(mean), solver.rank), solver.precision(self.choice.alphas[0]))
            found = storage.create(folder, shapes)
        found["x_mean_"][:] = mean
        return found
