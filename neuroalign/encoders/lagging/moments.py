"""Gram matrices and products of time-lagged features, exact, without the lagged matrix.

The features of a segment, padded at its edges, stand on one line P. The window of a sample starts at a
place u of that line, and its j-th row is P[u + j]: one lag is one j. For integer weights w(u) of the
samples,

    H[j, k] = Σ_u w(u) P[u + j] P[u + k]'

needs only its first block row. That row is a correlation, and so is the product with targets; short Fourier
transforms (overlap-save; Stockham 1966) take about as many operations for a thousand lags as for ten. The
others follow from their neighbours,

    H[j + 1, k + 1] = H[j, k] + Σ_v (w(v − 1) − w(v)) P[v + j] P[v + k]',

where only the edges v count at which w changes: two for every uninterrupted stretch of samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from neuroalign.encoders.solvers.compute import Array, Compute
from neuroalign.encoders.solvers.moments import Moments
from neuroalign.encoders.solvers.rows import contiguous

CHUNK = 2**18
"""Values that are transformed at once."""

EDGES = 2**20
"""Values around edges that are held at once."""


@dataclass(frozen=True)
class FirstRow:
    """What grows with the number of samples in the moments of lagged features; it adds up over samples.

    Attributes
    ----------
    sums : array (n_features,)
        Σ w(u) P[u].
    products : array (n_features, span, n_features)
        Σ w(u) P[u] P[u + j]' for every j.
    """

    sums: Array
    products: Array


class LaggedFeatures:
    """Features and what they were (or will be) at a number of lags, known by their moments.

    Columns of the lagged matrix are ordered by lag, as given, then by feature.

    Parameters
    ----------
    features : array (n_samples, n_features)
        On the device of `compute`.
    outside : array (n_features,)
        What features are taken to be beyond the edges of a segment.
    lags : int array (n_lags,)
        In samples, each once; the value at t − lag goes with sample t.
    breaks : int array
        First samples of the segments, ascending, 0 among them.
    compute : Compute

    Attributes
    ----------
    n_columns : int
        Of the lagged matrix.
    n_transformed : int
        Values of a block that is Fourier transformed.
    places : int array (n_samples,)
        Where on the line the window of a sample starts.
    span : int
        Length of the window: lags from the first to the last.
    """

    def __init__(
        self, features: Array, outside: Array, lags: np.ndarray, breaks: np.ndarray, compute: Compute
    ) -> None:
        n_samples, self._width = features.shape
        self.compute, self._latest = compute, int(lags.max())
        self._slots = self._latest - lags
        self.span = int(self._slots.max()) + 1
        ends = np.append(breaks[1:], n_samples)
        number = np.repeat(np.arange(len(breaks)), ends - breaks)
        self.places = np.arange(n_samples) + number * (self.span - 1)
        self._line = self._laid_out(features, outside, breaks, ends)
        self._transform = 1 << (4 * self.span - 1).bit_length()
        self.n_columns = len(lags) * self._width
        self.n_transformed = self._transform * self._width

    def _laid_out(self, features: Array, outside: Array, breaks: np.ndarray, ends: np.ndarray) -> Array:
        """The segments one behind the other, each with what its windows reach beyond its edges."""
        xp, padding = self.compute.xp, self.span - 1
        length = len(features) + len(breaks) * padding
        line = xp.zeros((length, self._width), dtype=features.dtype, device=self.compute.device)
        line += outside
        for number, (start, end) in enumerate(zip(breaks.tolist(), ends.tolist(), strict=True)):
            first = max(self._latest, 0)
            last = min(self._latest, padding) + end - start
            if first < last:
                base = start + number * padding
                origin = start - self._latest
                line[base + first : base + last] = features[origin + first : origin + last]
        return line

    def rows(self, samples: np.ndarray) -> Array:
        """The lagged matrix itself (n, n_lags · n_features) for some samples."""
        windows = self._taken(self._line, self.places[samples][:, None] + self._slots)
        return self.compute.xp.reshape(windows, (len(samples), -1))

    def first_row(self, samples: np.ndarray) -> FirstRow:
        """What the moments of these samples (ascending, each with weight 1) are made of."""
        xp, places = self.compute.xp, self.places[samples]
        correlated = self._correlated(places, self._line, places, np.arange(self.span), "float64")
        sums = sum(
            self.compute.put(self._taken(self._line, part), "float64").sum(0)
            for part in np.array_split(places, 1 + len(places) * self._width // CHUNK)
        )
        return FirstRow(sums, xp.permute_dims(correlated, (2, 0, 1)))

    def cross(self, samples: np.ndarray, responses: Array) -> Array:
        """X'Y (n_lags · n_features, n_targets) for some rows (ascending) of X and `responses`."""
        dtype = "float64" if responses.dtype == self.compute.xp.float64 else "float32"
        found = self._correlated(self.places[samples], responses, samples, self._slots, dtype)
        return self.compute.xp.reshape(found, (-1, responses.shape[1]))

    def moments(self, row: FirstRow, weights: np.ndarray) -> Moments:
        """Moments of samples with integer weights (n_samples,), given their first row."""
        xp = self.compute.xp
        n_lags, p = len(self._slots), self._width
        on_line = np.zeros(len(self._line) + 2, np.int64)
        on_line[self.places + 1] = weights
        change = on_line[:-1] - on_line[1:]
        edges = np.flatnonzero(change)
        gram = xp.zeros((n_lags, p, n_lags, p), dtype=xp.float64, device=self.compute.device)
        sums = xp.zeros((n_lags, p), dtype=xp.float64, device=self.compute.device)
        for part in np.array_split(edges, 1 + len(edges) * self.span * p // EDGES):
            self._recur(row, part, change[part], gram, sums)
            row = FirstRow(xp.zeros_like(row.sums), xp.zeros_like(row.products))
        size = n_lags * p
        return Moments(int(weights.sum()), xp.reshape(sums, (size,)), xp.reshape(gram, (size, size)))

    def _recur(self, row: FirstRow, edges: np.ndarray, change: np.ndarray, gram: Array, sums: Array) -> None:
        """Add to the moments what comes of a first row and some of the edges, going down the rows."""
        compute, p, span = self.compute, self._width, self.span
        xp = compute.xp
        pairs = xp.permute_dims(gram, (0, 2, 1, 3))
        reach = np.minimum(edges[:, None] + np.arange(span), len(self._line) - 1)
        around = compute.put(self._taken(self._line, reach), "float64")
        signed = compute.put(change, "float64")[:, None, None] * around
        products, total = row.products + 0.0, row.sums + 0.0
        lag_at = {int(slot): lag for lag, slot in enumerate(self._slots)}
        for j in range(span):
            if j in lag_at:
                lag = lag_at[j]
                later = np.flatnonzero(self._slots > j)
                beside = products[:, compute.index(self._slots[later] - j), :]
                later = compute.index(later)
                sums[lag] += total
                pairs[lag, lag] += products[:, 0, :]
                pairs[lag, later] += xp.permute_dims(beside, (1, 0, 2))
                pairs[later, lag] += xp.permute_dims(beside, (1, 2, 0))
            ahead = span - 1 - j
            if len(edges) and ahead:
                total += xp.sum(signed[:, j], axis=0)
                step = signed[:, j].T @ xp.reshape(around[:, j : span - 1], (len(edges), ahead * p))
                products[:, :ahead] += xp.reshape(step, (p, ahead, p))

    def _correlated(
        self, places: np.ndarray, values: Array, index: np.ndarray, offsets: np.ndarray, dtype: str
    ) -> Array:
        """Σ_u P[u + offset] v(u)' (n_offsets, n_features, n_values) over places u, v(u) a row of `values`."""
        compute, n, width = self.compute, self._transform, values.shape[1]
        xp = compute.xp
        fft = scipy.fft if compute.device is None else xp.fft
        at_once = max(1, CHUNK // (n * (self._width + width)))
        spectrum = None
        for starts, rows in _blocks(places, index, n - self.span + 1, at_once):
            reach = np.minimum(starts[:, None] + np.arange(n), len(self._line) - 1)
            windows = compute.put(self._taken(self._line, reach), dtype)
            held = compute.put(self._taken(values, np.maximum(rows, 0)), dtype)
            if (rows < 0).any():
                held = held * compute.put((rows >= 0)[:, :, None], dtype)
            left = xp.permute_dims(xp.conj(fft.rfft(windows, axis=1)), (1, 2, 0))
            right = xp.permute_dims(fft.rfft(held, n, axis=1), (1, 0, 2))
            if spectrum is None:
                spectrum = left @ right
            else:
                spectrum += left @ right
        # With the windows conjugated, time runs backwards.
        return xp.take(fft.irfft(spectrum, n, axis=0), compute.index(-offsets % n), axis=0)

    def _taken(self, values: Array, rows: np.ndarray) -> Array:
        """Rows of `values`, in the shape of the index."""
        xp, flat = self.compute.xp, contiguous(rows.reshape(-1))
        shape = (*rows.shape, values.shape[1])
        if isinstance(flat, slice):
            return xp.reshape(values[flat], shape)
        return xp.reshape(xp.take(values, self.compute.index(flat), axis=0), shape)


def _blocks(
    places: np.ndarray, index: np.ndarray, hop: int, at_once: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of `hop` places that together hold all `places` once, some at a time.

    Yields
    ------
    starts : int array (n_blocks,)
        First place of every block.
    rows : int array (n_blocks, hop)
        Entry of `index` that goes with a place, −1 where it is not among `places`.
    """
    firsts, first = [], 0
    while first < len(places):
        firsts.append(first)
        first = int(np.searchsorted(places, places[first] + hop))
    for start in range(0, len(firsts), at_once):
        some = firsts[start : start + at_once]
        end = firsts[start + at_once] if start + at_once < len(firsts) else len(places)
        starts = places[some]
        block = np.repeat(np.arange(len(some)), np.diff([*some, end]))
        rows = np.full((len(some), hop), -1)
        rows[block, places[some[0] : end] - starts[block]] = index[some[0] : end]
        yield starts, rows
