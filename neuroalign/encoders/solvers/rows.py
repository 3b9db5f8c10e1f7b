"""Which samples each fold trains and tests on, in the form that costs least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold

from neuroalign.errors import DataError

Rows = slice | np.ndarray
"""Rows of an array: a slice where they are contiguous, so that no copy is made."""

Pairs = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class FoldRows:
    """One fold.

    Attributes
    ----------
    train, test : int arrays
    held : slice or int array
        The test samples.
    gap : slice or int array or None
        Samples of neither side; None if there are none.
    apart : bool
        Whether the training samples are all that are neither test nor gap, each once: then what is known of
        all samples gives what is known of these by subtraction.
    """

    train: np.ndarray
    test: np.ndarray
    held: Rows
    gap: Rows | None
    apart: bool

    @classmethod
    def of(cls, train: np.ndarray, test: np.ndarray, n_samples: int) -> FoldRows:
        """Describe a pair of index vectors."""
        used = np.bincount(np.concatenate([train, test]), minlength=n_samples)
        gap = np.flatnonzero(used == 0)
        apart = used.max() == 1 and len(gap) + len(test) < len(train)
        return cls(train, test, contiguous(test), contiguous(gap) if len(gap) else None, bool(apart))


def contiguous(index: np.ndarray) -> Rows:
    """The index as a slice, if it is one."""
    first, last = int(index[0]), int(index[-1])
    if last - first == len(index) - 1 and (np.diff(index) == 1).all():
        return slice(first, last + 1)
    return index


def cover(folds: Sequence[FoldRows], n_samples: int) -> bool:
    """Whether every sample is tested exactly once."""
    if not folds:
        return False
    tested = np.concatenate([fold.test for fold in folds])
    return len(tested) == n_samples and bool((np.bincount(tested, minlength=n_samples) == 1).all())


def check_folds(folds: int | Iterable[tuple[np.ndarray, np.ndarray]], n_samples: int) -> Pairs:
    """Pairs of training and test indices: contiguous blocks for a number, else those given.

    Raises
    ------
    DataError
        Fewer than two blocks, more than samples, no pairs, a side that is empty, outside the samples or on
        both sides.
    """
    if isinstance(folds, int | np.integer) and not 2 <= folds <= n_samples:
        raise DataError(f"folds is {folds}; expected 2 to {n_samples} (n_samples = {n_samples})")
    given = KFold(int(folds)).split(np.empty(n_samples)) if isinstance(folds, int | np.integer) else folds
    try:
        given = [(np.asarray(train), np.asarray(test)) for train, test in given]
    except (TypeError, ValueError) as error:
        kind = type(folds).__name__
        raise DataError(
            f"folds is a {kind}; expected a number, or pairs of indices (train, test) ({error})"
        ) from None
    pairs = [(_indices(train, n_samples), _indices(test, n_samples)) for train, test in given]
    if not pairs:
        raise DataError("folds is empty; give at least one (train, test) pair")
    for number, (train, test) in enumerate(pairs):
        if len(train) < 2 or not len(test):
            raise DataError(
                f"fold {number} has {len(train)} training and {len(test)} test samples; it needs both"
            )
        trained = np.zeros(n_samples, bool)
        trained[train] = True
        if trained[test].any():
            raise DataError(f"fold {number} has samples in both training and test; they must be apart")
    return pairs


def _indices(index: np.ndarray, n_samples: int) -> np.ndarray:
    """Indices, also where a mask was given."""
    if index.dtype == bool and index.shape == (n_samples,):
        index = np.flatnonzero(index)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise DataError(
            f"folds hold {index.dtype} values of shape {index.shape}; expected vectors of integers, or masks "
            f"({n_samples},)"
        )
    if index.size and (index.min() < -n_samples or index.max() >= n_samples):
        raise DataError(f"folds hold indices beyond {n_samples} samples; expected 0 to {n_samples - 1}")
    return index.astype(np.intp) % n_samples
