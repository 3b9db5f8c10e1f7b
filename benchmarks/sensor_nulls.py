"""How often do EEG studies without an effect, or without an order of layers, say that there is one?

    python benchmarks/sensor_nulls.py                       every case: alone and groups of eight
    python benchmarks/sensor_nulls.py "epochs" --alone      some, without groups
    python benchmarks/sensor_nulls.py --studies 20          fewer studies: wide intervals

Prints a Markdown table, line by line. README.md says what its columns mean.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from null_studies import Epochs, Null, Ongoing, Person, Shown
from nulls import LEVEL, count, share
from tqdm import tqdm

from neuroalign.alignment.evaluation import evaluate as evaluation
from neuroalign.alignment.evaluation.courses import Resampling
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.group import over_subjects
from neuroalign.alignment.inference import significance
from neuroalign.alignment.timing.epochs import timing
from neuroalign.alignment.timing.group import combine_timing
from neuroalign.artefacts.arrays import build_responses
from neuroalign.design.trials import average_repeats, with_contents
from neuroalign.settings.statistics import Inference

MANY = 8
SETTINGS = {
    name: Inference(correction=name, permutations=499, bootstraps=200) for name in ("cluster", "tfce")
}
STEP_S = 0.03


@dataclass(frozen=True)
class Cap(Epochs):
    """Epochs of electrodes with places, so that neighbours are known.

    Attributes
    ----------
    between : float
        How much of the noise of a trial is that of the trial before.
    effect : float
        All layers hold some content alike, which drives the first half of the channels at one time; what is
        theirs alone drives nothing. 0 leaves noise.
    layers : int
    """

    items: int = 60
    units: int = 8
    channels: int = 12
    latencies: int = 14
    between: float = 0.0
    effect: float = 0.0
    layers: int = 5

    def draw(self, rng: np.random.Generator, n_people: int) -> Null:
        made = super().draw(rng, n_people)
        common = rng.standard_normal((self.items, self.units))
        own = rng.standard_normal((self.layers, self.items, self.units))
        values = np.sqrt(0.7) * common + np.sqrt(0.3) * own if self.effect else own
        people = [self._with_effect(one, common, rng) for one in made.people]
        network = type(made.network)(values, made.network.inputs)
        contents = people[0].shown.groupby("item")["content"].first().to_numpy()
        by_item = network.values[:, contents]
        return Null(people, type(network)(by_item, contents.astype(np.uint64)), made.design, made.encoder)

    def noise(self, rng: np.random.Generator, session: np.ndarray) -> np.ndarray:
        made = super().noise(rng, session)
        for row in range(1, len(made)):
            made[row] = self.between * made[row - 1] + np.sqrt(1 - self.between**2) * made[row]
        return made

    def _with_effect(self, person: Person, common: np.ndarray, rng: np.random.Generator) -> Person:
        """The same person, its trials driven by what they showed, and averaged anew."""
        profile = np.exp(-((self.times - self.times[self.latencies // 2]) ** 2) / (2 * 0.06**2))
        weights = rng.standard_normal((self.units, self.channels)) / np.sqrt(self.units)
        weights[:, self.channels // 2 :] = 0
        driven = (common @ weights)[person.shown["content"].to_numpy()][:, :, None] * profile
        recorded = person.recorded.copy()
        recorded["response"] = recorded["response"] + self.effect * driven.reshape(len(driven), -1)
        fitted, kept = average_repeats(recorded, person.shown) if self.average else (recorded, person.shown)
        return Person(with_contents(fitted, kept), kept, recorded, person.shown)

    @property
    def times(self) -> np.ndarray:
        return STEP_S * (np.arange(self.latencies) - 2)

    def _label(self, data: np.ndarray, samples: pd.DataFrame, subject: str) -> xr.Dataset:
        made = build_responses(
            data,
            samples,
            electrodes(self.channels, self.times),
            subject=subject,
            kind="sensors",
            samples="trials",
        )
        return made


@dataclass(frozen=True)
class Listened(Ongoing):
    """Continuous EEG of electrodes with places."""

    word_rate: float = 0.5

    def _label(self, data: np.ndarray, samples: pd.DataFrame, subject: str) -> xr.Dataset:
        made = build_responses(
            data,
            samples,
            electrodes(self.targets, None),
            subject=subject,
            kind="sensors",
            tr=self.step,
            high_pass_hz=0.0,
        )
        made["confound_value"] = (("sample", "confound"), np.empty((len(samples), 0), np.float32))
        return made


def electrodes(n: int, times: np.ndarray | None) -> pd.DataFrame:
    """Targets on a golden spiral over the upper half of a head of 9 cm, channel by channel."""
    height = 1 - (np.arange(n) + 0.5) / n
    around = np.pi * (1 + np.sqrt(5)) * np.arange(n)
    flat = np.sqrt(1 - height**2)
    places = 0.09 * np.stack([flat * np.cos(around), flat * np.sin(around), height], axis=1)
    moments = 1 if times is None else len(times)
    table = pd.DataFrame(np.repeat(places, moments, axis=0), columns=list("xyz"))
    table["channel"] = np.repeat([f"E{number}" for number in range(n)], moments)
    table["channel_type"] = "eeg"
    table["name"] = table["channel"]
    if times is not None:
        table["latency"] = np.tile(times, n)
        table["name"] += [f" {1000 * time:.0f} ms" for time in table["latency"]]
    return table


CASES: dict[str, Shown | Listened] = {
    "epochs": Cap(),
    "epochs, trial by trial": Cap(average=False),
    "epochs, trials alike": Cap(between=0.7, average=False),
    "epochs, 40 items once": Cap(items=40, repeats=(1,), average=False),
    "epochs, layers at one time": Cap(effect=1.0),
    "epochs, layers at one time, strong": Cap(effect=3.0, items=100),
    "continuous": Listened(),
}

TARGETS = {
    "p < .05": lambda one: (one["p"] <= LEVEL).mean(),
    "any by FDR": lambda one: (one["q"] <= LEVEL).any(),
    "any by maximum": lambda one: (one["p_max"] <= LEVEL).any(),
    "any by cluster": lambda one: (one["p_cluster"] <= LEVEL).any(),
    "any by TFCE": lambda one: (one["p_tfce"] <= LEVEL).any(),
}


def _outside(bounds: np.ndarray) -> float:
    """Whether an interval (estimate, low, high) leaves out 0; NaN without one."""
    _, low, high = bounds
    return float(low > 0 or high < 0) if np.isfinite(bounds).all() else float("nan")


def _rejected(p: float) -> float:
    return float(p <= LEVEL) if np.isfinite(p) else float("nan")


TIMES: dict[str, Callable[[xr.Dataset], float]] = {
    "layers with a peak": lambda one: np.isfinite(one["peak"].values).mean(),
    "chosen layer with an onset": lambda one: float(np.isfinite(one["chosen_onset"].values)),
    "identified, p < .05": lambda one: (one["identification_p"].values <= LEVEL).mean(),
    "identified, any by maximum": lambda one: float((one["identification_p_max"].values <= LEVEL).any()),
    "depth follows peaks": lambda one: _outside(one["depth_by_peak"].values),
    "depth follows onsets": lambda one: _outside(one["depth_by_onset"].values),
    "sign test of peaks": lambda one: (
        _rejected(float(one["depth_by_peak_p"])) if "depth_by_peak_p" in one else float("nan")
    ),
}

COUNTED = (
    *("any by FDR", "any by maximum", "any by cluster", "any by TFCE", "chosen layer with an onset"),
    *("identified, any by maximum", "depth follows peaks", "depth follows onsets", "sign test of peaks"),
)
"""Columns that are yes or no in a study; the others are shares of its targets, layers or latencies."""


@dataclass(frozen=True)
class Made:
    """One person: its tests by correction, and its timing where it has one."""

    tests: dict[str, xr.Dataset]
    timing: xr.Dataset | None


def person(null: Null, one: Person, seed: int) -> Made:
    """One person fitted, tested and timed, by the way that a workflow goes."""
    resampling = Resampling(SETTINGS["cluster"].bootstraps, seed)
    with tempfile.TemporaryDirectory() as folder:
        scores, predictions = evaluate(
            one.fitted,
            one.events,
            null.network,
            null.design,
            null.encoder(one.fitted),
            Path(folder) / "partial",
            "null",
            resampling=resampling,
        )
    tests = {
        name: significance.test(predictions, one.fitted, settings, seed)
        for name, settings in SETTINGS.items()
    }
    timed = None
    if "course" in scores:
        timed = timing(scores, predictions, one.fitted, SETTINGS["cluster"], seed)
    return Made(tests, timed)


def verdicts(tests: dict[str, xr.Dataset], of: xr.Dataset | None) -> dict[str, float]:
    """What one study says, of a person or of a group."""
    values = {name: one.values for test in tests.values() for name, one in test.data_vars.items()}
    found = {name: float(told(values)) for name, told in TARGETS.items()}
    return found | ({} if of is None else {name: float(told(of)) for name, told in TIMES.items()})


def group(people: list[Made], seed: int) -> dict[str, float]:
    """What a group of them says."""
    found = {}
    for name, settings in SETTINGS.items():
        tests = [one.tests[name] for one in people]
        unique, p = (np.stack([one[part].values for one in tests]) for part in ("r_unique", "p"))
        data, _ = over_subjects(unique.astype(float), p.astype(float), settings, seed, tests)
        found[name] = xr.Dataset(data)
    timed = [one.timing for one in people if one.timing is not None]
    labelled = [one.assign_attrs(subject=str(place)) for place, one in enumerate(timed)]
    made = combine_timing(labelled, SETTINGS["cluster"], seed) if labelled else None
    return verdicts(found, made)


def line(name: str, studies: list[dict[str, float]]) -> str:
    cells = []
    for column in (*TARGETS, *TIMES):
        values = [one[column] for one in studies if np.isfinite(one.get(column, np.nan))]
        if len(values) < 2:
            cells.append("")
        elif column in COUNTED:
            some = f" of {len(values)}" if len(values) < len(studies) else ""
            cells.append(count(values) + some)
        else:
            cells.append(share(values))
    return f"| {name} | {len(studies)} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--alone", action="store_true", help="no groups")
    asked = parser.parse_args()
    head = ("case", "studies", *TARGETS, *TIMES)
    print("| " + " | ".join(head) + " |", "|" + "---|" * len(head), sep="\n", flush=True)
    for name in asked.cases or CASES:
        alone, together = [], []
        for seed in range(asked.studies):
            null = CASES[name].draw(np.random.default_rng(seed), 1 if asked.alone else MANY)
            people = [person(null, one, seed) for one in null.people]
            alone.append(verdicts(people[0].tests, people[0].timing))
            if not asked.alone:
                together.append(group(people, seed))
        print(line(name, alone), flush=True)
        if together:
            print(line(f"{name}: {MANY} people", together), flush=True)


if __name__ == "__main__":
    # One line per layer and study would bury the table.
    evaluation.tqdm = partial(tqdm, disable=True)
    main()
