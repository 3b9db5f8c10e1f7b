"""What networks make of every sample, token by token, read a batch at a time."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuroalign.encoders.solvers.compute import host
from neuroalign.encoders.solvers.targets import number_type
from neuroalign.errors import DataError

READ_VALUES = 2**24
"""Values of tokens that are held at once while all are read."""

Pool = Literal["flatten", "mean"]
"""How tokens become features: side by side, or their mean."""


@dataclass(frozen=True)
class Batch:
    """Tokens of some samples, of one layer.

    Attributes
    ----------
    values : array (n_samples, n_tokens, n_units), float32
        0 where there is no token.
    present : bool array (n_samples, n_tokens), or None if all are
    places : array (n_samples or 1, n_tokens, n_dims), float32
        NaN where a token has no place.
    """

    values: np.ndarray
    present: np.ndarray | None
    places: np.ndarray


class Tokens:
    """Tokens of several layers of a network, for every sample.

    Parameters
    ----------
    layers : mapping of str to array (n_samples, n_tokens, n_units)
        Numpy, torch, a memory map, Zarr or HDF5; layers may differ in tokens and units. With `index`,
        arrays (n_items, n_units) whose rows are looked up.
    mask : bool array (n_samples, n_tokens), optional
        False where there is no token; or a mapping of it by layer.
    positions : array (n_tokens, n_dims) or (n_samples, n_tokens, n_dims), optional
        Where tokens are: on the grid of an image, or how many seconds ago. NaN for those that are nowhere,
        such as a class token. Or a mapping of it by layer; by default their order.
    index : int array (n_samples, n_tokens), optional
        Which items a sample has as tokens, −1 for none; `recent` makes it for time series.

    Raises
    ------
    DataError
        There are no layers, or shapes do not fit together.

    Examples
    --------
    >>> words = {"layer.1": np.ones((3, 8), np.float32)}
    >>> tokens = Tokens(words, **recent(onsets=[0.2, 0.9, 1.4], times=[1.0, 2.0], window_s=1.0))
    >>> len(tokens), tokens.index.tolist()
    (2, [[0, 1], [-1, 2]])
    """

    def __init__(
        self, layers: Mapping[str, Any], mask: Any = None, positions: Any = None, index: Any = None
    ) -> None:
        if not isinstance(layers, Mapping) or not layers:
            raise DataError("tokens have no layers; give a mapping of names to arrays (sample, token, unit)")
        self.layers = {name: _checked(name, values, index is not None) for name, values in layers.items()}
        lengths = {name: int(values.shape[0]) for name, values in self.layers.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"layers have {_listed(lengths)} samples; expected as many in all")
        n_items = next(iter(lengths.values()))
        self.index = None if index is None else _checked_index(np.asarray(index), n_items)
        self._length = n_items if self.index is None else len(self.index)
        self._samples: np.ndarray | None = None
        self.mask = {name: self._masked(name, _of_layer(mask, name)) for name in self.layers}
        self.positions = {name: self._placed(name, _of_layer(positions, name)) for name in self.layers}

    def __len__(self) -> int:
        return self._length

    @property
    def units(self) -> dict[str, int]:
        """Units of every layer."""
        return {name: int(values.shape[-1]) for name, values in self.layers.items()}

    @property
    def gaps(self) -> bool:
        """Whether samples may lack tokens."""
        return self.index is not None or any(mask is not None for mask in self.mask.values())

    def n_tokens(self, name: str) -> int:
        """Tokens per sample of a layer."""
        return int(self.layers[name].shape[1] if self.index is None else self.index.shape[1])

    def at(self, rows: np.ndarray) -> Tokens:
        """Tokens of some samples; nothing is read."""
        some = copy.copy(self)
        some._length = len(rows)
        if self.index is None:
            some._samples = rows if self._samples is None else self._samples[rows]
        else:
            some.index = self.index[rows]
        some.mask = {name: None if mask is None else mask[rows] for name, mask in self.mask.items()}
        some.positions = {
            name: places[rows] if places.shape[0] > 1 else places for name, places in self.positions.items()
        }
        return some

    def features(self, pool: Pool) -> np.ndarray:
        """All layers side by side as features (n_samples, n_features), float32.

        Parameters
        ----------
        pool : {"flatten", "mean"}
            All tokens side by side, 0 where one is absent; or the mean of those that are there.
        """
        parts = [self._layer_features(name, pool) for name in self.layers]
        return np.concatenate(parts, axis=1)

    def n_features(self, pool: Pool) -> int:
        """How many there are."""
        return sum(n * (self.n_tokens(name) if pool == "flatten" else 1) for name, n in self.units.items())

    def _layer_features(self, name: str, pool: Pool) -> np.ndarray:
        width = self.n_tokens(name) * self.units[name]
        size = max(1, READ_VALUES // width)
        out = np.empty((len(self), width if pool == "flatten" else self.units[name]), np.float32)
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            batch = self.batch(name, rows)
            if pool == "flatten":
                out[rows] = batch.values.reshape(len(rows), -1)
            elif batch.present is None:
                out[rows] = batch.values.mean(axis=1)
            else:
                out[rows] = batch.values.sum(axis=1) / np.maximum(batch.present.sum(axis=1), 1)[:, None]
        return out

    def batch(self, name: str, rows: np.ndarray) -> Batch:
        """Tokens of some samples of a layer.

        Raises
        ------
        DataError
            They are not finite.
        """
        places = self.positions[name]
        places = places[rows] if places.shape[0] > 1 else places
        values, present = self._read(name, rows)
        if not np.isfinite(values).all():
            raise DataError(f"tokens of layer '{name}' hold NaN or infinite values; remove or mask them")
        return Batch(values, present, places)

    def moments(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation (n_units,) of the tokens of some samples; 1 for what does not vary."""
        values = self.layers[name]
        size = max(1, READ_VALUES // (self.n_tokens(name) * int(values.shape[-1])))
        count, total, squares, first = 0, 0.0, 0.0, None
        for start in range(0, len(rows), size):
            batch = self.batch(name, rows[start : start + size])
            found = batch.values.reshape(-1, values.shape[-1])
            if batch.present is not None:
                found = found[batch.present.reshape(-1)]
            if not len(found):
                continue
            first = found[0].astype(float) if first is None else first
            moved = found - first
            count += len(found)
            total = total + moved.sum(axis=0, dtype=float)
            squares = squares + np.einsum("tu,tu->u", moved, moved, dtype=float)
        if first is None:
            raise DataError(f"layer '{name}' has no token in any of the {len(rows)} samples")
        mean = total / count
        variance = squares / count - mean**2
        varies = variance > 1e-10 * (squares / count + 1e-300)
        return first + mean, np.sqrt(np.where(varies, variance, 1.0))

    def _read(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        present = self.mask[name]
        if self.index is None:
            values = _rows(self.layers[name], rows if self._samples is None else self._samples[rows])
            present = None if present is None else present[rows]
        else:
            index = self.index[rows]
            present = index >= 0 if present is None else present[rows] & (index >= 0)
            wanted, place = np.unique(np.where(present, index, index.max(initial=0)), return_inverse=True)
            values = _rows(self.layers[name], wanted)[place.reshape(index.shape)]
        if present is not None:
            values = np.where(present[..., None], values, np.float32(0))
        return values, present

    def _masked(self, name: str, mask: Any) -> np.ndarray | None:
        if mask is None:
            return None
        mask, expected = np.asarray(mask), (len(self), self.n_tokens(name))
        if mask.shape != expected or mask.dtype != bool:
            raise DataError(
                f"mask of layer '{name}' has shape {mask.shape} of {mask.dtype}; expected {expected} of bool"
            )
        return mask

    def _placed(self, name: str, positions: Any) -> np.ndarray:
        """Positions (n_samples or 1, n_tokens, n_dims)."""
        count = self.n_tokens(name)
        if positions is None:
            return np.arange(count, dtype=np.float32)[None, :, None]
        places = np.asarray(host(positions), np.float32)
        if places.ndim == 2:
            places = places[None]
        if places.ndim != 3 or places.shape[0] not in (1, len(self)) or places.shape[1] != count:
            raise DataError(
                f"positions of layer '{name}' have shape {np.shape(positions)}; expected ({count}, n_dims) "
                f"or ({len(self)}, {count}, n_dims)"
            )
        if np.isinf(places).any():
            raise DataError(
                f"positions of layer '{name}' hold infinite values; give NaN to tokens without a place"
            )
        return places


def as_tokens(tokens: Any) -> Tokens:
    """Tokens as they are, or made of a mapping of layers."""
    return tokens if isinstance(tokens, Tokens) else Tokens(tokens)


def grid(height: int, width: int, before: int = 0) -> np.ndarray:
    """Positions (before + height · width, 2) of the patches of an image, row by row, x and y from 0 to 1.

    Parameters
    ----------
    height, width : int
        Patches.
    before : int
        Tokens in front that have no place: class token and registers.

    Examples
    --------
    >>> grid(1, 2, before=1).tolist()
    [[nan, nan], [0.25, 0.5], [0.75, 0.5]]
    """
    y, x = np.mgrid[:height, :width]
    patches = np.stack([(x.ravel() + 0.5) / width, (y.ravel() + 0.5) / height], axis=1)
    return np.concatenate([np.full((before, 2), np.nan), patches]).astype(np.float32)


def recent(onsets: Any, times: Any, window_s: float, most: int | None = None) -> dict[str, np.ndarray]:
    """Which items began in the last seconds before every sample, and how long ago; of one run.

    Parameters
    ----------
    onsets : array (n_items,)
        Seconds, ascending.
    times : array (n_samples,)
        Seconds.
    window_s : float
    most : int, optional
        Items per sample, the latest ones.

    Returns
    -------
    dict
        `index` (n_samples, n_tokens), −1 for none, and `positions` (n_samples, n_tokens, 1), seconds before
        the sample; for `Tokens`. The latest item stands last.

    Raises
    ------
    DataError
        Onsets do not ascend, or the window is not positive.
    """
    onsets, times = np.asarray(onsets, float), np.asarray(times, float)
    if onsets.ndim != 1 or (np.diff(onsets) < 0).any():
        raise DataError("onsets are not ascending seconds (n_items,); sort the items of a run by onset")
    if not window_s > 0:
        raise DataError(f"window_s is {window_s}; expected a positive number of seconds")
    last = np.searchsorted(onsets, times, side="right")
    count = last - np.searchsorted(onsets, times - window_s, side="right")
    width = max(1, int(count.max(initial=0)))
    width = width if most is None else min(width, most)
    index = last[:, None] - width + np.arange(width)
    index = np.where(index >= (last - np.minimum(count, width))[:, None], index, -1)
    ago = (
        np.where(index >= 0, times[:, None] - onsets[np.maximum(index, 0)], np.nan)
        if len(onsets)
        else np.full(index.shape, np.nan)
    )
    return {"index": index, "positions": ago[..., None].astype(np.float32)}


def _checked(name: str, values: Any, looked_up: bool) -> Any:
    if not (hasattr(values, "shape") and hasattr(values, "dtype")):
        values = np.asarray(values)
    wanted = ("item", "unit") if looked_up else ("sample", "token", "unit")
    shape = tuple(values.shape)
    if len(shape) != len(wanted) or 0 in shape:
        raise DataError(f"tokens of layer '{name}' have shape {shape}; expected ({', '.join(wanted)})")
    number_type(values, f"layer '{name}'")
    return values


def _checked_index(index: np.ndarray, n_items: int) -> np.ndarray:
    if index.ndim != 2 or index.dtype.kind not in "iu":
        raise DataError(f"index has shape {index.shape} of {index.dtype}; expected integers (sample, token)")
    if index.size and (index.min() < -1 or index.max() >= n_items):
        raise DataError(f"index goes from {index.min()} to {index.max()}; expected −1 to {n_items - 1}")
    return index.astype(np.int64)


def _of_layer(given: Any, name: str) -> Any:
    return given.get(name) if isinstance(given, Mapping) else given


def _rows(values: Any, rows: np.ndarray) -> np.ndarray:
    """Rows in float32; Zarr and HDF5 are asked for each once, in order."""
    if isinstance(values, np.ndarray) or hasattr(values, "detach"):
        return np.asarray(host(values[rows]), np.float32)
    wanted, place = np.unique(rows, return_inverse=True)
    read = values.oindex[wanted] if hasattr(values, "oindex") else values[wanted]
    return np.asarray(read, np.float32)[place]


def _listed(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{count} ({name})" for name, count in lengths.items())
