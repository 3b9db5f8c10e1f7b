"""How long a network learns, how fast, and which samples it sees when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

WARM, FIRST, LAST = 0.15, 0.04, 1e-4
"""Share of the steps in which the rate rises, and where it begins and ends beside its highest."""


@dataclass(frozen=True)
class Schedule:
    """How long, how fast and in what portions a network learns.

    Attributes
    ----------
    steps, batch : int
        Number of steps, and samples per step.
    targets : int
        Targets per step, at most.
    rate : float
        Highest learning rate of the shared weights; embeddings learn five times as fast.
    decay, embedding_decay : float
        Weight decay of both.
    seed : int
    """

    steps: int
    batch: int
    targets: int
    rate: float
    decay: float
    embedding_decay: float
    seed: int

    def factor(self, step: int) -> float:
        """Rate of a step over the highest: up and down again along cosines."""
        top = WARM * self.steps
        if step < top:
            return FIRST + (1 - FIRST) * (1 - math.cos(math.pi * step / top)) / 2
        return LAST + (1 - LAST) * (1 + math.cos(math.pi * (step - top) / max(self.steps - top, 1))) / 2


class Portions:
    """The samples of every step: all of every subject once, in random portions and order, then again.

    Parameters
    ----------
    samples : dict of int arrays
        Training samples by subject.
    schedule : Schedule
    """

    def __init__(self, samples: Mapping[str, np.ndarray], schedule: Schedule) -> None:
        self._samples, self._schedule = samples, schedule
        self._count = {name: -(-len(rows) // schedule.batch) for name, rows in samples.items()}
        self._round, self._order = -1, list[tuple[str, np.ndarray]]()

    def at(self, step: int) -> tuple[str, np.ndarray]:
        """Subject and samples of a step."""
        number, place = divmod(step, sum(self._count.values()))
        if number != self._round:
            self._round, self._order = number, self._drawn(number)
        return self._order[place]

    def _drawn(self, number: int) -> list[tuple[str, np.ndarray]]:
        draws = np.random.default_rng([self._schedule.seed, 1, number])
        parts = [
            (name, part)
            for name, rows in self._samples.items()
            for part in np.array_split(draws.permutation(rows), self._count[name])
        ]
        return [parts[place] for place in draws.permutation(len(parts))]
