"""What every band of features explains alone, and what bands explain in common."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroalign.encoders.banded import BandedRidgeEncoder
from neuroalign.encoders.banding.bands import check_bands
from neuroalign.encoders.solvers.features import check_features
from neuroalign.errors import DataError

MOST_BANDS = 8
"""Of which 255 models are fitted."""

Subset = tuple[str, ...]


@dataclass(frozen=True)
class VariancePartition:
    """Held-out R² of models of all subsets of bands, and the parts it falls into.

    The part common to exactly the bands of a subset S, with S' the other bands, follows by inclusion and
    exclusion (commonality analysis; Mood 1971; Lescroart et al. 2015, Front. Comput. Neurosci. 9:135):

        C(S) = Σ_{T ⊆ S} (−1)^(|T| + 1) R²(T ∪ S'),        R²(∅) = 0.

    All parts sum to R² of all bands. For a single band it is the unique variance, R² of all less R² without
    the band. Parts of held-out R² may be negative, and are where bands help only together.

    Attributes
    ----------
    band_names : tuple of str
    r2 : dict of tuple of str to array (n_targets,)
        Held-out R² of every subset of bands, small ones first.
    """

    band_names: Subset
    r2: dict[Subset, np.ndarray]

    @property
    def whole(self) -> np.ndarray:
        """R² of all bands (n_targets,)."""
        return self.r2[self.band_names]

    @property
    def unique(self) -> np.ndarray:
        """What only this band explains (n_bands, n_targets)."""
        return np.stack([self.part(name) for name in self.band_names])

    @property
    def shared(self) -> np.ndarray:
        """What more than one band explains (n_targets,): all but the unique parts."""
        return self.whole - self.unique.sum(axis=0)

    def part(self, *names: str) -> np.ndarray:
        """What exactly these bands explain in common (n_targets,).

        Raises
        ------
        DataError
            A name is not a band's.
        """
        if unknown := set(names) - set(self.band_names):
            raise DataError(f"there is no band '{min(unknown)}'; the bands are {', '.join(self.band_names)}")
        others = set(self.band_names) - set(names)
        total = np.zeros_like(self.whole)
        for size in range(len(set(names)) + 1):
            for some in itertools.combinations(sorted(set(names)), size):
                subset = tuple(name for name in self.band_names if name in others or name in some)
                if subset:
                    total += (-1) ** (size + 1) * self.r2[subset]
        return total


def partition_variance(
    encoder: BandedRidgeEncoder, X: Any, Y: Any, X_test: Any, Y_test: Any
) -> VariancePartition:
    """Fit every subset of the bands with penalties and weights of its own, and score it on held-out samples.

    Parameters
    ----------
    encoder : BandedRidgeEncoder
        Its settings; it is not fitted itself.
    X, Y : arrays (n_samples, n_features), (n_samples, n_targets)
        To fit.
    X_test, Y_test : arrays (n_test, n_features), (n_test, n_targets)
        To score.

    Returns
    -------
    VariancePartition

    Raises
    ------
    DataError
        As `fit` and `score` do; candidates are given instead of their number; or there are more than
        `MOST_BANDS` bands.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 6))
    >>> Y = X[:, :3].sum(axis=1, keepdims=True) + rng.standard_normal((300, 1))
    >>> encoder = BandedRidgeEncoder({"sound": slice(0, 3), "words": slice(3, 6)}, n_candidates=8)
    >>> parts = partition_variance(encoder, X[:200], Y[:200], X[200:], Y[200:])
    >>> float(parts.unique[0, 0].round(1)), bool(abs(parts.shared[0]) < 0.05)
    (0.8, True)
    """
    X, X_test = check_features(X), check_features(X_test)
    bands = check_bands(encoder.bands, X.shape[1])
    if len(bands) > MOST_BANDS:
        raise DataError(f"{len(bands)} bands have {2 ** len(bands) - 1} subsets; give at most {MOST_BANDS}")
    if np.ndim(encoder.n_candidates):
        raise DataError("n_candidates holds candidates, which subsets of bands do not fit; give their number")
    names = tuple(bands)
    folds = encoder.folds if isinstance(encoder.folds, int | np.integer) else list(encoder.folds)
    settings = {**encoder.get_params(), "folds": folds}
    r2 = {}
    for size in range(1, len(names) + 1):
        for subset in itertools.combinations(names, size):
            columns = np.concatenate([bands[name] for name in subset])
            inside = _adjacent({name: bands[name] for name in subset})
            model = BandedRidgeEncoder(**{**settings, "bands": inside}).fit(X[:, columns], Y)
            r2[subset] = model.score(X_test[:, columns], Y_test, metric="r2")
    return VariancePartition(names, r2)


def _adjacent(bands: dict[str, np.ndarray]) -> dict[str, slice]:
    """The bands as they stand once their columns are put side by side."""
    edges = np.cumsum([0, *(len(columns) for columns in bands.values())])
    return {
        name: slice(int(start), int(stop))
        for name, (start, stop) in zip(bands, itertools.pairwise(edges), strict=True)
    }
