"""neuroalign's encoders, called as a user calls them; imported lazily, so that a missing one fails alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Answer, Problem, Shape, band_weights, stretches


def ridge(problem: Problem, primal: bool = True) -> Answer:
    """RidgeEncoder; `primal` forms the weights of the features, else those of the decomposition serve."""
    from neuroalign.encoders import RidgeEncoder

    encoder = RidgeEncoder(**_common(problem.shape)).fit(problem.features[0], problem.responses)
    return _answer([encoder], primal)


def layers(problem: Problem) -> Answer:
    """RidgeEncoder.fit_layers: one reading of the responses for all layers."""
    from neuroalign.encoders import RidgeEncoder

    encoders = RidgeEncoder(**_common(problem.shape)).fit_layers(problem.features, problem.responses)
    return _answer(encoders)


def banded(problem: Problem, search: bool = False) -> Answer:
    """BandedRidgeEncoder with the peer's candidates and its freedom of choice, or as it comes (`search`)."""
    from neuroalign.encoders import BandedRidgeEncoder

    shape = problem.shape
    own = (
        {"n_candidates": shape.candidates} if search else {"n_candidates": band_weights(shape), "pooling": 0}
    )
    encoder = BandedRidgeEncoder(bands=shape.bands, **own, **_common(shape))
    return _answer([encoder.fit(problem.features[0], problem.responses)])


def lagged(problem: Problem) -> Answer:
    """LaggedRidgeEncoder; every fold is a stretch of time apart."""
    from neuroalign.encoders import LaggedRidgeEncoder

    shape = problem.shape
    segments = np.repeat(np.arange(shape.folds), [part.stop - part.start for part in stretches(shape)])
    encoder = LaggedRidgeEncoder(lags=range(shape.lags), **_common(shape))
    return _answer([encoder.fit(problem.features[0], problem.responses, segments=segments)])


def lagged_one(problem: Problem) -> Answer:
    """LaggedRidgeEncoder on one recording with one alpha: there is nothing to choose."""
    from neuroalign.encoders import LaggedRidgeEncoder

    shape = problem.shape
    encoder = LaggedRidgeEncoder(lags=range(shape.lags), **_common(shape) | {"folds": None})
    return _answer([encoder.fit(problem.features[0], problem.responses)])


def _common(shape: Shape) -> dict[str, Any]:
    return {
        "alphas": shape.alphas,
        "folds": shape.folds,
        "metric": shape.metric,
        "threads": shape.threads,
        "device": shape.device,
    }


def _answer(encoders: list[Any], primal: bool = True) -> Answer:
    return Answer(
        lambda fresh: np.hstack([encoder.predict(x) for encoder, x in zip(encoders, fresh, strict=True)]),
        [array for encoder in encoders if primal for array in (encoder.coef_, encoder.intercept_)],
        np.hstack([encoder.best_alphas_ for encoder in encoders]),
        np.hstack([encoder.cv_scores_ for encoder in encoders]),
    )
