"""A planted study without files: random layers, targets that each follow one of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign.artefacts.arrays import build_responses
from neuroalign.design.features import design_subject
from neuroalign.settings.design import Design

RUNS, N, WORDS, UNITS, LAYERS = 4, 110, 200, 6, 4


@dataclass
class Layers:
    """Activations in memory, with the face of `arrays.Activations`."""

    values: np.ndarray
    inputs: np.ndarray
    timed = False

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


@pytest.fixture(scope="session")
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


HEARD_RUNS, HEARD_N, HEARD_WORDS, LAG_S = 3, 60, 100, 4.0
KINDS = np.repeat(["block.0", "block.1", "rate", "noise"], 3)


@dataclass
class Heard:
    """What a listener heard and how it answered, and the activations of two layers."""

    responses: object
    events: pd.DataFrame
    activations: object


def hear(seed: int = 0, subject: str = "01") -> Heard:
    """Targets that follow one layer's words of about `LAG_S` seconds ago, the word rate, or nothing."""
    shared, own = np.random.default_rng(5), np.random.default_rng(seed)
    words = np.concatenate(
        [np.sort(shared.uniform(0, 2 * HEARD_N - 2, HEARD_WORDS)) for _ in range(HEARD_RUNS)]
    )
    events = pd.DataFrame(
        {
            "subject": subject,
            "run": np.repeat([f"run-{place}" for place in range(HEARD_RUNS)], HEARD_WORDS),
            "onset": words,
            "duration": 0.3,
            "item": np.arange(HEARD_RUNS * HEARD_WORDS),
        }
    )
    values = shared.standard_normal((2, HEARD_RUNS * HEARD_WORDS, 4)).astype(np.float16)
    activations = Layers(values, np.arange(HEARD_RUNS * HEARD_WORDS, dtype=np.uint64))
    times = np.tile(np.arange(HEARD_N) * 2.0, HEARD_RUNS)
    runs = np.repeat([f"run-{place}" for place in range(HEARD_RUNS)], HEARD_N)
    ago = times[:, None] - words
    near = np.exp(-((ago - LAG_S) ** 2) / 2) * (runs[:, None] == events["run"].to_numpy()) * (ago >= 0)
    weight = near / (near.sum(axis=1, keepdims=True) + 1e-6)
    signal = np.zeros((HEARD_RUNS * HEARD_N, len(KINDS)))
    for place in range(2):
        tuning = np.eye(4)[:, :3]
        signal[:, place * 3 : (place + 1) * 3] = 2 * weight @ values[place].astype(float) @ tuning
    rate = near.sum(axis=1)
    signal[:, KINDS == "rate"] = ((rate - rate.mean()) / rate.std())[:, None]
    data = signal + 0.3 * own.standard_normal(signal.shape)
    samples = pd.DataFrame({"run": runs, "time_s": times})
    names = pd.DataFrame({"name": [f"{kind} {place}" for place, kind in enumerate(KINDS)]})
    about = {"subject": subject, "kind": "parcels", "tr": 2.0, "high_pass_hz": 0.0, "task": "story"}
    responses = build_responses(data, samples, names, **about)
    responses["confound_value"] = (("sample", "confound"), np.empty((HEARD_RUNS * HEARD_N, 0), np.float32))
    return Heard(responses, events, activations)


@pytest.fixture(scope="session")
def heard():
    """A function of a seed and a subject's label that gives a listener."""
    return hear


def sensors(
    data: np.ndarray, latencies: np.ndarray, contents: np.ndarray | None = None, subject: str = "01"
) -> object:
    """Responses (trial, channel, latency) of the first electrodes of a standard cap."""
    import mne

    montage = mne.channels.make_standard_montage("biosemi32")
    names = montage.ch_names[: data.shape[1]]
    info = mne.create_info(names, 100.0, "eeg").set_montage(montage)
    places = {channel["ch_name"]: channel["loc"][:3] for channel in info["chs"]}
    n = len(latencies)
    targets = pd.DataFrame(
        {
            "name": [f"{name} {1000 * at:.0f} ms" for name in names for at in latencies],
            "channel": np.repeat(names, n),
            "channel_type": "eeg",
            "latency": np.tile(latencies, len(names)),
            **{axis: np.repeat([places[name][at] for name in names], n) for at, axis in enumerate("xyz")},
        }
    )
    samples = pd.DataFrame({"run": "run-1", "time_s": np.arange(len(data), dtype=float)})
    about = {"subject": subject, "task": "look", "kind": "sensors", "samples": "trials", "space": ""}
    made = build_responses(data.reshape(len(data), -1), samples, targets, **about)
    shown = np.arange(len(data)) if contents is None else contents
    return made.assign_coords(content=("sample", shown))


@pytest.fixture(scope="session")
def epochs():
    """A function that labels responses (trial, channel, latency) as epochs of EEG."""
    return sensors


@pytest.fixture(scope="session")
def forecast():
    """A function that labels held-out predictions (trial, target) of responses, in so many folds."""

    def label(responses: object, prediction: np.ndarray, n_folds: int = 4) -> object:
        target = {name: one for name, one in responses.coords.items() if one.dims == ("target",)}
        fold = np.random.default_rng(1).permutation(len(prediction)) % n_folds
        return xr.Dataset(
            {
                "prediction": (("sample", "target"), prediction.astype(np.float32)),
                "nuisance": (("sample", "feature"), np.empty((len(prediction), 0))),
                "fold": ("sample", fold[responses["content"].values].astype(np.int16)),
            },
            {"run": responses["run"], "time_s": responses["time_s"], **target},
            responses.attrs,
        )

    return label
