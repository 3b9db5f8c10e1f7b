"""What ridge regression needs to know of samples: sums, squares and products.

Moments add up over disjoint samples, so that those of a training set are those of all samples less
those of the test set, and nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from array_api_compat import array_namespace, size

from neuroalign.encoders.solvers.compute import Array

CHUNK = 2**21
"""Values turned into float64 at once."""


@dataclass(frozen=True)
class Moments:
    """Of the features of some samples, in float64.

    Attributes
    ----------
    count : int
        Number of samples.
    sums : array (n_features,)
    gram : array (n_features, n_features)
        X'X, not centred.
    """

    count: int
    sums: Array
    gram: Array

    @classmethod
    def of(cls, features: Array) -> Moments:
        """Moments of the rows of `features`, summed in float64 whatever their dtype."""
        sums, gram = 0.0, None
        for rows in in_float64(features):
            sums, product = sums + rows.sum(0), rows.T @ rows
            if gram is None:
                gram = product
            else:
                gram += product
        return cls(len(features), sums, gram)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.sums + other.sums, self.gram + other.gram)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.count - other.count, self.sums - other.sums, self.gram - other.gram)

    def about(self, mean: Array) -> Array:
        """The Gram matrix of features from which `mean` (n_features,) was subtracted."""
        half = self.sums - self.count / 2 * mean
        centred = self.gram - mean[:, None] * half
        centred -= half[:, None] * mean
        return centred


@dataclass(frozen=True)
class TargetMoments:
    """Of the features and a block of targets of some samples.

    Attributes
    ----------
    cross : array (n_features, n_targets)
        X'Y in the dtype of the data, not centred.
    sums, squares : arrays (n_targets,)
        Σy and Σy², float64.
    """

    cross: Array
    sums: Array
    squares: Array

    @classmethod
    def of(cls, features: Array, responses: Array) -> TargetMoments:
        """Moments of samples that stand in the same rows of both, in the dtype of the responses."""
        return cls(products(features, responses), *sums_and_squares(responses))

    def __add__(self, other: TargetMoments) -> TargetMoments:
        return TargetMoments(self.cross + other.cross, self.sums + other.sums, self.squares + other.squares)

    def __sub__(self, other: TargetMoments) -> TargetMoments:
        return TargetMoments(self.cross - other.cross, self.sums - other.sums, self.squares - other.squares)

    def about(self, mean: Array, count: int) -> tuple[Array, Array]:
        """Σ and Σ² of the targets less `mean` (n_targets,), for `count` samples."""
        squares = self.squares - 2 * mean * self.sums + count * mean**2
        return self.sums - count * mean, squares


def sums_and_squares(responses: Array) -> tuple[Array, Array]:
    """Σy and Σy² per target, summed in float64: what is left after subtractions is not rounding error."""
    xp = array_namespace(responses)
    squares = xp.sum(responses * responses, axis=0, dtype=xp.float64)
    return xp.sum(responses, axis=0, dtype=xp.float64), squares


def products(features: Array, responses: Array) -> Array:
    """X'Y, summed in float64 where the responses are."""
    if features.dtype == responses.dtype:
        return features.T @ responses
    total, start = 0.0, 0
    for rows in in_float64(features):
        total = total + rows.T @ responses[start : start + len(rows)]
        start += len(rows)
    return total


def in_float64(features: Array) -> Iterator[Array]:
    """Rows in float64, some at a time, so that no second copy of all of them is made."""
    xp = array_namespace(features)
    if features.dtype == xp.float64:
        yield features
        return
    rows = max(1, CHUNK * len(features) // (size(features) or 1))
    for start in range(0, max(1, len(features)), rows):
        yield xp.astype(features[start : start + rows], xp.float64)
