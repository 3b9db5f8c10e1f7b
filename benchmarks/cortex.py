"""A simulated visual cortex: people who look at images, and voxels of which all is known.

Images are smooth random fields of features over a grid. Every layer of a network is a nonlinear function of
the one before, which it also blurs: tokens (image, place, unit). A voxel reads one layer more than others,
through a Gaussian window in the image (centre and size: its receptive field), by a tuning of its own to the
units; noise is added. Some images are seen by everybody, others by one person each; test images by nobody
before, and the responses to them have no noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter

TEST_IMAGES = 300


@dataclass(frozen=True)
class Regime:
    """What kind of cortex, and how much is measured of it.

    Attributes
    ----------
    name : str
    subjects, targets, items : int
        People, voxels of each, images that each sees.
    shared : int
        Images that all see, of those.
    side, layers, units : int
        The network: side × side tokens per layer, with so many units.
    smooth : float
        How far features of images reach, in tokens.
    sizes : (float, float)
        Least and greatest standard deviation of receptive fields; the image is 1 wide.
    axes : int
        What voxels are tuned to: mixtures of so many directions in a layer's units; 0: any direction.
    others : float
        How much the layers that are not preferred weigh together, beside 1 of the preferred one.
    noise : float
        Standard deviation of noise over that of the signal.
    """

    name: str
    subjects: int
    targets: int
    items: int
    shared: int
    side: int
    layers: int
    units: int
    smooth: float
    sizes: tuple[float, float]
    axes: int
    others: float
    noise: float

    def people(self, subjects: int) -> Regime:
        """The same with other numbers of people."""
        return replace(self, subjects=subjects)


# Sizes of fields, units, smoothness and noise were set by what ridge regression reaches: .81 in the first (on
# all tokens; .68 on their mean), .71 in the second (.55).
CORTEX = Regime("cortex", 3, 100, 400, 100, 6, 4, 16, 1.0, (0.15, 0.35), 8, 0.3, 1.2)
LOCAL = Regime("local", 3, 150, 300, 100, 6, 3, 16, 0.65, (0.10, 0.32), 0, 0.2, 1.2)
REGIMES = {regime.name: regime for regime in (CORTEX, LOCAL)}

Layers = dict[str, np.ndarray]


@dataclass(frozen=True)
class Person:
    """What one person saw and how the cortex responded, and the truth about every voxel.

    Attributes
    ----------
    tokens : dict of arrays (item, token, unit)
        By layer.
    responses : array (item, target)
    clean : array (test image, target)
        Responses to the test images, less noise.
    centres : array (target, 2)
        x and y of receptive fields, from 0 to 1.
    sizes : array (target,)
    preferred : int array (target,)
        Layer.
    """

    tokens: Layers
    responses: np.ndarray
    clean: np.ndarray
    centres: np.ndarray
    sizes: np.ndarray
    preferred: np.ndarray

    def first(self, items: int) -> Person:
        """The same with the first items only."""
        tokens = {name: values[:items] for name, values in self.tokens.items()}
        return replace(self, tokens=tokens, responses=self.responses[:items])


@dataclass(frozen=True)
class Cortex:
    """People, the images that nobody has seen, and where tokens are.

    Attributes
    ----------
    people : dict of Person
    test : dict of arrays (test image, token, unit)
    places : array (token, 2)
        x and y, from 0 to 1.
    """

    people: dict[str, Person]
    test: Layers
    places: np.ndarray


def simulate(regime: Regime, seed: int) -> Cortex:
    """Another cortex for every seed."""
    own = regime.items - regime.shared
    n_images = TEST_IMAGES + regime.shared + regime.subjects * own
    layers = network(regime, n_images, seed)
    axes = np.random.default_rng([seed, 1]).standard_normal((regime.layers, regime.axes, regime.units))
    axis = (np.arange(regime.side) + 0.5) / regime.side
    places = np.stack([np.tile(axis, regime.side), np.repeat(axis, regime.side)], 1)
    people = {}
    for number in range(regime.subjects):
        private = TEST_IMAGES + regime.shared + number * own + np.arange(own)
        seen = np.concatenate([TEST_IMAGES + np.arange(regime.shared), private])
        draws = np.random.default_rng([seed, 2, number])
        people[f"sub-{number + 1:02d}"] = _person(
            regime, layers, places, axes, draws.permutation(seen), draws
        )
    test = {name: values[:TEST_IMAGES] for name, values in layers.items()}
    return Cortex(people, test, places.astype(np.float32))


def network(regime: Regime, n_images: int, seed: int) -> Layers:
    """Tokens (image, token, unit) of all layers, with mean 0 and variance 1; more images change none."""
    draws, weights = (np.random.default_rng([seed, part]) for part in (0, 3))
    shape = (n_images, regime.side, regime.side, regime.units)
    values = _standard(gaussian_filter(draws.standard_normal(shape), (0, regime.smooth, regime.smooth, 0)))
    layers = {}
    for number in range(regime.layers):
        mixing = weights.standard_normal((regime.units, regime.units)) / np.sqrt(regime.units)
        values = np.maximum(values @ mixing, 0)
        if number:
            values = 0.6 * values + 0.4 * gaussian_filter(values, (0, 0.7, 0.7, 0))
        values = _standard(values)
        layers[f"layer.{number}"] = values.reshape(n_images, -1, regime.units).astype(np.float32)
    return layers


def _person(
    regime: Regime,
    layers: Layers,
    places: np.ndarray,
    axes: np.ndarray,
    seen: np.ndarray,
    draws: np.random.Generator,
) -> Person:
    n = regime.targets
    centres, sizes = draws.uniform(0, 1, (n, 2)), draws.uniform(*regime.sizes, n)
    window = np.exp(-((places - centres[:, None]) ** 2).sum(-1) / (2 * sizes[:, None] ** 2))
    window /= window.sum(1, keepdims=True)
    preferred = draws.integers(0, regime.layers, n)
    share = np.full((n, regime.layers), regime.others / max(regime.layers - 1, 1))
    share[np.arange(n), preferred] = 1
    signal = np.zeros((len(next(iter(layers.values()))), n))
    for number, values in enumerate(layers.values()):
        tuning = draws.standard_normal((n, regime.axes or regime.units))
        if regime.axes:
            tuning = tuning @ axes[number]
        part = np.einsum("ntu,vt,vu->nv", values, window, tuning, optimize=True)
        signal += share[:, number] * part / part.std(0)
    signal /= signal.std(0)
    responses = signal[seen] + regime.noise * draws.standard_normal((len(seen), n))
    return Person(
        {name: values[seen] for name, values in layers.items()},
        responses.astype(np.float32),
        signal[:TEST_IMAGES],
        centres,
        sizes,
        preferred,
    )


def _standard(values: np.ndarray) -> np.ndarray:
    """Units with mean 0 and variance 1 over images and places."""
    standard: np.ndarray = (values - values.mean((0, 1, 2))) / values.std((0, 1, 2))
    return standard
