"""How well epochs are predicted at every latency: r averaged over channels, and how sure that is.

Held-out items are drawn anew with replacement inside every fold, all trials of one together, and r is
computed again with what was drawn: Σ w x y and its like for all draws and targets are a few products of
matrices. Draws are the same for all layers, so that differences between layers are paired. What is not
drawn anew are the fitted models: intervals are about other items, given these models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroalign.design.trials import are_trials

BLOCK = 1024
"""Targets weighted at once; bounds the memory."""

COURSES = ("course", "course_boot")
"""Scores over latencies instead of targets."""


@dataclass(frozen=True)
class Resampling:
    """How often items are drawn, and the seed."""

    count: int
    seed: int


@dataclass(frozen=True)
class Courses:
    """Time courses of epochs.

    Attributes
    ----------
    latencies : array (n_latencies,)
        Seconds.
    which : int array (n_targets,)
        The latency of every target that is fitted.
    contents : array (n_samples,)
        What was shown; trials of one item are drawn together.
    resampling : Resampling
    """

    latencies: np.ndarray
    which: np.ndarray
    contents: np.ndarray
    resampling: Resampling

    @classmethod
    def of(cls, responses: xr.Dataset, resampling: Resampling | None) -> Courses | None:
        """Those of the valid targets of responses; None of anything but epochs."""
        if resampling is None or "latency" not in responses.coords or not are_trials(responses):
            return None
        latencies, which = np.unique(responses["latency"].values, return_inverse=True)
        shown = (
            responses["content"].values
            if "content" in responses.coords
            else np.arange(responses.sizes["sample"])
        )
        return cls(latencies, which[responses["valid"].values], shown, resampling)

    def fold(self, predicted: np.ndarray, observed: np.ndarray, test: np.ndarray, number: int) -> np.ndarray:
        """Mean r over channels (1 + n_draws, n_latencies) of one fold: first of the items as they are.

        NaN at a latency without a valid channel.

        Parameters
        ----------
        predicted, observed : arrays (n_test, n_targets)
        test : int array (n_test,)
            Which samples these are.
        number : int
            Of the fold: each draws for itself.
        """
        weights = self.weights(test, number)
        total = np.zeros((len(weights), len(self.latencies)))
        for start in range(0, predicted.shape[1], BLOCK):
            part = slice(start, start + BLOCK)
            r = weighted_r(weights, predicted[:, part], observed[:, part])
            at = np.zeros((r.shape[1], len(self.latencies)), np.float32)
            at[np.arange(r.shape[1]), self.which[part]] = 1
            total += r @ at
        count = np.bincount(self.which, minlength=len(self.latencies))
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def weights(self, test: np.ndarray, number: int) -> np.ndarray:
        """How often each sample is drawn (1 + n_draws, n_test); the first row is all ones.

        Of n items n − 1 are drawn, so that draws vary by s² / n and not by (n − 1) / n of it (Rao & Wu 1988,
        J. Am. Stat. Assoc. 83:231): with the dozen items of a fold the difference is felt.
        """
        _, item = np.unique(self.contents[test], return_inverse=True)
        n = int(item.max()) + 1
        rng = np.random.default_rng([self.resampling.seed, number])
        drawn = rng.multinomial(max(n - 1, 1), np.full(n, 1 / n), self.resampling.count)
        return np.concatenate([np.ones((1, n)), drawn])[:, item].astype(np.float32)


def weighted_r(weights: np.ndarray, predicted: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Pearson r (n_draws, n_targets) of matching columns (n_samples, n_targets) under weights of samples.

    0 where either side does not vary, as in `scored.fold_scores`.

    Parameters
    ----------
    weights : array (n_draws, n_samples)
    predicted, observed : arrays (n_samples, n_targets)
    """
    # Sums in single precision lose nothing once both sides are in units of their own spread.
    x, y = (_unit(side) for side in (predicted, observed))
    total = weights.sum(axis=1, keepdims=True)
    mean_x, mean_y, xx, yy, xy = (weights @ side / total for side in (x, y, x * x, y * y, x * y))
    spread = (xx - mean_x**2) * (yy - mean_y**2)
    found = (xy - mean_x * mean_y) / np.sqrt(np.where(spread > 1e-6, spread, 1))
    return np.where(spread > 1e-6, found, 0)


def _unit(values: np.ndarray) -> np.ndarray:
    """Columns centred and divided by their spread, float32; 0 where they do not vary."""
    centred = values - values.mean(axis=0, dtype=float)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12).astype(np.float32)
