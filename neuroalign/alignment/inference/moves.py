"""What changes places in the null: held-out runs in a circle or in blocks, or items in another order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroalign.settings.statistics import Inference


@dataclass(frozen=True)
class Segment:
    """Samples that change places among each other in the null.

    Attributes
    ----------
    samples : int array
        In the order in which they are shifted.
    repeats : int
        So many in a row belong together: trials of one item.
    """

    samples: np.ndarray
    repeats: int = 1

    def __len__(self) -> int:
        return len(self.samples) // self.repeats

    def joined(self, predicted: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean prediction and summed response (places, n_targets) of what belongs together."""
        shape = (len(self), self.repeats, predicted.shape[1])
        return predicted.reshape(shape).mean(axis=1), observed.reshape(shape).sum(axis=1)

    def moved(self, observed: np.ndarray, order: np.ndarray) -> np.ndarray:
        """The response (n_samples, n_targets) shifted by a number, or its blocks in another order."""
        if order.ndim == 0:
            return np.roll(observed, int(order) * self.repeats, axis=0)
        length = len(observed) // len(order)
        blocks = [observed[place * length : (place + 1) * length] for place in order]
        return np.concatenate([*blocks, observed[length * len(order) :]])


def items_held_out(fold: np.ndarray, contents: np.ndarray, rng: np.random.Generator) -> list[list[Segment]]:
    """For every fold its items in random order, those with as many repeats in one segment."""
    found = []
    for number in range(int(fold.max()) + 1):
        samples = np.flatnonzero(fold == number)
        samples = samples[np.argsort(contents[samples], kind="stable")]
        items = np.split(samples, np.flatnonzero(np.diff(contents[samples])) + 1)
        by_count: dict[int, list[np.ndarray]] = {}
        for place in rng.permutation(len(items)):
            by_count.setdefault(len(items[place]), []).append(items[place])
        found.append([Segment(np.concatenate(same), count) for count, same in sorted(by_count.items())])
    return found


def runs_held_out(fold: np.ndarray, runs: np.ndarray) -> list[list[Segment]]:
    """For every fold the runs (or parts of runs) it holds out, as contiguous sample indices."""
    run, found = runs.astype(str), []
    for number in range(int(fold.max()) + 1):
        samples = np.flatnonzero(fold == number)
        cuts = np.flatnonzero((np.diff(samples) > 1) | (run[samples][1:] != run[samples][:-1])) + 1
        found.append([Segment(part) for part in np.split(samples, cuts)])
    return found


def moves_of(
    segment: Segment, times: np.ndarray | None, settings: Inference, rng: np.random.Generator
) -> np.ndarray:
    """Circular shifts as one number each, or block permutations as one order of blocks each."""
    n = len(segment)
    if times is None or settings.method == "circular_shift":
        return rng.integers(0, n, settings.permutations)
    times = times[segment.samples]
    step = (times[-1] - times[0]) / max(n - 1, 1) or 1.0
    n_blocks = max(2, int(n * step // settings.block_s))
    return rng.permuted(np.tile(np.arange(n_blocks), (settings.permutations, 1)), axis=1)
