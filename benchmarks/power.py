"""How many effects of known size are found, beside what could be found and what is commonly done.

    python benchmarks/power.py                       every case
    python benchmarks/power.py "4 runs of 50" --layers 12 --studies 5

Prints a Markdown table, line by line. README.md says what its columns mean.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from null_studies import Epochs, Network, Null, Person, Shown, Story
from tqdm import tqdm

from neuroalign.alignment.evaluation import evaluate as evaluation
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.inference import significance
from neuroalign.design.features import design_subject
from neuroalign.settings.statistics import Inference

LEVEL = 0.05
INFERENCE = Inference(permutations=999)
STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.4)
CASES = {
    "4 runs of 50": Story(lengths=(50,) * 4, targets=100),
    "4 runs of 150": Story(lengths=(150,) * 4, targets=100),
    "8 runs of 25": Story(lengths=(25,) * 8, targets=100),
    "200 trials": Shown(items=200, repeats=(1,), targets=100),
    "1000 trials": Shown(items=1000, repeats=(1,), targets=100),
    "EEG, 100 items twice": Epochs(channels=10, latencies=10),
}
COLUMNS = (
    "case",
    "layers",
    "studies",
    "true r",
    "ours",
    "by the model of layers",
    "oracle",
    "one layer, shifts",
)


@dataclass(frozen=True)
class Tried:
    """What one study gives, target by target.

    Attributes
    ----------
    strength : array (n_targets,)
        The correlation of a perfect model with the response.
    score : array (n_targets,)
        Unique correlation, averaged over folds.
    ours, model, plain : bool arrays (n_targets,)
        Whether a target is found: with the null as measured; with that of layers that have nothing in common;
        and by shifting folds by themselves, of the layer that drives it.
    """

    strength: np.ndarray
    score: np.ndarray
    ours: np.ndarray
    model: np.ndarray
    plain: np.ndarray


def layered(network: Network, n_layers: int, rng: np.random.Generator) -> Network:
    """So many layers, of which neighbours are alike: each holds .9 of the variance of the one before."""
    shape = network.values.shape[1:]
    values = [rng.standard_normal(shape)]
    for _ in range(n_layers - 1):
        values.append(np.sqrt(0.9) * values[-1] + np.sqrt(0.1) * rng.standard_normal(shape))
    return Network(np.stack(values), network.inputs)


def planted(null: Null, person: Person, rng: np.random.Generator) -> tuple[xr.Dataset, np.ndarray]:
    """Responses of which targets follow the middle layer, and how strongly each does."""
    network = null.network
    design = design_subject(person.fitted, person.events, null.design, ())
    features = design.features(network.values[len(network.values) // 2]).astype(float)
    noise = person.fitted["response"].values
    signal = (features - features.mean(axis=0)) @ rng.standard_normal((features.shape[1], noise.shape[1]))
    strength = np.resize(STRENGTHS, noise.shape[1])
    noise, signal = ((side - side.mean(axis=0)) / side.std(axis=0) for side in (noise, signal))
    made = person.fitted.copy()
    data = strength * signal + np.sqrt(1 - strength**2) * noise
    made["response"] = (("sample", "target"), data.astype(np.float32))
    return made, strength


def fitted(null: Null, network: Network, responses: xr.Dataset, person: Person) -> xr.Dataset:
    with tempfile.TemporaryDirectory() as folder:
        return evaluate(
            responses,
            person.events,
            network,
            null.design,
            null.encoder(responses),
            Path(folder) / "partial",
            "power",
        )[1]


def tried(null: Null, n_layers: int, seed: int) -> Tried:
    """One study, planted, fitted and tested in three ways."""
    rng = np.random.default_rng([seed, n_layers])
    null = replace(null, network=layered(null.network, n_layers, rng))
    person = null.people[0]
    responses, strength = planted(null, person, rng)
    predictions = fitted(null, null.network, responses, person)
    ours = significance.test(predictions, responses, INFERENCE, seed)
    by_model = predictions.copy()
    del by_model.attrs["width"]
    model = significance.test(by_model, responses, INFERENCE, seed)
    middle = null.network.values[len(null.network.values) // 2]
    single = Network(middle[None], null.network.inputs)
    alone = fitted(null, single, responses, person).assign_attrs(width=1.0)
    plain = significance.test(alone, responses, INFERENCE, seed)
    found = ((one["p"].values <= LEVEL) for one in (ours, model, plain))
    return Tried(strength, ours["r_unique"].values, *found)


def lines(name: str, n_layers: int, studies: list[Tried]) -> list[str]:
    """A line per strength; the oracle's threshold is what noise of all studies exceeds once in twenty."""
    nothing = np.concatenate([one.score[one.strength == 0] for one in studies])
    threshold = np.quantile(nothing, 1 - LEVEL)
    rows = []
    for strength in STRENGTHS:
        shares = [
            np.array([getattr(one, way)[one.strength == strength].mean() for one in studies])
            for way in ("ours", "model", "plain")
        ]
        oracle = np.mean([(one.score[one.strength == strength] > threshold).mean() for one in studies])
        cells = [f"{100 * one.mean():.0f}" for one in shares]
        cells.insert(2, f"{100 * oracle:.0f}")
        rows.append(f"| {name} | {n_layers} | {len(studies)} | {strength:g} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--layers", type=int, nargs="*", default=[1, 4, 12])
    asked = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS), sep="\n", flush=True)
    for name in asked.cases or CASES:
        for n_layers in asked.layers:
            nulls = (CASES[name].draw(np.random.default_rng(seed), 1) for seed in range(asked.studies))
            studies = [tried(null, n_layers, seed) for seed, null in enumerate(nulls)]
            print("\n".join(lines(name, n_layers, studies)), flush=True)


if __name__ == "__main__":
    # One line per layer and study would bury the table.
    evaluation.tqdm = partial(tqdm, disable=True)
    main()
