"""Where arrays live, and how many threads work on them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, reduce
from operator import add
from typing import Any, Literal, TypeVar

import array_api_compat.numpy
import numpy as np
from array_api_compat import array_namespace
from threadpoolctl import ThreadpoolController

from neuroalign.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

Array = Any
"""A numpy array, or a torch tensor; the functions of `xp` take both."""

Dtype = Literal["float32", "float64"]

SHARES = 4
"""How many parts of a sum are formed side by side."""

BLOCKS, NARROW = 8, 128
"""Targets are divided into so many blocks, unless these were narrower than products take at full speed."""

LARGE = 1000
"""From this order on a decomposition is worth several threads of BLAS."""

TILE = 512
"""Rows and columns of a product that are formed at once."""


@dataclass(frozen=True)
class Compute:
    """A place to compute in: numpy on the CPU, or torch on any device.

    Attributes
    ----------
    xp : module
        The functions of the array API for arrays of this place.
    device : torch.device or None
        None with numpy.
    threads : int
        Threads that work at once on the CPU.
    scoring : str or None
        The dtype of large products that only choose among models; None is that of the data.
    """

    xp: Any
    device: Any
    threads: int
    scoring: str | None = None

    @classmethod
    def choose(
        cls, device: str | None = None, threads: int | None = None, scoring: str | None = None
    ) -> Compute:
        """Numpy where `device` is None, else torch on that device ("cpu", "cuda", "cuda:1").

        Raises
        ------
        DataError
            The device is unknown or not there, threads is not positive, or scoring is not "bfloat16" or is
            so without torch.
        """
        if scoring not in (None, "bfloat16"):
            raise DataError(f"scoring is '{scoring}'; expected None or 'bfloat16'")
        if scoring and device is None:
            raise DataError("scoring in bfloat16 needs torch; set device to 'cpu' or 'cuda'")
        if threads is not None and not (isinstance(threads, int | np.integer) and threads >= 1):
            raise DataError(f"threads is {threads}; expected a positive number, or None for all")
        if device is None:
            return cls(array_api_compat.numpy, None, threads or _allowed())
        import array_api_compat.torch as xp
        import torch

        try:
            place = torch.device(device)
            torch.zeros(1, dtype=torch.float64, device=place).item()
        except (RuntimeError, AssertionError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"device is '{device}', which cannot compute in float64 here ({reason})"
            ) from None
        return cls(xp, place, threads or torch.get_num_threads(), scoring)

    def put(self, array: Any, dtype: str) -> Array:
        """The array here, contiguous and of a dtype ("float32", "float64", "int64")."""
        if self.device is None:
            return np.ascontiguousarray(host(array), dtype)
        import torch

        source = array
        if not isinstance(array, torch.Tensor):
            values = np.asarray(array)
            known = values.dtype.isnative and values.dtype.itemsize <= 8
            source = torch.from_numpy(np.require(values, None if known else dtype, ["C", "W"]))
        return source.to(self.device, getattr(torch, dtype)).contiguous()

    def copy(self, array: Any, dtype: str) -> Array:
        """The same, in memory of its own."""
        if self.device is None:
            return np.array(host(array), dtype, order="C")
        return self.put(array, dtype).clone()

    def index(self, rows: np.ndarray) -> Array:
        """Indices here."""
        return rows if self.device is None else self.put(rows, "int64")

    def summed(self, function: Callable[[slice], Result], count: int) -> Result:
        """The sum of what is found of a few stretches of 0 to `count`: the same for any number of threads."""
        edges = np.linspace(0, count, min(SHARES, count) + 1).astype(int).tolist()
        return reduce(add, self.map(function, [slice(*edge) for edge in itertools.pairwise(edges)]))

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        at_once: int | None = None,
        spare: bool = False,
    ) -> list[Result]:
        """Results in the order of the items; Python threads share out the work where BLAS would idle.

        Many products of moderate size keep cores busier when each runs on a core of its own. `at_once`
        bounds how many do, where each takes much memory. Threads to spare, of which there are more than items
        at once, go to BLAS only where asked: it keeps them spinning for tens of milliseconds, beside whatever
        comes next, and its results then depend on their number in the last digits.
        """
        queue = list(items)
        workers = max(1, min(self.threads, len(queue), at_once or len(queue)))
        workers = 1 if self.device is not None else workers
        with self.limited(workers if spare else self.threads):
            if workers == 1:
                return [function(item) for item in queue]
            with ThreadPoolExecutor(workers) as pool:
                return list(pool.map(function, queue))

    def width(self, most: int, count: int) -> int:
        """How many of `count` targets are computed at once: at most so many, fewer for threads to share them.

        The same for any number of threads; as many as allowed on a device.
        """
        return most if self.device is not None else min(most, max(NARROW, -(-count // BLOCKS)))

    def product(self, left: Array, right: Array) -> Array:
        """Their product, shared out in tiles: to the last digit the same for any number of threads."""
        if self.device is not None:
            with self.limited():
                return left @ right
        rows, columns = (range(0, count, TILE) for count in (len(left), right.shape[1]))
        found = np.empty((len(left), right.shape[1]), np.result_type(left, right))

        def one(corner: tuple[int, int]) -> None:
            across, down = (slice(start, start + TILE) for start in corner)
            found[across, down] = left[across] @ right[:, down]

        tiles = [(row, column) for row in rows for column in columns]
        self.map(one, tiles)
        return found

    @contextmanager
    def limited(self, workers: int = 1) -> Iterator[None]:
        """Within, BLAS has its share of the threads; afterwards as many as before."""
        if self.device is None:
            with _blas().limit(limits=max(1, self.threads // workers)):
                yield
            return
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def times(left: Array, right: Array) -> Array:
    """The product in the dtype of `left`, given back in that of `right`."""
    if left.dtype == right.dtype:
        return left @ right
    xp = array_namespace(right)
    return xp.astype(left @ xp.astype(right, left.dtype), right.dtype)


def host(array: Any) -> np.ndarray:
    """The array as numpy's, which has no bfloat16, wherever it was."""
    if not hasattr(array, "detach"):
        return np.asarray(array)
    array = array.detach().cpu()
    return np.asarray(array.float() if str(array.dtype) == "torch.bfloat16" else array)


@cache
def _blas() -> ThreadpoolController:
    """The BLAS libraries in use; looking for them takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")


def _allowed() -> int:
    """As many threads as BLAS may use now."""
    return max((library.num_threads for library in _blas().lib_controllers), default=1)
