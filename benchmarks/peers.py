"""Other people's ridge, called at its fastest.

Every function takes a problem and returns an answer; what it imports is imported by the warm-up. Where a
package leaves a choice (solver, batch, dtype, centring), the fastest found on two cores is taken, and the
comment says so.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from problem import Answer, Problem, band_weights, lagged, stretches

# Targets and alphas at once. As it comes, himalaya takes all of both: slower and larger.
BATCHES: dict[str, dict[str, int | None]] = {
    "numpy": {"n_targets_batch": 500, "n_alphas_batch": 5},
    "torch": {"n_targets_batch": 2000, "n_alphas_batch": 1},
    "torch_cuda": {"n_targets_batch": None, "n_alphas_batch": None},
}


def himalaya_ridge(problem: Problem, backend: str = "numpy", batched: bool = True) -> Answer:
    """RidgeCV; one fit per layer."""
    from himalaya.ridge import RidgeCV

    xp = _himalaya(backend)
    models = []
    for features in problem.features:
        model = RidgeCV(
            alphas=xp.asarray(np.array(problem.shape.alphas, np.float32)),
            fit_intercept=True,
            cv=problem.shape.folds,
            solver_params=_scored(backend, batched) | {"warn": False},
        )
        models.append(model.fit(xp.asarray(features), xp.asarray(problem.responses)))
    return Answer(
        lambda fresh: np.hstack(
            [xp.to_numpy(m.predict(xp.asarray(x))) for m, x in zip(models, fresh, strict=True)]
        ),
        [xp.to_numpy(model.coef_) for model in models],
        np.hstack([xp.to_numpy(model.best_alphas_) for model in models]),
        np.hstack([xp.to_numpy(model.cv_scores_) for model in models]),
    )


def himalaya_kernel(problem: Problem, backend: str = "numpy", primal: bool = False) -> Answer:
    """KernelRidgeCV with a linear kernel; `primal` forms the weights of the features too."""
    from himalaya.kernel_ridge import KernelRidgeCV

    xp = _himalaya(backend)
    model = KernelRidgeCV(
        alphas=xp.asarray(np.array(problem.shape.alphas, np.float32)),
        fit_intercept=True,
        cv=problem.shape.folds,
        solver_params=_scored(backend, batched=True),
        warn=False,
    )
    model.fit(xp.asarray(problem.features[0]), xp.asarray(problem.responses))
    alphas, scores = xp.to_numpy(model.best_alphas_), xp.to_numpy(model.cv_scores_)
    if not primal:
        dual = [xp.to_numpy(model.dual_coef_)]
        return Answer(lambda fresh: xp.to_numpy(model.predict(xp.asarray(fresh[0]))), dual, alphas, scores)
    weights, intercept = xp.to_numpy(model.get_primal_coef()), xp.to_numpy(model.intercept_)
    return Answer(lambda fresh: fresh[0] @ weights + intercept, [weights], alphas, scores)


def himalaya_banded(problem: Problem, backend: str = "numpy", search: bool = False) -> Answer:
    """GroupRidgeCV with given candidates, or its own random search on the simplex (`search`)."""
    from himalaya.ridge import GroupRidgeCV

    xp, shape = _himalaya(backend), problem.shape
    model = GroupRidgeCV(
        groups=np.repeat(np.arange(len(shape.bands)), shape.bands),
        fit_intercept=True,
        cv=shape.folds,
        random_state=0,
        solver_params=_scored(backend, batched=True)
        | {
            "n_iter": shape.candidates if search else xp.asarray(band_weights(shape)),
            "alphas": xp.asarray(np.array(shape.alphas, np.float32)),
            "progress_bar": False,
            "warn": False,
        },
    )
    model.fit(xp.asarray(problem.features[0]), xp.asarray(problem.responses))
    return Answer(
        lambda fresh: xp.to_numpy(model.predict(xp.asarray(fresh[0]))),
        [xp.to_numpy(model.coef_)],
        xp.to_numpy(model.best_alphas_),
        xp.to_numpy(model.cv_scores_).max(axis=0),
    )


def sklearn_ridge(problem: Problem) -> Answer:
    """A loop of Ridge over folds and alphas, then one refit per alpha that some target chose.

    RidgeCV has one alpha per target only with leave-one-out. Cholesky is the fastest solver for many
    samples; samples are centred once per fold, so that Ridge neither copies nor centres again.
    """
    from sklearn import config_context
    from sklearn.linear_model import Ridge

    def weights(alpha: float, features: np.ndarray, responses: np.ndarray) -> np.ndarray:
        model = Ridge(alpha=alpha, solver="cholesky", fit_intercept=False, copy_X=False)
        return np.atleast_2d(model.fit(features, responses).coef_).T

    shape = problem.shape
    X, Y = _samples(problem), problem.responses
    scores = np.zeros((len(shape.alphas), shape.targets))
    with config_context(assume_finite=True):
        for train, test in _folds(problem):
            x_mean, y_mean = X[train].mean(axis=0), Y[train].mean(axis=0)
            x, y = X[train] - x_mean, Y[train] - y_mean
            x_test, y_test = X[test] - x_mean, Y[test] - y_mean
            for number, alpha in enumerate(shape.alphas):
                scores[number] += _score(shape.metric, y_test, x_test @ weights(alpha, x, y)) / shape.folds
        best = scores.argmax(axis=0)
        x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
        x, y = X - x_mean, Y - y_mean
        coef = np.empty((x.shape[1], shape.targets), np.float32)
        for number in np.unique(best):
            coef[:, best == number] = weights(shape.alphas[number], x, y[:, best == number])
    intercept = y_mean - x_mean @ coef
    return Answer(
        lambda fresh: (lagged(fresh[0], shape.lags) if shape.lags else fresh[0]) @ coef + intercept,
        [coef],
        np.array(shape.alphas)[best],
        scores.max(axis=0),
    )


def fracridge_loop(problem: Problem) -> Answer:
    """`fracridge` with as many fractions as alphas, per fold; then one fit, each target's fraction taken.

    Its estimators call a scikit-learn function that changed since; they loop in the same way, but choose one
    fraction for all targets. Predictions are made in float32: its weights are float64 whatever it gets.
    """
    from fracridge import fracridge

    shape = problem.shape
    X, Y = problem.features[0], problem.responses
    fractions = np.linspace(1, 0, len(shape.alphas), endpoint=False)[::-1]
    scores = np.zeros((len(fractions), shape.targets))
    for train, test in _folds(problem):
        x_mean, y_mean = X[train].mean(axis=0), Y[train].mean(axis=0)
        coef, _ = fracridge(X[train] - x_mean, Y[train] - y_mean, fractions)
        x_test, y_test = X[test] - x_mean, Y[test] - y_mean
        for number in range(len(fractions)):
            predicted = x_test @ coef[:, number].astype(np.float32)
            scores[number] += _score(shape.metric, y_test, predicted) / shape.folds
    best = scores.argmax(axis=0)
    x_mean, y_mean = X.mean(axis=0), Y.mean(axis=0)
    coef, _ = fracridge(X - x_mean, Y - y_mean, fractions)
    chosen = coef[:, best, np.arange(shape.targets)].astype(np.float32)
    intercept = y_mean - x_mean @ chosen
    return Answer(lambda fresh: fresh[0] @ chosen + intercept, [chosen], scores=scores.max(axis=0))


def mtrf(problem: Problem) -> Answer:
    """mTRFpy: one trial per fold, covariances kept, one λ per channel.

    It averages covariances over trials, so that λ is α over the number of training trials; its last fit,
    on one trial more, thus shrinks a little more than α says.
    """
    from mtrf import TRF

    shape = problem.shape
    parts = stretches(shape)
    model = TRF(direction=1, method="ridge", preload=True)
    r = model.train(
        [problem.features[0][part] for part in parts],
        [problem.responses[part] for part in parts],
        fs=1,
        tmin=0,
        tmax=shape.lags - 1,
        regularization=np.array(shape.alphas) / (shape.folds - 1),
        k=shape.folds,
        verbose=False,
        reg_per_y_channel=True,
    )
    return Answer(
        lambda fresh: model.predict([fresh[0]])[0],
        [model.weights],
        model.regularization * (shape.folds - 1),
        r.max(axis=0),
    )


def mne_ridge(problem: Problem, epochs: bool = True) -> Answer:
    """MNE's TimeDelayingRidge, which has one alpha and no cross-validation.

    Folds as epochs are faster than one recording, which is what most users have.
    """
    import mne
    from mne.decoding import ReceptiveField, TimeDelayingRidge

    mne.set_log_level("ERROR")
    shape = problem.shape
    span = {"tmin": 0, "tmax": shape.lags - 1, "sfreq": 1}
    (alpha,) = shape.alphas
    model = ReceptiveField(**span, estimator=TimeDelayingRidge(**span, alpha=alpha))

    def shaped(array: np.ndarray) -> np.ndarray:
        return np.stack([array[part] for part in stretches(shape)], axis=1) if epochs else array

    model.fit(shaped(problem.features[0]), shaped(problem.responses))
    return Answer(lambda fresh: model.predict(fresh[0]), [model.coef_], np.full(shape.targets, alpha))


def mne_cross_validated(problem: Problem) -> Answer:
    """MNE's TimeDelayingRidge, fitted and scored for every alpha and fold, then once more with the best ones.

    Folds are epochs, and r is computed as for the others; alphas that no channel prefers are not fitted
    again.
    """
    import mne
    from mne.decoding import ReceptiveField, TimeDelayingRidge

    mne.set_log_level("ERROR")
    shape, parts = problem.shape, stretches(problem.shape)
    span = {"tmin": 0, "tmax": shape.lags - 1, "sfreq": 1}
    features, responses = (
        np.stack([array[part] for part in parts], axis=1)
        for array in (problem.features[0], problem.responses)
    )

    def fitted(alpha: float, epochs: np.ndarray) -> ReceptiveField:
        model = ReceptiveField(**span, estimator=TimeDelayingRidge(**span, alpha=alpha))
        return model.fit(features[:, epochs], responses[:, epochs])

    scores = np.zeros((len(shape.alphas), shape.targets))
    for row, alpha in zip(scores, shape.alphas, strict=True):
        for fold in range(shape.folds):
            model = fitted(alpha, np.delete(np.arange(shape.folds), fold))
            row += _score("r", responses[:, fold], model.predict(features[:, [fold]])[:, 0]) / shape.folds
    best = np.array(shape.alphas)[scores.argmax(axis=0)]
    models = {alpha: fitted(alpha, np.arange(shape.folds)) for alpha in np.unique(best)}

    def predict(fresh: list[np.ndarray]) -> np.ndarray:
        found = np.empty((len(fresh[0]), shape.targets))
        for alpha, model in models.items():
            found[:, best == alpha] = model.predict(fresh[0])[:, best == alpha]
        return found

    return Answer(predict, [model.coef_ for model in models.values()], best, scores.max(axis=0))


def sklearn_by_latency(problem: Problem) -> Answer:
    """RidgeCV for one latency after the other, as MNE's SlidingEstimator goes through them.

    It holds out one sample at a time, in closed form: the only way in which it has an alpha per target, and
    its fastest. SlidingEstimator itself slides over features, not over responses.
    """
    from sklearn.linear_model import RidgeCV

    shape, channels = problem.shape, 63
    models = []
    for start in range(0, shape.targets, channels):
        model = RidgeCV(alphas=shape.alphas, alpha_per_target=True)
        models.append(model.fit(problem.features[0], problem.responses[:, start : start + channels]))
    return Answer(
        lambda fresh: np.hstack([model.predict(fresh[0]) for model in models]),
        [model.coef_ for model in models],
        np.hstack([model.alpha_ for model in models]),
    )


def _himalaya(backend: str) -> ModuleType:
    from himalaya.backend import set_backend

    return set_backend(backend)


def _scored(backend: str, batched: bool) -> dict[str, Any]:
    """Its own loss made R² against the training mean, like ours; its r2_score takes the mean of the test."""
    from himalaya.scoring import l2_neg_loss

    def r2(true: Any, predicted: Any) -> Any:
        return 1 + l2_neg_loss(true, predicted) / (true**2).mean(0)

    return {"score_func": r2} | (BATCHES[backend] if batched else {})


def _samples(problem: Problem) -> np.ndarray:
    features, shape = problem.features[0], problem.shape
    if not shape.lags:
        return features
    return np.vstack([lagged(features[part], shape.lags) for part in stretches(shape)])


def _folds(problem: Problem) -> list[tuple[np.ndarray, slice]]:
    everything = np.arange(problem.shape.samples)
    return [(np.delete(everything, part), part) for part in stretches(problem.shape)]


def _score(metric: str, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """R² or r per target; `true` is less the training mean. Overwrites `predicted`."""
    if metric == "r2":
        predicted -= true
        return 1 - np.einsum("nt,nt->t", predicted, predicted) / np.einsum("nt,nt->t", true, true)
    predicted -= predicted.mean(axis=0)
    centred = true - true.mean(axis=0)
    products = [
        np.einsum("nt,nt->t", a, b)
        for a, b in ((centred, predicted), (centred, centred), (predicted, predicted))
    ]
    return products[0] / np.sqrt(products[1] * products[2])
