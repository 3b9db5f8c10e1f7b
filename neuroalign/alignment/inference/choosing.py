"""How much wider the null must be where every fold chooses a layer for itself.

Fold i chooses the layer in which the other folds predict each other best. Folds j and k choose it too if
what i has in common with the rest speaks for it, and score what they have in common with i. So scores of
different folds rise and fall together beyond the pairs that they share, and the more so the more layers
there are to choose from: with ten folds and twelve layers that have nothing in common, their mean has three
times the variance of independent folds', with a heavy upper tail.

The width comes from a model of this in which nothing else is left. Of white features in d dimensions, what
fold i says of a layer is a vector b_i of standard normal numbers; fold i scores Σ_{j≠i} b_i' b_j over the
length of Σ_{j≠i} b_j, which is standard normal, and its layer is the one with the largest sum of the same
scores among the other folds. Layers are independent, which is the worst case: neighbouring layers of a real
network have much in common, and the null is then a little wide.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.stats

DIMENSIONS, DRAWS, AT_ONCE = 20, 6000, 100
QUANTILES = (0.95, 0.99)
MOST_FOLDS, MOST_LAYERS = 20, 24
"""Beyond these the width changes little."""


@cache
def width(n_folds: int, n_layers: int) -> float:
    """How much wider the upper tail of the mean over folds is than that of independent folds, in sd.

    Parameters
    ----------
    n_folds, n_layers : int
        √2 with one layer, or with two folds, whose layers are chosen by data that they do not share.
    """
    pairs = float(np.sqrt(2))
    if n_layers == 1 or n_folds < 3:
        return pairs
    mean = null_scores(min(n_folds, MOST_FOLDS), min(n_layers, MOST_LAYERS))
    return max(pairs, *(np.quantile(mean, QUANTILES) / scipy.stats.norm.ppf(QUANTILES)))


def null_scores(n_folds: int, n_layers: int, seed: int = 0) -> np.ndarray:
    """Mean scores (n_draws,) over folds in the model, of unit variance if folds were independent."""
    rng = np.random.default_rng(seed)
    parts = [_draw(rng, n_folds, n_layers) for _ in range(DRAWS // AT_ONCE)]
    return np.concatenate(parts)


def _draw(rng: np.random.Generator, n_folds: int, n_layers: int) -> np.ndarray:
    says = rng.standard_normal((AT_ONCE, n_layers, n_folds, DIMENSIONS))
    products = says @ np.swapaxes(says, -1, -2)
    total = products.sum(axis=-1)
    own = np.einsum("tlii->tli", products)
    # |Σ b − b_i|², and b_j' (Σ b − b_i − b_j) over its length for the inner fold j of fold i.
    length = products.sum(axis=(-1, -2))[..., None] - 2 * total + own
    cross = total[..., None, :] - products - own[..., None, :]
    rest = length[..., None] - 2 * total[..., None, :] + own[..., None, :] + 2 * products
    inner = cross / np.sqrt(np.maximum(rest, 1e-9))
    inner[..., np.arange(n_folds), np.arange(n_folds)] = 0
    chosen = inner.sum(axis=-1).argmax(axis=1)
    scores = (total - own) / np.sqrt(length)
    picked = np.take_along_axis(scores, chosen[:, None], axis=1)[:, 0]
    return picked.mean(axis=-1) * np.sqrt(n_folds)
