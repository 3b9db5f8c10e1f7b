"""What both sides are given, and what both must deliver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

FRESH_SAMPLES = 500


@dataclass(frozen=True)
class Shape:
    """Size and settings of a problem.

    `layers` feature matrices share one response matrix; `bands` are the widths of feature spaces side
    by side; `lags` is the number of lags from 0 on (0: samples are independent).
    """

    samples: int
    features: int
    targets: int
    alphas: tuple[float, ...]
    metric: str = "r2"
    folds: int = 5
    layers: int = 1
    bands: tuple[int, ...] = ()
    candidates: int = 0
    lags: int = 0
    threads: int = 2
    device: str | None = None


@dataclass(frozen=True)
class Problem:
    """A shape with its arrays, all float32; `fresh` samples judge, and are never fitted."""

    shape: Shape
    features: list[np.ndarray]
    responses: np.ndarray
    fresh_features: list[np.ndarray]
    fresh_responses: np.ndarray

    def save(self, folder: Path) -> None:
        """Write the arrays, one file each."""
        for number, (known, fresh) in enumerate(zip(self.features, self.fresh_features, strict=True)):
            np.save(folder / f"features{number}.npy", known)
            np.save(folder / f"fresh{number}.npy", fresh)
        np.save(folder / "responses.npy", self.responses)
        np.save(folder / "fresh.npy", self.fresh_responses)

    @classmethod
    def load(cls, folder: Path, shape: Shape) -> Problem:
        """Read what `save` wrote."""
        return cls(
            shape,
            [np.load(folder / f"features{number}.npy") for number in range(shape.layers)],
            np.load(folder / "responses.npy"),
            [np.load(folder / f"fresh{number}.npy") for number in range(shape.layers)],
            np.load(folder / "fresh.npy"),
        )


@dataclass(frozen=True)
class Answer:
    """What a side delivers: a model that predicts, and how it was chosen. Several layers lie side by side.

    `alphas` (targets,) is None where a side does not choose among the given ones; `scores` (targets,) are
    cross-validated, at the choice, None where a side has none. `weights` are held, so that they count.
    """

    predict: Callable[[list[np.ndarray]], np.ndarray]
    weights: list[np.ndarray]
    alphas: np.ndarray | None = None
    scores: np.ndarray | None = None


def plant(shape: Shape, seed: int = 0) -> Problem:
    """Responses that depend on the features, with a signal share of 1 % to 80 % from target to target."""
    rng = np.random.default_rng(seed)
    known, fresh = slice(shape.samples), slice(shape.samples, None)
    features = _features(rng, shape)
    signal = np.sum([_signal(rng, shape, matrix) for matrix in features], axis=0)
    share = rng.permutation(np.geomspace(0.01, 0.8, shape.targets, dtype=np.float32))
    responses = signal * (np.sqrt(share) / signal.std(axis=0))
    responses += np.sqrt(1 - share) * rng.standard_normal(responses.shape, dtype=np.float32)
    return Problem(
        shape,
        [matrix[known].copy() for matrix in features],
        responses[known].copy(),
        [matrix[fresh].copy() for matrix in features],
        responses[fresh].copy(),
    )


def band_weights(shape: Shape) -> np.ndarray:
    """Candidates (candidates, bands) of both sides, on the simplex; none is 0: himalaya divides by them."""
    drawn = np.random.default_rng(0).dirichlet([0.5] * len(shape.bands), shape.candidates) + 1e-3
    weights: np.ndarray = (drawn / drawn.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def lagged(features: np.ndarray, lags: int) -> np.ndarray:
    """The matrix (samples, lags × features) of one uninterrupted stretch; zero before its start."""
    n, width = features.shape
    matrix = np.zeros((n, lags, width), features.dtype)
    for lag in range(lags):
        matrix[lag:, lag] = features[: n - lag]
    return matrix.reshape(n, lags * width)


def stretches(shape: Shape) -> list[slice]:
    """The contiguous folds of scikit-learn's KFold; where samples are lagged, each is a stretch apart."""
    edges = np.cumsum([0] + [len(part) for part in np.array_split(np.arange(shape.samples), shape.folds)])
    return [slice(int(start), int(stop)) for start, stop in pairwise(edges)]


def _features(rng: np.random.Generator, shape: Shape) -> list[np.ndarray]:
    """Features with a falling spectrum: each layer mixes the same sources in its own way, and adds noise."""
    n, width = shape.samples + FRESH_SAMPLES, shape.features
    sources = rng.standard_normal((n, min(width, 256)), dtype=np.float32)
    sources *= np.arange(1, sources.shape[1] + 1, dtype=np.float32) ** -0.5
    layers = []
    for _ in range(shape.layers):
        layers.append(sources @ rng.standard_normal((sources.shape[1], width), dtype=np.float32))
        layers[-1] += 0.5 * rng.standard_normal((n, width), dtype=np.float32)
    return layers


def _signal(rng: np.random.Generator, shape: Shape, features: np.ndarray) -> np.ndarray:
    """What the features say about every target; each target prefers bands of its own."""
    seen = lagged(features, shape.lags) if shape.lags else features
    weights = rng.standard_normal((seen.shape[1], shape.targets), dtype=np.float32)
    if shape.bands:
        preference = rng.dirichlet([0.3] * len(shape.bands), shape.targets).T.astype(np.float32)
        weights *= np.repeat(np.sqrt(preference), shape.bands, axis=0)
    return seen @ weights
