"""What cross-attention learned, as the report shows it: the layers that count, and learned delays."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroalign.report import curves, plots
from neuroalign.report.canvas import Canvas
from neuroalign.report.curves import Curve
from neuroalign.report.evidence import ALL, Evidence, column, in_region, mean, significant
from neuroalign.report.figures import DEPTH, GREY, MAX_REGIONS, Picture, significant_only
from neuroalign.report.tables import estimate

ABOUT = (
    "Cross-attention sees all layers and the words of the last seconds at once: it has one score for all "
    "layers. What a layer adds is what r loses where its part of the prediction is replaced by its mean. "
    "Layers that say the same can stand in for each other, and then neither counts. A delay curve is where "
    "a target looks in time if all words say the same. Attention does not prove that a response depends on "
    "what is looked at."
)


def attending(evidence: Evidence) -> list[tuple[str, str]]:
    """The (network, encoder) pairs that look at all layers of a network."""
    return [
        model
        for model in evidence.models()
        if any("importance" in dataset for dataset in evidence.whose(*model).values())
    ]


def attention_pictures(
    evidence: Evidence, network: str, encoder: str, canvas: Canvas | None = None
) -> list[Picture]:
    """What layers add beside the layer that ridge regression chose, and delay curves, by region."""
    people = _scored(evidence, network, encoder)
    if not people:
        return []
    regions = [ALL, *evidence.region_names()[:MAX_REGIONS]]
    rival = _rival(evidence, network, encoder)
    title = f"{network} ({encoder})"
    beside = f" Dotted: mean depth of the layers that {rival} chose." if rival else ""
    layers = Picture(
        curves.importance_bars(
            [_importance(evidence, people, network, rival, region) for region in regions],
            f"depth chosen by {rival}",
        ),
        f"{title}: what each layer adds",
        f"Loss of held-out r without a layer, means over the targets of a region and over subjects.{beside}",
    )
    delays = Picture(
        curves.delay_curves([_delay(people, region) for region in regions]),
        f"{title}: learned delays",
        "Attention to words by how long ago they began, whatever they are; means over the significant "
        "targets of a region (over all where none is). Thin lines are subjects.",
    )
    mapped = [] if canvas is None or rival is None else _depth_maps(evidence, network, encoder, rival, canvas)
    return [layers, *mapped, delays]


def _depth_maps(evidence: Evidence, network: str, encoder: str, rival: str, canvas: Canvas) -> list[Picture]:
    """The depth of the layers that count above that of the layer that another encoder chose."""
    whose, beside = evidence.whose(network, encoder), evidence.whose(network, rival)
    owner = next((name for name in whose if name in beside), None)
    if owner is None:
        return []
    shown = [
        (f"{encoder}\nlayers that count", whose[owner], "importance_depth"),
        (f"{rival}\ndepth centroid", beside[owner], "centroid"),
        (f"{rival}\nbest layer", beside[owner], "best_depth"),
    ]
    rows = [
        (title, canvas.draw(d, significant_only(d, column(d, name)), DEPTH), DEPTH)
        for title, d, name in shown
    ]
    title = f"{network}: depth of layers, {encoder} above {rival}"
    caption = (
        f"Significant targets of either only. The first is weighted by the loss of r without a layer. {GREY}"
    )
    return [Picture(plots.picture_rows(rows, canvas.columns), title, caption)]


def _scored(evidence: Evidence, network: str, encoder: str) -> dict[str, xr.Dataset]:
    """Summaries of the subjects that have a scored target."""
    found = {s: evidence.summaries[s, network, encoder] for s in evidence.subjects(network, encoder)}
    return {s: d for s, d in found.items() if np.isfinite(d["chosen_r"].values).any()}


def _rival(evidence: Evidence, network: str, encoder: str) -> str | None:
    """The first encoder that scores layers one by one, for the same network."""
    for other in evidence.study.encoders:
        whose = evidence.whose(network, other)
        if other != encoder and any(np.isfinite(d["depth"].values).all() for d in whose.values()):
            return other
    return None


def _importance(
    evidence: Evidence, people: dict[str, xr.Dataset], network: str, rival: str | None, region: str
) -> Curve:
    values = [mean(d["importance"].values[:, in_region(d, region)], axis=1) for d in people.values()]
    depth = next(iter(people.values()))["source_depth"].values
    chosen = [
        mean(d["best_depth"].values[in_region(d, region)])
        for d in (evidence.summaries.get((subject, network, rival or "")) for subject in people)
        if d is not None
    ]
    return _curve(region, depth, np.array(values), float(mean(np.array(chosen))) if chosen else np.nan)


def _delay(people: dict[str, xr.Dataset], region: str) -> Curve:
    lags = next(iter(people.values()))["lag"].values
    values = []
    for dataset in people.values():
        here = in_region(dataset, region) & np.isfinite(column(dataset, "chosen_r"))
        told = here & significant(dataset)
        values.append(mean(dataset["delay"].values[:, told if told.any() else here], axis=1))
    # Curves sum to one over the lags that they were read at.
    curve = _curve(region, lags, np.array(values) * len(lags) / np.ptp(lags), np.nan)
    known = np.isfinite(curve.mean).all()
    mark = float(lags[curve.mean.argmax()]) if known else np.nan
    return Curve(region, lags, curve.subjects, curve.mean, curve.low, curve.high, mark)


def _curve(region: str, across: np.ndarray, subjects: np.ndarray, mark: float) -> Curve:
    found = [estimate(values) for values in subjects.T]
    means, low, high = np.array([[each.mean, each.low, each.high] for each in found]).T
    return Curve(region, across, subjects, means, low, high, mark)


def attention_sentence(evidence: Evidence, network: str, encoder: str) -> str:
    """Which layer counts most, and how long ago targets look, over subjects."""
    people = list(_scored(evidence, network, encoder).values())
    importance = np.array([mean(d["importance"].values, axis=1) for d in people])
    found = [estimate(layer) for layer in importance.T]
    best = int(np.argmax([each.mean for each in found]))
    name = str(people[0]["source_layer"].values[best])
    if found[best].mean <= 0:
        return "Without any one of the layers held-out r is no lower: none of them counts by itself."
    sure = (
        " (the interval over subjects includes zero)" if not found[best].low > 0 and len(people) > 1 else ""
    )
    lag = float(mean(np.array([mean(column(d, "peak_delay")[_told(d)]) for d in people])))
    return (
        f"Of all layers {name} counts most: without it r is lower by {found[best].mean:.3f} on "
        f"average{sure}; targets look most at words {lag:.1f} s ago."
    )


def _told(dataset: xr.Dataset) -> np.ndarray:
    """Significant targets, or all where there is none."""
    verdict = significant(dataset)
    return verdict if verdict.any() else np.ones(len(verdict), bool)
