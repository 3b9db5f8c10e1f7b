"""What ridge regression adds to a network that was not trained on a subject."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroalign.encoders.attention.tokens import Pool, Tokens
from neuroalign.encoders.ridge import RidgeEncoder


@dataclass(frozen=True)
class Beside:
    """Ridge regression that predicts beside the network.

    Attributes
    ----------
    ridge : RidgeEncoder
    weight : array (n_targets,)
        Of the network.
    pool : {"flatten", "mean"}
        How it takes the tokens.
    """

    ridge: RidgeEncoder
    weight: np.ndarray
    pool: Pool

    def blended(self, found: np.ndarray, shown: Tokens) -> np.ndarray:
        """Both predictions (n_samples, n_targets) by their weights."""
        beside = self.ridge.predict(shown.features(self.pool))
        return (self.weight * found + (1 - self.weight) * beside).astype(np.float32)
