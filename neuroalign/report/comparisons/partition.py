"""What of the predicted variance only the network explains: a picture and a table of the partition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.alignment.fitting.partition import PARTS, PRODUCT, WEIGHT
from neuroalign.artefacts import layout
from neuroalign.report.comparisons import stacks
from neuroalign.report.drawing.palette import Stack
from neuroalign.report.evidence import Evidence, column, mean
from neuroalign.report.figures import Picture
from neuroalign.report.numbers.tables import estimate
from neuroalign.report.regions import ALL

ABOUT = (
    "Every layer was fitted together with the nuisance features, and each of the two alone. What both "
    "explain of held-out variance falls into a part unique to the network, R²(both) − R²(nuisance); a "
    "part unique to the nuisance features, R²(both) − R²(network); and what either would explain, "
    "R²(network) + R²(nuisance) − R²(both). Where features bring less than they cost, a part is negative, "
    "and is shown so: means over targets would otherwise be too high. R², unlike r, counts predictions of "
    "the wrong size as errors, so that in noisy recordings it may lie below zero where r lies above."
)


def parted(evidence: Evidence) -> list[tuple[str, str]]:
    """The (network, encoder) pairs whose R² is parted between network and nuisance features."""
    return [
        model
        for model in evidence.models()
        if any(PARTS[0] in dataset for dataset in evidence.whose(*model).values())
    ]


def partition_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """The stacks of the subjects, and of the mean subject where there is one."""
    return [
        Picture(
            stacks.partition_stacks(_stacks(evidence, datasets), network),
            f"{network} ({encoder}): held-out variance parted by depth, {whose}",
            f"Means over all scored targets of a region{over}. Each layer by itself, as in the layer "
            "profiles. Blue begins at zero; parts below zero are stacked downwards; diamonds are the "
            f"sum.{evidence.regions_left}",
        )
        for whose, over, datasets in _owners(evidence, network, encoder)
    ]


def _owners(evidence: Evidence, network: str, encoder: str) -> list[tuple[str, str, list[xr.Dataset]]]:
    """Whose means there are: a name, over whom, and the summaries."""
    people = [evidence.summaries[s, network, encoder] for s in evidence.subjects(network, encoder)]
    found = [("subjects", ", then over subjects" if len(people) > 1 else "", people)]
    average = evidence.summaries.get((layout.AVERAGE, network, encoder))
    return found if average is None else [*found, ("mean subject", "", [average])]


def _stacks(evidence: Evidence, datasets: Sequence[xr.Dataset]) -> list[Stack]:
    """A panel for every region that has one."""
    over = {name: evidence.over(datasets, name) for name in PARTS}  # (subject, layer, region)
    ceiling = {end: mean(_squared(evidence, datasets, f"ceiling_{end}"), axis=0) for end in ("low", "high")}
    return [
        Stack(
            region,
            datasets[0]["depth"].values,
            **{name: mean(values[..., at], axis=0) for name, values in over.items()},
            low=np.array([estimate(layer).low for layer in over[PARTS[0]][..., at].T]),
            high=np.array([estimate(layer).high for layer in over[PARTS[0]][..., at].T]),
            ceiling_low=float(ceiling["low"][at]),
            ceiling_high=float(ceiling["high"][at]),
        )
        for region, at in evidence.places()
    ]


def _squared(evidence: Evidence, datasets: Sequence[xr.Dataset], name: str) -> np.ndarray:
    """Mean square (subject, region) over targets: of a correlation, shares of variance."""
    return np.array([evidence.regions(d).mean(column(d, name) ** 2) for d in datasets])


def partition_table(evidence: Evidence, network: str, encoder: str) -> pd.DataFrame:
    """One row per region of the layer chosen in the training folds: parts of R², with 95 % intervals."""
    rows = []
    for whose, _, datasets in _owners(evidence, network, encoder):
        scored = [evidence.regions(d).count(np.isfinite(column(d, "chosen_r"))) for d in datasets]
        over = {n: evidence.over(datasets, f"chosen_{n}") for n in ("r2", *PARTS, *PRODUCT, WEIGHT)}
        ceiling = mean(_squared(evidence, datasets, "ceiling"), axis=0)
        for at, region in enumerate([ALL, *evidence.region_names]):
            found = {name: estimate(values[:, at]) for name, values in over.items()}
            row: dict[str, object] = {"whose": whose, "region": region}
            row |= {"targets": max(count[at] for count in scored), "r2": found["r2"].mean}
            for name in PARTS:
                part = found[name]
                row |= {name: part.mean, f"{name}_ci_low": part.low, f"{name}_ci_high": part.high}
            row |= {name: found[name].mean for name in (*PRODUCT, WEIGHT)}
            rows.append(row | {"ceiling_r2": float(ceiling[at])})
    return pd.DataFrame(rows)
