"""A planted study without files: random layers, targets that each follow one of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from neuroalign.arrays import build_responses
from neuroalign.config import Design
from neuroalign.design.features import design_subject

RUNS, N, WORDS, UNITS, LAYERS = 4, 110, 200, 6, 4


@dataclass
class Layers:
    """Activations in memory, with the face of `arrays.Activations`."""

    values: np.ndarray
    inputs: np.ndarray

    @property
    def layers(self):
        return tuple(f"block.{place}" for place in range(len(self.values)))

    @property
    def depth(self):
        return np.linspace(0, 1, len(self.values))

    def read(self, layer):
        return self.values[layer]


@dataclass
class Planted:
    """Responses of which target t follows layer `layer[t]`; −1 only word rate, −2 nothing."""

    responses: object
    events: pd.DataFrame
    activations: Layers
    layer: np.ndarray


@pytest.fixture
def make_layers():
    return Layers


@pytest.fixture
def planted(rng):
    n_words = RUNS * WORDS
    activations = Layers(rng.standard_normal((LAYERS, n_words, UNITS)), np.arange(n_words, dtype=np.uint64))
    events = pd.DataFrame(
        {
            "subject": "01",
            "run": np.repeat([f"run-{place}" for place in range(RUNS)], WORDS),
            "onset": np.sort(rng.uniform(0, N * 2 - 8, (RUNS, WORDS)), axis=1).ravel(),
            "duration": 0.3,
            "item": np.arange(n_words),
        }
    )
    samples = pd.DataFrame(
        {
            "run": np.repeat([f"run-{place}" for place in range(RUNS)], N),
            "time_s": np.tile(np.arange(N) * 2.0, RUNS),
        }
    )
    layer = np.concatenate([np.repeat(np.arange(LAYERS), 5), [-1] * 10, [-2] * 20])
    names = pd.DataFrame({"name": [f"t{place}" for place in range(len(layer))]})
    noise = rng.standard_normal((RUNS * N, len(layer)))

    def label(data):
        made = build_responses(data, samples, names, subject="01", kind="parcels", tr=2.0, high_pass_hz=0.0)
        made["confound_value"] = (("sample", "confound"), np.empty((RUNS * N, 0), np.float32))
        return made

    design = design_subject(label(noise), events, Design())
    signal = np.zeros_like(noise)
    for target, source in enumerate(layer):
        if source >= 0:
            signal[:, target] = design.features(activations.values[source]) @ rng.standard_normal(UNITS * 4)
        elif source == -1:
            signal[:, target] = design.nuisance @ rng.uniform(0.5, 1, design.nuisance.shape[1])
    scale = np.where(signal.std(axis=0) > 0, signal.std(axis=0), 1)
    return Planted(label(signal / scale + 0.8 * noise), events, activations, layer)
