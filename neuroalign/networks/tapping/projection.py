"""Sparse random projection: very many values of a layer to a few, distances between images kept."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.random_projection import SparseRandomProjection


class Projection:
    """A fixed sparse random projection, by the size of what is projected.

    A value is ±1/√(d·k) with probability d, else 0, for k dimensions and the density d = 1/√n for n
    values (Li, Hastie & Church 2006), as in scikit-learn's SparseRandomProjection. Layers of one size
    share one matrix, and what has no more than k values is left as it is.

    Parameters
    ----------
    dimensions : int
        k.
    seed : int
        Draws the matrices.
    """

    def __init__(self, dimensions: int, seed: int) -> None:
        self.dimensions, self.seed = dimensions, seed
        self._drawn: dict[int, SparseRandomProjection] = {}

    def size(self, values: int) -> int:
        """Number of dimensions that `values` values become."""
        return min(self.dimensions, values)

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Project values (image, …), flattened, to (image, dimension)."""
        flat = values.flatten(1)
        if flat.shape[1] <= self.dimensions:
            return flat
        if flat.shape[1] not in self._drawn:
            drawn = SparseRandomProjection(self.dimensions, random_state=self.seed)
            self._drawn[flat.shape[1]] = drawn.fit(np.zeros((1, flat.shape[1]), np.float32))
        shown = flat.float().cpu().numpy()
        return torch.from_numpy(np.ascontiguousarray(self._drawn[flat.shape[1]].transform(shown)))
