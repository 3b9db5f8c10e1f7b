"""How much to trust one of two predictions, target by target."""

from __future__ import annotations

import numpy as np

TURNS = 2.0
"""How much more weights vary that come from samples held out in turn; see `blend`."""


def blend(first: np.ndarray, second: np.ndarray, true: np.ndarray, in_turn: bool = False) -> np.ndarray:
    """Weight of the first of two predictions, shrunk to what it is for all targets.

    Least squares gives a weight per target, ŵ = ⟨y − b, a − b⟩ / |a − b|², and its sampling variance. Weights
    of all targets are taken to come from one normal distribution, whose mean and variance are estimated as in
    a meta-analysis (DerSimonian & Laird 1986); what is returned are the means given the data, from 0 to 1.

    Parameters
    ----------
    first, second, true : arrays (n_samples, n_targets)
        Predictions a and b of samples that neither was fitted to, and responses y. Targets that are not
        finite take no part.
    in_turn : bool
        Whether samples were held out in turn, each of them fitted to for all others. Every pair of folds is
        then used in both directions, which without signal give all but the same twice: the variance of
        weights is up to double what it is for samples that were never fitted to.

    Returns
    -------
    array (n_targets,)
        The blend is weight · first + (1 − weight) · second. NaN for targets that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.random.default_rng(0).standard_normal((200, 3))
    >>> blend(y, np.zeros_like(y), y).tolist(), blend(np.zeros_like(y), y, y).tolist()
    ([1.0, 1.0, 1.0], [0.0, 0.0, 0.0])
    """
    apart = first.astype(float) - second
    wanted = true.astype(float) - second
    length = np.einsum("nv,nv->v", apart, apart)
    finite = np.isfinite(length) & np.isfinite(wanted).all(axis=0)
    varies = finite & (length > 0)
    out = np.where(finite, 0.5, np.nan)
    if not varies.any():
        return out
    length = length[varies]
    own = np.einsum("nv,nv->v", apart[:, varies], wanted[:, varies]) / length
    left = wanted[:, varies] - own * apart[:, varies]
    noise = np.einsum("nv,nv->v", left, left) / max(len(true) - 1, 1)
    variance = np.maximum(noise / length, 1e-12) * (TURNS if in_turn else 1.0)
    common, between = _common(own, variance)
    out[varies] = np.clip((own * between + common * variance) / (between + variance), 0, 1)
    out[finite & ~varies] = np.clip(common, 0, 1)
    return out


def _common(own: np.ndarray, variance: np.ndarray) -> tuple[float, float]:
    """Mean of the weights of all targets, and their variance beyond sampling."""
    weight = 1 / variance
    mean = np.average(own, weights=weight)
    excess = weight @ (own - mean) ** 2 - (len(own) - 1)
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    between = max(0.0, excess / scale) if scale > 0 else 0.0
    return float(np.average(own, weights=1 / (variance + between))), float(between)
