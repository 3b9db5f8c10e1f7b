"""How often is something found where there is nothing, in studies of every kind?

    python benchmarks/nulls.py                       every case alone: half an hour on one core
    python benchmarks/nulls.py "trials, 3 repeats"   some
    python benchmarks/nulls.py --studies 20          fewer studies: wide intervals

Prints a Markdown table, line by line. README.md says what its columns mean.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr
from null_studies import Epochs, Null, Ongoing, Person, Shown, Story
from tqdm import tqdm

from neuroalign.alignment.ceiling.noise_ceiling import ceilings
from neuroalign.alignment.evaluation import evaluate as evaluation
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.group import combine
from neuroalign.alignment.inference import significance
from neuroalign.alignment.layers import summarise
from neuroalign.settings.design import Design, Folds
from neuroalign.settings.statistics import Ceiling, Inference

LEVEL, FEW, MANY = 0.05, 3, 8
INFERENCE = Inference(permutations=999)
CEILING = Ceiling()
BLOCKS = Design(folds=Folds(by="block", n=5, gap_s=10))

CASES = {
    "fMRI, 4 runs of 80": Story(word_rate=1.0),
    "fMRI, 4 runs of 80, no word rate": Story(),
    "fMRI, 8 runs of 30": Story(lengths=(30,) * 8, word_rate=1.0),
    "fMRI, 2 runs of 120": Story(lengths=(120,) * 2, word_rate=1.0),
    "fMRI, 5 blocks of one run": Story(lengths=(300,), word_rate=1.0, design=BLOCKS),
    "fMRI, one feature": Story(units=1, word_rate=1.0, design=Design(delays=(4.0,))),
    "fMRI, network knows word rate only": Story(word_rate=1.0, only_rate=True),
    "fMRI, later layers slower": Story(word_rate=1.0, memory=(0.0, 0.7, 0.95)),
    "trials, 3 repeats": Shown(),
    "trials, 1 to 4 repeats": Shown(repeats=(1, 2, 3, 4)),
    "trials, 1 to 4 repeats, averaged": Shown(repeats=(1, 2, 3, 4), average=True),
    "EEG epochs": Epochs(),
    "EEG epochs, trial by trial": Epochs(average=False),
    "continuous EEG": Ongoing(word_rate=0.5),
    "continuous EEG, network knows word rate only": Ongoing(word_rate=0.5, only_rate=True),
}

GROUPS = ("fMRI, 4 runs of 80", "trials, 3 repeats", "EEG epochs", "continuous EEG")
"""Cases that are also drawn with `MANY` people who are shown the same, of whom `FEW` make a group, too."""

COLUMNS = ("case", "studies", "p < .05", "any by FDR", "any by maximum", "best layers", "p", "ceilings")


@dataclass(frozen=True)
class Found:
    """What one study says: of a person or of a group of them.

    Attributes
    ----------
    p, any_fdr, any_max : float
        Share of targets with p below the level; whether any passes a correction.
    layers : array (n_layers,)
        Share of targets with each as their best.
    ceiling : float
        Share of ceilings called above chance; NaN where nothing was repeated and nobody saw the same.
    """

    p: float
    any_fdr: float
    any_max: float
    layers: np.ndarray
    ceiling: float


@dataclass(frozen=True)
class Fitted:
    """One person and what was predicted of it."""

    person: Person
    scores: xr.Dataset
    predictions: xr.Dataset


def fit(null: Null) -> list[Fitted]:
    """Every person of a study fitted, by the way that a workflow goes."""
    found = []
    for person in null.people:
        with tempfile.TemporaryDirectory() as folder:
            scores, predictions = evaluate(
                person.fitted,
                person.events,
                null.network,
                null.design,
                null.encoder(person.fitted),
                Path(folder) / "partial",
                "null",
            )
        found.append(Fitted(person, scores, predictions))
    return found


def summaries(people: list[Fitted], average: bool, seed: int) -> list[xr.Dataset]:
    """Their ceilings, tests and summaries; `average` says that means over repeats were predicted."""
    responses = {one.scores.attrs["subject"]: one.person.recorded for one in people}
    events = pd.concat([one.person.shown for one in people], ignore_index=True)
    limits = ceilings(responses, events, CEILING, seed, average)
    found = []
    for one in people:
        tested = significance.test(one.predictions, one.person.fitted, INFERENCE, seed)
        alone = one.scores[["chosen_r"]] * float("nan")
        found.append(summarise(one.scores, alone, tested, limits[one.scores.attrs["subject"]]))
    return found


def told(summary: xr.Dataset) -> Found:
    """What a summary says where there is nothing to say."""
    best = summary["best_layer"].values
    limited = np.isfinite(summary["raw_r"].values).any()
    return Found(
        float((summary["p"].values <= LEVEL).mean()),
        float((summary["q"].values <= LEVEL).any()),
        float((summary["p_max"].values <= LEVEL).any()),
        np.array([(best == layer).mean() for layer in range(summary.sizes["layer"])]),
        float(summary["above_chance"].values.mean()) if limited else float("nan"),
    )


def share(values: list[float]) -> str:
    """A mean share with its 95 % interval: by Student's t, the studies being the units."""
    spread = scipy.stats.sem(values) * scipy.stats.t.ppf(0.975, len(values) - 1)
    return percent(np.mean(values), np.mean(values) - spread, np.mean(values) + spread)


def count(values: list[float]) -> str:
    """A share of studies with its 95 % interval by Clopper and Pearson."""
    found = scipy.stats.binomtest(int(sum(values)), len(values)).proportion_ci(0.95, "exact")
    return percent(np.mean(values), found.low, found.high)


def percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} ({max(100 * low, 0):.1f}–{100 * high:.1f})"


def layers_differ(shares: np.ndarray) -> float:
    """p of layers being best equally often, by Hotelling's T² over shares (n_studies, n_layers)."""
    apart = shares[:, 1:] - 1 / shares.shape[1]
    n, k = apart.shape
    mean = apart.mean(axis=0)
    squared = n * mean @ np.linalg.pinv(np.cov(apart.T)) @ mean
    return float(scipy.stats.f.sf(squared * (n - k) / (k * (n - 1)), k, n - k))


def line(name: str, found: list[Found]) -> str:
    shares = np.array([one.layers for one in found])
    return (
        "| "
        + " | ".join(
            [
                name,
                str(len(found)),
                share([one.p for one in found]),
                count([one.any_fdr for one in found]),
                count([one.any_max for one in found]),
                " · ".join(f"{100 * value:.0f}" for value in shares.mean(axis=0)),
                f"{layers_differ(shares):.2f}",
                share([one.ceiling for one in found]) if np.isfinite(found[0].ceiling) else "",
            ]
        )
        + " |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--groups", action="store_true", help=f"of {MANY} people")
    asked = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), sep="\n", flush=True)
    for name in asked.cases or (GROUPS if asked.groups else CASES):
        alone: list[Found] = []
        groups: dict[int, list[Found]] = {FEW: [], MANY: []}
        for seed in range(asked.studies):
            null = CASES[name].draw(np.random.default_rng(seed), MANY if asked.groups else 1)
            made = summaries(fit(null), null.design.repeats == "average", seed)
            alone.append(told(made[0]))
            for size, found in groups.items() if asked.groups else ():
                found.append(told(combine(made[:size], INFERENCE, seed)))
        print(line(name, alone), flush=True)
        for size, found in groups.items() if asked.groups else ():
            print(line(f"{name}: {size} people", found), flush=True)


if __name__ == "__main__":
    # One line per layer and study would bury the table.
    evaluation.tqdm = partial(tqdm, disable=True)
    main()
