"""Studies in which no target follows a network: responses are noise and, where asked, word rate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy.signal
import scipy.stats
import xarray as xr

from neuroalign.alignment.fitting.fold import FoldEncoder
from neuroalign.alignment.fitting.lagged_ridge import FoldLaggedRidge
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.artefacts.arrays import build_responses
from neuroalign.design.resample import remove_drifts
from neuroalign.design.trials import average_repeats, with_contents
from neuroalign.settings.design import Design, Folds, Lags, Nuisance

ALPHAS = np.logspace(-1, 5, 7)
HIGH_PASS_HZ, TR, RATE_HZ = 0.01, 2.0, 32
LAYERS = 3


@dataclass(frozen=True)
class Network:
    """Activations in memory, with the face of `arrays.Activations`."""

    values: np.ndarray
    inputs: np.ndarray
    timed = False

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(f"block.{place}" for place in range(len(self.values)))

    @property
    def depth(self) -> np.ndarray:
        return np.linspace(0, 1, len(self.values))

    def read(self, layer: int) -> np.ndarray:
        return self.values[layer]


@dataclass(frozen=True)
class Person:
    """One subject of a study.

    Attributes
    ----------
    fitted, events
        What is predicted: of averaged repeats, their means.
    recorded, shown
        What ceilings are made of: single trials; of time series the noise alone, since word rate is a signal
        that listeners share.
    """

    fitted: xr.Dataset
    events: pd.DataFrame
    recorded: xr.Dataset
    shown: pd.DataFrame


@dataclass(frozen=True)
class Null:
    """A study: people who were shown the same."""

    people: list[Person]
    network: Network
    design: Design
    encoder: Callable[[xr.Dataset], FoldEncoder]


@dataclass(frozen=True)
class Story:
    """Time series of listeners.

    Attributes
    ----------
    lengths : tuple of int
        Samples of every run.
    units : int
    design : Design
    word_rate : float
        How strongly it drives responses, relative to the noise.
    only_rate : bool
        Every word is the same to the network, which therefore knows the word rate and nothing else.
    targets : int
    memory : tuple of float
        How much of a word's activation is that of the word before, layer by layer.
    """

    lengths: tuple[int, ...] = (80,) * 4
    units: int = 20
    design: Design = field(default_factory=Design)
    word_rate: float = 0.0
    only_rate: bool = False
    targets: int = 40
    memory: tuple[float, ...] = (0.7,) * LAYERS

    def draw(self, rng: np.random.Generator, n_people: int) -> Null:
        step = self.step
        runs = [f"run-{place}" for place in range(len(self.lengths))]
        events = pd.concat(
            pd.DataFrame({"run": run, "onset": np.sort(rng.uniform(0, step * n - 3 * step, self.words(n)))})
            for run, n in zip(runs, self.lengths, strict=True)
        ).assign(subject="", duration=0.3)
        events["item"] = np.arange(len(events))
        samples = pd.concat(
            pd.DataFrame({"run": run, "time_s": np.arange(n) * step})
            for run, n in zip(runs, self.lengths, strict=True)
        )
        evoked = np.concatenate(
            [
                self.evoked(n, events.loc[events["run"] == run, "onset"].to_numpy())
                for run, n in zip(runs, self.lengths, strict=True)
            ]
        )
        people = []
        for number in range(n_people):
            noise = np.concatenate([self.noise(rng, n) for n in self.lengths])
            driven = noise + self.word_rate * evoked[:, None] * rng.standard_normal(self.targets)
            fitted, recorded = (self._label(data, samples, str(number)) for data in (driven, noise))
            own = events.assign(subject=str(number))
            people.append(Person(fitted, own, recorded, own))
        network = Network(self._activations(rng, len(events)), np.arange(len(events), dtype=np.uint64))
        return Null(people, network, self.design, self.encoder)

    step = TR
    encoder = staticmethod(lambda responses: FoldRidge(ALPHAS))

    def words(self, n: int) -> int:
        return int(1.5 * n)

    def noise(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Autoregressive and 1/f noise of neighbouring targets with a drift, after the high-pass."""
        quick = scipy.signal.lfilter([1], [1, -0.5], rng.standard_normal((n + 30, self.targets)), axis=0)[30:]
        made = (quick / quick.std() + pink(rng, n, self.targets)) @ neighbours(self.targets)
        made += 2 * np.linspace(0, 1, n)[:, None] * rng.standard_normal(self.targets)
        return remove_drifts(made, HIGH_PASS_HZ, TR)

    def evoked(self, n: int, onsets: np.ndarray) -> np.ndarray:
        """Word rate through a double-gamma response with its undershoot, after the high-pass."""
        since = np.arange(n)[:, None] * TR - onsets
        response = (scipy.stats.gamma.pdf(since, 6) - 0.35 * scipy.stats.gamma.pdf(since, 12, scale=0.9)).sum(
            1
        )
        response = remove_drifts(response[:, None], HIGH_PASS_HZ, TR)[:, 0]
        return response / response.std()

    def _activations(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """A constant that every word brings, so that features hold word rate, and what differs."""
        if self.only_rate:
            return np.ones((1, n, 1)) * rng.uniform(0.5, 2, (len(self.memory), 1, self.units))
        made = np.stack(
            [
                np.sqrt(1 - share**2)
                * scipy.signal.lfilter([1], [1, -share], rng.standard_normal((n, self.units)), axis=0)
                for share in self.memory
            ]
        )
        return made + 1.0

    def _label(self, data: np.ndarray, samples: pd.DataFrame, subject: str) -> xr.Dataset:
        targets = pd.DataFrame({"name": [f"t{place}" for place in range(self.targets)]})
        cut = HIGH_PASS_HZ if self.step == TR else 0.0
        kind = "parcels" if self.step == TR else "sensors"
        made = build_responses(
            data, samples, targets, subject=subject, kind=kind, tr=self.step, high_pass_hz=cut
        )
        made["confound_value"] = (("sample", "confound"), np.empty((len(samples), 0), np.float32))
        return made


@dataclass(frozen=True)
class Ongoing(Story):
    """Continuous EEG of listeners: sensors with 1/f noise and alpha, a potential that words evoke."""

    lengths: tuple[int, ...] = (960,) * 4
    units: int = 8
    design: Design = field(default_factory=lambda: Design(lags=Lags(start_s=-0.1, stop_s=0.4)))
    targets: int = 12

    step = 1 / RATE_HZ

    def encoder(self, responses: xr.Dataset) -> FoldEncoder:
        return FoldLaggedRidge.of(responses, self.design.lags, ALPHAS)

    def words(self, n: int) -> int:
        return int(2 * n / RATE_HZ)

    def noise(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return (pink(rng, n, self.targets) + alpha_waves(rng, n, self.targets)) @ neighbours(self.targets)

    def evoked(self, n: int, onsets: np.ndarray) -> np.ndarray:
        since = np.arange(n)[:, None] / RATE_HZ - onsets
        wave = np.where((since > 0) & (since < 0.4), np.sin(2 * np.pi * since / 0.4), 0.0).sum(axis=1)
        return wave / wave.std()


@dataclass(frozen=True)
class Shown:
    """Trials of items that are shown again, in sessions that drift.

    Attributes
    ----------
    repeats : tuple of int
        How often items are shown, in turn.
    average : bool
        Whether means over repeats are predicted.
    units, items, targets : int
    """

    repeats: tuple[int, ...] = (3,)
    average: bool = False
    units: int = 20
    items: int = 100
    targets: int = 40

    sessions = 4

    def draw(self, rng: np.random.Generator, n_people: int) -> Null:
        contents = rng.permutation(self.items)
        people = []
        for number in range(n_people):
            order = rng.permutation(np.repeat(np.arange(self.items), np.resize(self.repeats, self.items)))
            session = np.sort(np.arange(len(order)) % self.sessions)
            events = pd.DataFrame(
                {"subject": str(number), "run": [f"run-{place}" for place in session], "duration": 3.0}
            )
            events["onset"] = 4.0 * events.groupby("run").cumcount()
            events["item"], events["content"] = order, contents[order]
            samples = events[["run"]].assign(time_s=events.groupby("run").cumcount().astype(float))
            recorded = self._label(self.noise(rng, session), samples, str(number))
            fitted, kept = average_repeats(recorded, events) if self.average else (recorded, events)
            people.append(Person(with_contents(fitted, kept), kept, recorded, events))
        values = rng.standard_normal((LAYERS, self.items, self.units))
        network = Network(values, np.arange(self.items, dtype=np.uint64))
        repeats = "average" if self.average else "each"
        design = Design(folds=Folds(by="item"), nuisance=Nuisance(word_rate=False), repeats=repeats)
        return Null(people, network, design, lambda responses: FoldRidge(ALPHAS))

    def noise(self, rng: np.random.Generator, session: np.ndarray) -> np.ndarray:
        """White and slow noise of neighbouring targets, and what a session adds to all of its trials."""
        quick, n = rng.standard_normal((len(session), self.targets)), len(session)
        offset = rng.standard_normal((self.sessions, self.targets))[session]
        return (quick + 0.5 * pink(rng, n, self.targets) + 0.5 * offset) @ neighbours(self.targets)

    def _label(self, data: np.ndarray, samples: pd.DataFrame, subject: str) -> xr.Dataset:
        targets = pd.DataFrame({"name": [f"t{place}" for place in range(data.shape[1])]})
        made = build_responses(data, samples, targets, subject=subject, kind="parcels")
        return made.assign_attrs(samples="trials")


@dataclass(frozen=True)
class Epochs(Shown):
    """Epochs of EEG: channels by latencies, 1/f noise, alpha, and offsets that drift over trials."""

    repeats: tuple[int, ...] = (2,)
    average: bool = True
    channels: int = 8
    latencies: int = 10

    def noise(self, rng: np.random.Generator, session: np.ndarray) -> np.ndarray:
        n = len(session)
        shape = (self.latencies, n * self.channels)
        waves = pink(rng, *shape) + alpha_waves(rng, *shape)
        waves = waves.reshape(self.latencies, n, self.channels).transpose(1, 2, 0)
        waves += 0.5 * pink(rng, n, self.channels)[:, :, None]
        waves = np.einsum("ncl,cd->ndl", waves, neighbours(self.channels))
        return waves.reshape(n, -1)


def pink(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Noise (n, columns) of unit variance whose power falls with 1/f."""
    spectrum = np.fft.rfft(rng.standard_normal((n, columns)), axis=0)
    frequency = np.arange(len(spectrum))
    spectrum[1:] /= np.sqrt(frequency[1:])[:, None]
    spectrum[0] = 0
    made = np.fft.irfft(spectrum, n, axis=0)
    return made / made.std()


def alpha_waves(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Waves (n, columns) of about ten per second, whose phase wanders."""
    phase = (
        2 * np.pi * (rng.uniform(0, 1, columns) + np.cumsum(0.03 * rng.standard_normal((n, columns)), axis=0))
    )
    return np.sin(2 * np.pi * 10 / RATE_HZ * np.arange(n)[:, None] + phase)


def neighbours(n: int) -> np.ndarray:
    """A mixing (n, n) that correlates columns with their neighbours, by e^(−distance / 3)."""
    place = np.arange(n)
    return np.linalg.cholesky(np.exp(-np.abs(place[:, None] - place) / 3)).T
