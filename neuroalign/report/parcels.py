"""Which figures the report shows of parcels: each by itself, or of many how their scores are spread."""

from __future__ import annotations

import numpy as np

from neuroalign.report.drawing import distributions, plots
from neuroalign.report.drawing.distributions import Spread
from neuroalign.report.drawing.palette import CEILING, MODEL, NUISANCE, TWIN, Scale
from neuroalign.report.evidence import Evidence, column, mean
from neuroalign.report.figures import Picture, called, top_of_scale

MOST_PARCELS = 80
"""Parcels above which they are not drawn one by one."""


def parcel_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """Region × layer, and bars with controls and ceiling; of many parcels how their scores are spread."""
    if evidence.any_summary.sizes["target"] > MOST_PARCELS:
        return _spread_pictures(evidence, network, encoder)
    owner, dataset = next(iter(evidence.whose(network, encoder).items()))
    top = top_of_scale(evidence)
    names = evidence.region_names
    scale = Scale("r", 0.0, max(top, 0.05), "Pearson r (held-out)")
    datasets = [
        evidence.summaries[subject, network, encoder] for subject in evidence.subjects(network, encoder)
    ]

    def over(name: str) -> np.ndarray:
        return np.asarray(mean(np.array([column(d, name) for d in datasets]), axis=0))

    scores = np.array([d["chosen_r"].values for d in datasets])
    bar = plots.bars(names, scores, over("nuisance_r"), over("ceiling_low"), over("ceiling_high"))
    if not np.isfinite(dataset["depth"].values).all():
        return [Picture(bar, f"{network} ({encoder}): r", "One score for all layers together.")]
    heat = plots.heat_map(dataset["r"].values.T, names, dataset["layer"].values.astype(str).tolist(), scale)
    return [
        Picture(
            heat,
            f"{network} ({encoder}): r of every layer in every parcel, {called(owner)}",
            "Grey: not scored.",
        ),
        Picture(
            bar,
            f"{network} ({encoder}): r of the chosen layer",
            "The layer was chosen in the training folds.",
        ),
    ]


def _spread_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """How scores are spread over parcels: of the layer chosen beside the controls, and of every layer."""
    owner, dataset = next(iter(evidence.whose(network, encoder).items()))
    twin = evidence.twin(network)
    beside = evidence.whose(twin, encoder).get(owner) if twin else None
    found = [
        Spread(network, column(dataset, "chosen_r"), MODEL),
        Spread(
            "untrained twin", column(beside, "chosen_r") if beside is not None else np.array([]), TWIN, "--"
        ),
        Spread("nuisance features", column(dataset, "nuisance_r"), NUISANCE, ":"),
        Spread("noise ceiling", column(dataset, "ceiling"), CEILING),
    ]
    known = [each for each in found if np.isfinite(each.values).any()]
    title = f"{network} ({encoder}): r of {dataset.sizes['target']:,} parcels, {called(owner)}"
    caption = "Shares of parcels by their r, of the layer that the training folds chose."
    out = [Picture(distributions.histograms(known), title, caption)]
    if not np.isfinite(dataset["depth"].values).all():
        return out
    shares = np.array([5, 25, 50, 75, 95])
    spread = np.full((len(shares), dataset.sizes["layer"]), np.nan)
    for place, row in enumerate(dataset["r"].values):
        if np.isfinite(row).any():
            spread[:, place] = np.nanpercentile(row, shares)
    title = f"{network} ({encoder}): r by depth over parcels, {called(owner)}"
    caption = "Line: the median parcel; dark, half of all parcels; light, nine in ten. Each layer by itself."
    return [*out, Picture(distributions.quantiles(dataset["depth"].values, spread), title, caption)]
