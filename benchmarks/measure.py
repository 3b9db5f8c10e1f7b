"""One measurement: a fresh process with its threads set, arrays loaded, everything imported and warm."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from problem import Answer, Problem, Shape, plant

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Measurement:
    """What one run cost and gave.

    `extra_mb` is the peak of memory while it ran over what the process held just before.
    """

    seconds: float
    extra_mb: float
    alphas: np.ndarray | None
    predicted: np.ndarray
    held_out: float


def apart(threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process whose libraries see this many threads."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measured(run: Callable[[Problem], Answer], shape: Shape, folder: Path) -> Measurement:
    """Time a side on the arrays of a folder, after a tiny run of the same kind."""
    warnings.simplefilter("ignore")
    run(plant(tiny(shape)))
    problem = Problem.load(folder, shape)
    memory = Memory(shape.device)
    start = time.perf_counter()
    answer = run(problem)
    seconds = time.perf_counter() - start
    extra = memory.extra_mb()
    # Where samples are lagged, the packages differ in what they take to stand before the first one.
    predicted = answer.predict(problem.fresh_features)[shape.lags :]
    true = np.tile(problem.fresh_responses[shape.lags :], shape.layers)
    explained = 1 - ((predicted - true) ** 2).sum(axis=0) / ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    return Measurement(seconds, extra, answer.alphas, predicted[:50].copy(), float(explained.mean()))


def tiny(shape: Shape) -> Shape:
    """A shape of the same kind that takes no time."""
    small = replace(shape, samples=200, features=8, targets=16, lags=min(shape.lags, 3))
    if shape.bands:
        return replace(small, bands=(8,) * len(shape.bands), features=8 * len(shape.bands))
    return replace(small, samples=50, features=100) if shape.features > shape.samples else small


def gemm_rate(device: str | None) -> float:
    """The machine's float32 matrix product in FLOP/s: the better of numpy and torch, best of ten."""
    import torch

    size = 8192 if device else 3072
    matrix = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    tensor = torch.from_numpy(matrix).to(device or "cpu")
    rates = []
    for operand in (tensor,) if device else (matrix, tensor):
        for _ in range(10):
            start = time.perf_counter()
            float((operand @ operand)[0, 0])  # asking for a number waits for the device
            rates.append(2 * size**3 / (time.perf_counter() - start))
    return max(rates)


class Memory:
    """Peak of this process over what it holds now; on a GPU, of the memory that torch handed out.

    Linux forgets the peak so far when told; elsewhere only a peak above everything before shows.
    """

    def __init__(self, device: str | None) -> None:
        gc.collect()
        self.device = device
        if device:
            import torch

            torch.cuda.reset_peak_memory_stats()
        elif RESET.exists():
            RESET.write_text("5")
        self.before = self._now("VmRSS")

    def extra_mb(self) -> float:
        return (self._now("VmHWM") - self.before) / 2**20

    def _now(self, field: str) -> float:
        if self.device:
            import torch

            return float(torch.cuda.max_memory_allocated())
        if not RESET.exists():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
                1 if sys.platform == "darwin" else 1024
            )
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return 1024 * float(lines[field].split()[0])
