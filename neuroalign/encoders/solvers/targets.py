"""Responses of any size, handed out in blocks of targets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroalign.encoders.solvers.compute import Array, Compute, Dtype, host
from neuroalign.errors import DataError

READ_BYTES = 2**27
"""About how much is read at once of responses that are not in memory."""

SQUARED = {"float32": 1e15, "float64": 1e140}
"""Values between this and its inverse may be squared and added up."""


class Targets:
    """Responses (n_samples, n_targets) in memory, mapped, or in a file.

    Parameters
    ----------
    responses : array (n_samples, n_targets) or (n_samples,)
        Of numpy or torch, a memory map, or whatever has `shape`, `dtype` and is indexed as they are (Zarr,
        HDF5).
    n_samples : int
        As many as the features have.

    Raises
    ------
    DataError
        Another shape, or no numbers.
    """

    def __init__(self, responses: Any, n_samples: int) -> None:
        if responses is None:
            raise DataError("a fit requires y to be passed, but the target y is None")
        if not (hasattr(responses, "shape") and hasattr(responses, "dtype")):
            responses = np.asarray(responses)
        shape = tuple(responses.shape)
        self.single = len(shape) == 1
        if len(shape) not in (1, 2) or shape[0] != n_samples or shape[-1] == 0:
            raise DataError(f"Y has shape {shape}; expected ({n_samples}, n_targets) to go with X")
        self._responses = host(responses)[:, None] if self.single else responses
        self.count = 1 if self.single else int(shape[1])
        self.dtype = number_type(responses, "Y")

    def blocks(self, width: int) -> Iterator[tuple[slice, list[slice]]]:
        """What to read at once, and the blocks of about `width` targets in it, relative to its start."""
        step = self._step(width)
        for start in range(0, self.count, step):
            inside = min(step, self.count - start)
            edges = np.linspace(0, inside, -(-inside // width) + 1).astype(int)
            parts = [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]
            yield slice(start, start + inside), parts

    def read(self, width: int) -> Iterator[tuple[slice, Array, list[slice]]]:
        """Columns, their responses and the blocks among them; the next are read while these are used."""
        plan = list(self.blocks(width))
        if self.resident:
            yield from ((columns, self._responses[:, columns], parts) for columns, parts in plan)
            return
        with ThreadPoolExecutor(1) as reader:
            ahead = reader.submit(self._load, plan[0][0])
            for number, (columns, parts) in enumerate(plan):
                loaded = ahead.result()
                if number + 1 < len(plan):
                    ahead = reader.submit(self._load, plan[number + 1][0])
                yield columns, loaded, parts

    @property
    def resident(self) -> bool:
        """Whether they are in memory, so that reading them again costs little."""
        mapped = isinstance(self._responses, np.memmap)
        return not mapped and (isinstance(self._responses, np.ndarray) or hasattr(self._responses, "detach"))

    def _step(self, width: int) -> int:
        """Targets read at once: whole blocks, and whole chunks where the file has them."""
        if self.resident:
            return self.count
        size = self._responses.shape[0] * np.dtype(self._responses.dtype).itemsize
        chunk = (getattr(self._responses, "chunks", None) or (1, 1))[1]
        wanted = max(1, READ_BYTES // size, min(width, self.count))
        if wanted < chunk:
            return chunk if chunk <= 4 * wanted else wanted
        return wanted - wanted % chunk

    def _load(self, columns: slice) -> np.ndarray:
        return np.ascontiguousarray(self._responses[:, columns])


@dataclass(frozen=True)
class Centred:
    """A block of targets ready for products.

    Attributes
    ----------
    responses : array (n_samples, n_targets)
        About their means; 0 where the target is bad.
    mean : array (n_targets,)
        float64, on the host; NaN where the target is bad.
    bad : array (n_targets,)
        Targets with NaN or infinite values, or too large or small to be squared in the dtype.
    """

    responses: Array
    mean: np.ndarray
    bad: np.ndarray

    @classmethod
    def of(cls, responses: Array, compute: Compute, dtype: Dtype) -> Centred:
        """Take the mean off every target.

        The first sample goes first: constant targets then are exactly 0, and means lose no digits.
        """
        here = compute.copy(responses, dtype)
        xp, first = compute.xp, compute.copy(here[0], dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            here -= first
            mean = xp.mean(here, axis=0)
            here -= mean
        highest = xp.max(here, axis=0)
        bad = ~((highest < SQUARED[dtype]) & ((highest > 1 / SQUARED[dtype]) | (highest == 0)))
        if bool(xp.any(bad)):
            here = xp.where(bad, 0.0, here)
            mean = xp.where(bad, 0.0, mean)
        mean = host(xp.astype(first, xp.float64)) + host(xp.astype(mean, xp.float64))
        mean += host(xp.astype(xp.mean(here, axis=0), xp.float64))
        return cls(here, np.where(host(bad), np.nan, mean), host(bad))


def number_type(values: Any, name: str) -> Dtype:
    """The precision to compute in: float64 for eight bytes, else float32.

    Raises
    ------
    DataError
        No numbers.
    """
    kind = str(values.dtype).removeprefix("torch.")
    if kind.startswith("complex"):
        raise DataError(f"Complex data not supported: {name} holds {kind} values; expected real numbers")
    if not kind.startswith(("float", "int", "uint", "bfloat", ">f", "<f")):
        raise DataError(f"{name} holds {kind} values; expected numbers")
    return "float64" if kind.endswith(("64", "128", "f8")) else "float32"
