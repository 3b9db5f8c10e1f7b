"""Which item was seen, told from the pattern over channels at one latency; and when that can be told.

Two items i and j are told apart where their own predictions are more like their responses than each
other's: s_ii + s_jj > s_ij + s_ji, with s the correlation over channels (Mitchell et al. 2008, Science
320:1191). The share of pairs is ½ by chance. Only items of one fold are compared, and the mean of the
training data is taken away from predictions and responses, in units of its spread: across folds the mean of
what is left for training lies away from what is held out, so that shuffled data come out far below ½.
Trials of one item are averaged first: an item is never compared with its own repeats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroalign.alignment.inference.null import SHARED_PAIRS

MOST_ITEMS = 100
"""Items that are compared in a fold; more are drawn from."""

PERMUTATIONS = 200
"""Orders of items in the null."""

FEWEST_CHANNELS = 3
"""With fewer there is no pattern to correlate."""


@dataclass(frozen=True)
class Identified:
    """Shares of pairs told apart.

    Attributes
    ----------
    accuracy : array (n_latencies,)
    null : array (n_permutations, n_latencies)
        The same with responses of items in random order, one order for all latencies; as wide as the mean
        over folds that share their training data is (see `significance`).
    n_pairs : int
        Of all folds.
    """

    accuracy: np.ndarray
    null: np.ndarray
    n_pairs: int

    @property
    def p(self) -> np.ndarray:
        """One-sided p (n_latencies,)."""
        return (1 + (self.null >= self.accuracy - 1e-9).sum(axis=0)) / (1 + len(self.null))

    @property
    def p_max(self) -> np.ndarray:
        """The same, family-wise over latencies."""
        return (1 + (self.null.max(axis=1)[:, None] >= self.accuracy - 1e-9).sum(axis=0)) / (
            1 + len(self.null)
        )


def identify(
    predicted: np.ndarray, observed: np.ndarray, fold: np.ndarray, contents: np.ndarray, seed: int
) -> Identified | None:
    """Tell the held-out items of every fold apart, latency by latency.

    Parameters
    ----------
    predicted, observed : arrays (n_samples, n_channels, n_latencies)
    fold : int array (n_samples,)
        The fold that holds a sample out; −1 for none.
    contents : array (n_samples,)
        What was shown.
    seed : int

    Returns
    -------
    Identified or None
        None with fewer than `FEWEST_CHANNELS` channels, or no fold with two items.
    """
    if predicted.shape[1] < FEWEST_CHANNELS:
        return None
    rng = np.random.default_rng(seed)
    accuracies, nulls, n_pairs = [], [], 0
    for number in range(int(fold.max()) + 1):
        mean, spread = training(observed, fold, number)
        sides = [
            _by_item((side[fold == number] - mean) / spread, contents[fold == number])
            for side in (predicted, observed)
        ]
        n = len(sides[0])
        if n < 2:
            continue
        some = rng.permutation(n)[:MOST_ITEMS]
        alike = similarity(sides[0][some], sides[1][some])
        n = len(some)
        accuracies.append(told_apart(alike, np.arange(n)))
        nulls.append([told_apart(alike, rng.permutation(n)) for _ in range(PERMUTATIONS)])
        n_pairs += n * (n - 1) // 2
    if not accuracies:
        return None
    null = 0.5 + SHARED_PAIRS * (np.mean(nulls, axis=0) - 0.5)
    return Identified(np.mean(accuracies, axis=0), null, n_pairs)


def training(observed: np.ndarray, fold: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread (n_channels, n_latencies) of what a fold does not hold out."""
    train = observed[fold != number]
    spread = train.std(axis=0)
    return train.mean(axis=0), np.where(spread > 0, spread, 1)


def _by_item(values: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Means (n_items, …) over the trials (n_samples, …) of one item."""
    _, item, count = np.unique(contents, return_inverse=True, return_counts=True)
    order = np.argsort(item, kind="stable")
    total = np.add.reduceat(values[order], np.cumsum(count) - count, axis=0)
    return total / count.reshape(-1, *[1] * (values.ndim - 1))


def similarity(predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Correlation over channels (n_items, n_items, n_latencies) of predictions with responses.

    Both are (n_items, n_channels, n_latencies). 0 where a pattern is flat.
    """
    sides = []
    for side in (predicted, observed):
        centred = side - side.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(centred, axis=1, keepdims=True)
        sides.append(
            np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 1e-9).transpose(2, 0, 1)
        )
    return np.ascontiguousarray((sides[0] @ sides[1].transpose(0, 2, 1)).transpose(1, 2, 0))


def told_apart(alike: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Share (n_latencies,) of pairs of items told apart; a tie counts half.

    Parameters
    ----------
    alike : array (n_items, n_items, n_latencies)
    order : int array (n_items,)
        Which response is taken for that of each item.
    """
    n = len(alike)
    one, other = np.triu_indices(n, 1)
    rows = alike.reshape(n * n, -1)
    own = rows[np.arange(n) * n + order]
    more = own[one] + own[other] - rows[one * n + order[other]] - rows[other * n + order[one]]
    return ((more > TIE).mean(axis=0) + (np.abs(more) <= TIE).mean(axis=0) / 2).astype(float)


TIE = 1e-9
"""Sums of correlations that are nearer to each other are equal."""
