"""Held-out correlations beyond nuisance, and the same with responses moved against predictions.

Folds are not independent of each other. A linear prediction of run i from the others is Σ_j H_ij y_j, so
fold i scores Σ_j y_i' H_ij y_j. Every pair of runs comes up twice, as y_i' H_ij y_j when i is held out and
as y_j' H_ji y_i when j is. Without signal the two are all but the same number (H_ji ≈ H_ij'), so that the
mean over folds has up to twice the variance that independent folds would have, whatever their number.
Shifting each fold by itself loses this; whoever asks therefore says how much wider the null is to be.

Nuisance features take room: n samples with k of them projected out have n − 1 − k degrees of freedom, and
two sides in that little room correlate more by chance than a side that is moved out of it again. The
correlation with a moved response is therefore taken over the length of what the nuisance leaves of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from neuroalign.alignment.inference.moves import Segment
from neuroalign.metrics import nuisance_basis, residual

SHARED_PAIRS = np.sqrt(2)
"""How much wider the mean over folds spreads than that of independent folds; see above."""

TRIED = 16
"""Moves from which it is learned how much of a moved response the nuisance leaves."""


@dataclass(frozen=True)
class Sides:
    """Held-out predictions and responses (n_samples, n_targets)."""

    predicted: np.ndarray
    observed: np.ndarray


def null_scores(
    of: Sides,
    nuisance: np.ndarray,
    segments: Sequence[Sequence[Segment]],
    moves: Sequence[Sequence[np.ndarray]],
    widened: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The statistic (n_targets,) and its null distribution (n_permutations, n_targets).

    Parameters
    ----------
    of : Sides
    nuisance : array (n_samples, n_nuisance)
    segments : for every fold, what changes places
    moves : for every fold and segment, what `moves_of` gives
    widened : float
        By how much the null is wider than that of independent folds.
    """
    statistic, null = np.zeros(of.observed.shape[1]), 0.0
    for parts, orders in zip(segments, moves, strict=True):
        samples = np.concatenate([part.samples for part in parts])
        beside = nuisance[samples]
        sides = [residual(source[samples], beside) for source in (of.predicted, of.observed)]
        norm = np.sqrt(np.prod([np.einsum("nt,nt->t", side, side) for side in sides], axis=0))
        unit = np.divide(1.0, norm * len(segments), out=np.zeros_like(norm), where=norm > 1e-12)
        statistic += unit * np.einsum("nt,nt->t", *sides)
        ends = np.cumsum([len(part.samples) for part in parts])[:-1]
        observed = np.split(sides[1], ends)
        wider = widened * unit / _left(parts, observed, orders, beside)
        for part, one, other, order in zip(parts, np.split(sides[0], ends), observed, orders, strict=True):
            products = _products(*part.joined(one, other), order)
            null = null + (wider * products).astype(np.float32)
    return statistic, np.asarray(null)


def _left(
    parts: Sequence[Segment], observed: list[np.ndarray], orders: Sequence[np.ndarray], nuisance: np.ndarray
) -> np.ndarray:
    """What share of its length (n_targets,) a response keeps when it is moved and projected again."""
    whole = np.einsum("nt,nt->t", *[np.concatenate(observed)] * 2)
    if not nuisance.shape[1]:
        return np.ones_like(whole)
    basis, lost = nuisance_basis(nuisance), np.zeros_like(whole)
    for draw in range(TRIED):
        pairs = zip(parts, observed, orders, strict=True)
        moved = [part.moved(values, order[draw]) for part, values, order in pairs]
        lost += ((basis.T @ np.concatenate(moved)) ** 2).sum(axis=0) / TRIED
    kept = whole - lost
    return np.sqrt(np.divide(kept, whole, out=np.ones_like(whole), where=kept > 1e-6 * whole))


def _products(predicted: np.ndarray, observed: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Inner products (n_permutations, n_targets) of the prediction with the moved response."""
    if order.ndim == 1:
        spectrum = scipy.fft.rfft(predicted, axis=0) * scipy.fft.rfft(observed, axis=0).conj()
        return scipy.fft.irfft(spectrum, n=len(predicted), axis=0)[order]
    blocks = _blocks(predicted, observed, order.shape[1])
    return np.sum([_block_products(one, other, order) for one, other in blocks], axis=0)


def _blocks(
    predicted: np.ndarray, observed: np.ndarray, n_blocks: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Equal blocks (n_blocks, length, n_targets) of both sides, then the rest as a block that stays."""
    length = len(predicted) // n_blocks
    whole = n_blocks * length
    shape = (n_blocks, length, predicted.shape[1])
    yield predicted[:whole].reshape(shape), observed[:whole].reshape(shape)
    yield predicted[whole:][None], observed[whole:][None]


def _block_products(predicted: np.ndarray, observed: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Sum of block-wise inner products with the response's blocks in another order."""
    table = np.einsum("ant,bnt->abt", predicted, observed, optimize=True)
    if len(table) == 1:  # the rest, which has nowhere to go
        return np.broadcast_to(table[0], (len(order), table.shape[2]))
    return table[np.arange(len(table)), order].sum(axis=1)
