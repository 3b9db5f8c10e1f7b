"""What of the predicted variance only the network explains: a picture and a table of the partition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.alignment.fitting.partition import PARTS, PRODUCT, WEIGHT
from neuroalign.artefacts import layout
from neuroalign.report import stacks
from neuroalign.report.evidence import ALL, Evidence, column, in_region, mean
from neuroalign.report.figures import MAX_REGIONS, Picture
from neuroalign.report.palette import Stack
from neuroalign.report.tables import Estimate, estimate

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
    regions = [ALL, *evidence.region_names()[:MAX_REGIONS]]
    return [
        Picture(
            stacks.partition_stacks([_stack(datasets, region) for region in regions], network),
            f"{network} ({encoder}): held-out variance parted by depth, {whose}",
            f"Means over all scored targets of a region{over}. Each layer by itself, as in the layer "
            "profiles. Blue begins at zero; parts below zero are stacked downwards; diamonds are the sum.",
        )
        for whose, over, datasets in _owners(evidence, network, encoder)
    ]


def _owners(evidence: Evidence, network: str, encoder: str) -> list[tuple[str, str, list[xr.Dataset]]]:
    """Whose means there are: a name, over whom, and the summaries."""
    people = [evidence.summaries[s, network, encoder] for s in evidence.subjects(network, encoder)]
    found = [("subjects", ", then over subjects" if len(people) > 1 else "", people)]
    average = evidence.summaries.get((layout.AVERAGE, network, encoder))
    return found if average is None else [*found, ("mean subject", "", [average])]


def _over(datasets: Sequence[xr.Dataset], name: str, region: str) -> np.ndarray:
    """A score averaged over the targets of a region: (subject,), or (subject, layer) of one by layers."""
    values = [d[name].values if name in d else column(d, name) for d in datasets]
    return np.array(
        [mean(v[..., in_region(d, region)], axis=-1) for v, d in zip(values, datasets, strict=True)]
    )


def _stack(datasets: Sequence[xr.Dataset], region: str) -> Stack:
    parts = {name: mean(_over(datasets, name, region), axis=0) for name in PARTS}
    intervals = [estimate(layer) for layer in _over(datasets, PARTS[0], region).T]
    ceiling = [mean(_over_squared(datasets, name, region)) for name in ("ceiling_low", "ceiling_high")]
    return Stack(
        region,
        datasets[0]["depth"].values,
        low=np.array([found.low for found in intervals]),
        high=np.array([found.high for found in intervals]),
        ceiling_low=float(ceiling[0]),
        ceiling_high=float(ceiling[1]),
        **parts,
    )


def _over_squared(datasets: Sequence[xr.Dataset], name: str, region: str) -> np.ndarray:
    """Mean square (subject,) over the targets of a region: of a correlation, shares of variance."""
    return np.array([mean(column(d, name)[in_region(d, region)] ** 2) for d in datasets])


def partition_table(evidence: Evidence, network: str, encoder: str) -> pd.DataFrame:
    """One row per region of the layer chosen in the training folds: parts of R², with 95 % intervals."""
    rows = []
    for whose, _, datasets in _owners(evidence, network, encoder):
        for region in [ALL, *evidence.region_names()]:
            scored = [np.isfinite(column(d, "chosen_r"))[in_region(d, region)] for d in datasets]
            row: dict[str, object] = {"whose": whose, "region": region, "targets": max(map(np.sum, scored))}
            row["r2"] = _of_chosen(datasets, "r2", region).mean
            for name in PARTS:
                found = _of_chosen(datasets, name, region)
                row |= {name: found.mean, f"{name}_ci_low": found.low, f"{name}_ci_high": found.high}
            row |= {name: _of_chosen(datasets, name, region).mean for name in (*PRODUCT, WEIGHT)}
            row["ceiling_r2"] = float(mean(_over_squared(datasets, "ceiling", region)))
            rows.append(row)
    return pd.DataFrame(rows)


def _of_chosen(datasets: Sequence[xr.Dataset], name: str, region: str) -> Estimate:
    return estimate(_over(datasets, f"chosen_{name}", region))
