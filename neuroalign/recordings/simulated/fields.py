"""Smooth random maps, of which simulated brains are made."""

from __future__ import annotations

import numpy as np


def smooth_fields(places: np.ndarray, n_fields: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian random fields (field, place) of variance 1, correlated as exp(-d² / 2 scale²).

    Random Fourier features (Rahimi & Recht 2007); d is the distance between `places` (place, 3), which on
    the unit sphere is a chord.
    """
    frequencies = rng.standard_normal((3, 256)) / scale
    waves = np.cos(places @ frequencies + rng.uniform(0, 2 * np.pi, 256)) * np.sqrt(2 / 256)
    return (waves @ rng.standard_normal((256, n_fields))).T


def even_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks scaled to lie inside 0 and 1, evenly spaced.

    >>> even_ranks(np.array([3.0, -1.0])).tolist()
    [0.75, 0.25]
    """
    return (np.argsort(np.argsort(values, kind="stable"), kind="stable") + 0.5) / len(values)


def whitened(activations: np.ndarray, components: int) -> np.ndarray:
    """The first principal components (row, component) of activations (row, unit), whitened.

    Their signs are fixed by the largest score of each, since those of a decomposition are arbitrary.
    A layer with fewer units than components is filled up with zeros.
    """
    centred = np.asarray(activations, float) - activations.mean(axis=0)
    scores = np.linalg.svd(centred, full_matrices=False)[0][:, :components]
    scores = np.pad(scores, ((0, 0), (0, components - scores.shape[1])))
    peaks = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    return scores * np.sign(peaks) * np.sqrt(len(scores))
