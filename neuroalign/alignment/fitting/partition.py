"""What a network explains that nuisance features do not, and what either would explain: parts of R².

With R²(·) held-out scores of models of both sets of features or of one set alone, each fitted with
penalties of its own,

    unique to the network    R²(both) − R²(nuisance)
    unique to the nuisance   R²(both) − R²(network)
    shared                   R²(network) + R²(nuisance) − R²(both)

and the three add up to R²(both) (variation partitioning: Borcard et al. 1992, Ecology 73:1045; for encoding
models: Lescroart et al. 2015, Front. Comput. Neurosci. 9:135). In training data a unique part cannot be
negative; in held-out data it is where the further features cost more than they bring, and the shared
part is where the two sets of features help only together. Neither is clipped: a mean over targets of parts
cut off at zero would find something in pure noise.
"""

from __future__ import annotations

import numpy as np

PARTS = ("unique_network", "shared", "unique_nuisance")
"""Parts of R²(both), which they add up to."""

PRODUCT = ("product_network", "product_nuisance")
"""Another split of the same R²: the product measure of either band's share in the prediction of both."""

WEIGHT = "network_weight"
"""The network band's share of the weights of both, chosen per target: 0 ignores it, 1 the nuisance."""


def partition(both: np.ndarray, network: np.ndarray, nuisance: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of R², by their names in `PARTS`, from the R² of three models (any shape).

    >>> {name: float(part) for name, part in partition(*np.array([0.25, 0.125, 0.1875])).items()}
    {'unique_network': 0.0625, 'shared': 0.0625, 'unique_nuisance': 0.125}
    """
    return {
        "unique_network": both - nuisance,
        "shared": network + nuisance - both,
        "unique_nuisance": both - network,
    }
