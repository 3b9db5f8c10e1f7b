"""What cross-attention learned, as the report shows it: the layers that count, and learned delays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from neuroalign.report.attention import curves, fields
from neuroalign.report.attention.curves import Curve
from neuroalign.report.attention.fields import Field
from neuroalign.report.brain.canvas import Canvas
from neuroalign.report.drawing import plots
from neuroalign.report.evidence import Evidence, column, mean, significant
from neuroalign.report.figures import DEPTH, GREY, Picture, significant_only
from neuroalign.report.numbers.tables import estimate
from neuroalign.report.wording.modality import pieces
from neuroalign.settings.config import Study

SEEN = {"time": "the {pieces} of the last seconds", "trials": "all patches of an image"}
FIELDS = {
    "time": "A delay curve is where a target looks in time if all {pieces} say the same.",
    "trials": "A receptive field is where a target looks in an image if all its patches show the same.",
}


def about(study: Study) -> str:
    """What the section shows, and what it does not."""
    samples = study.responses.samples
    seen, fields_are = (said[samples].format(pieces=pieces(study)) for said in (SEEN, FIELDS))
    return (
        f"Cross-attention sees all layers and {seen} at once: it has one score for all layers. What "
        "a layer adds is what r loses where its part of the prediction is replaced by its mean. Layers that "
        f"say the same can stand in for each other, and then neither counts. {fields_are} Attention "
        "does not prove that a response depends on what is looked at."
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
    rival = _rival(evidence, network, encoder)
    title = f"{network} ({encoder})"
    beside = f" Dotted: mean depth of the layers that {rival} chose." if rival else ""
    layers = Picture(
        curves.importance_bars(_importance(evidence, people, network, rival), f"depth chosen by {rival}"),
        f"{title}: what each layer adds",
        f"Loss of held-out r without a layer, means over the targets of a region and over subjects.{beside}"
        f"{evidence.regions_left}",
    )
    mapped = [] if canvas is None or rival is None else _depth_maps(evidence, network, encoder, rival, canvas)
    return [layers, *mapped, _where(evidence, people, title)]


def _where(evidence: Evidence, people: dict[str, xr.Dataset], title: str) -> Picture:
    """Where targets look, in time or in an image."""
    means = "means over the significant targets of a region (over all where none is)"
    if "delay" in next(iter(people.values())):
        return Picture(
            curves.delay_curves(_delays(evidence, people)),
            f"{title}: learned delays",
            f"Attention to {pieces(evidence.study)} by how long ago they began, whatever they are; {means}. "
            "Thin lines are subjects.",
        )
    return Picture(
        fields.field_images(_fields(evidence, people)),
        f"{title}: receptive fields",
        f"Attention to places of an image, whatever it shows; {means} and over subjects. Dots are the "
        "centres of single targets.",
    )


def _fields(evidence: Evidence, people: dict[str, xr.Dataset]) -> list[Field]:
    """Mean attention over an image and centres of targets, of every region that has a panel."""
    seen = mean(_told_means(evidence, people, "field"), axis=0)  # (place, region)
    first = next(iter(people.values()))
    places = np.stack([first["place_x"].values, first["place_y"].values], axis=1)
    found = []
    for region, at in evidence.places():
        centres = []
        for dataset in people.values():
            told = _told_in(evidence, dataset, region)
            centres.append(np.stack([column(dataset, name)[told] for name in ("field_x", "field_y")], axis=1))
        found.append(Field(region, places, seen[:, at], np.concatenate(centres)))
    return found


def _told_means(evidence: Evidence, people: dict[str, xr.Dataset], name: str) -> np.ndarray:
    """Means (subject, …, region) over significant targets, or all scored ones where a region has none."""
    found = []
    for dataset in people.values():
        regions, scored = evidence.regions(dataset), np.isfinite(column(dataset, "chosen_r"))
        verdict, values = significant(dataset), dataset[name].values
        strong = regions.count(verdict) > 0
        found.append(np.where(strong, regions.mean(values, verdict), regions.mean(values, scored)))
    return np.array(found)


def _told_in(evidence: Evidence, dataset: xr.Dataset, region: str) -> np.ndarray:
    """Significant targets of a region, or all scored ones where none is."""
    here = evidence.regions(dataset).within(region) & np.isfinite(column(dataset, "chosen_r"))
    told = here & significant(dataset)
    return told if told.any() else here


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
    evidence: Evidence, people: dict[str, xr.Dataset], network: str, rival: str | None
) -> list[Curve]:
    """What layers add, and the mean depth that a rival chose, of every region that has a panel."""
    values = evidence.over(list(people.values()), "importance")
    depth = next(iter(people.values()))["source_depth"].values
    beside = [evidence.summaries.get((subject, network, rival or "")) for subject in people]
    chosen = evidence.over([d for d in beside if d is not None], "best_depth")
    marks = mean(chosen, axis=0) if len(chosen) else np.full(values.shape[-1], np.nan)
    return [_curve(region, depth, values[..., at], float(marks[at])) for region, at in evidence.places()]


def _delays(evidence: Evidence, people: dict[str, xr.Dataset]) -> list[Curve]:
    """Where in time targets look, of every region that has a panel."""
    lags = next(iter(people.values()))["lag"].values
    # Curves sum to one over the lags that they were read at.
    values = _told_means(evidence, people, "delay") * len(lags) / np.ptp(lags)
    found = []
    for region, at in evidence.places():
        curve = _curve(region, lags, values[..., at], np.nan)
        known = np.isfinite(curve.mean).all()
        found.append(replace(curve, mark=float(lags[curve.mean.argmax()]) if known else np.nan))
    return found


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
    where = ""
    if "peak_delay" in people[0]:
        lag = float(mean(np.array([mean(column(d, "peak_delay")[_told(d)]) for d in people])))
        where = f"; targets look most at {pieces(evidence.study)} {lag:.1f} s ago"
    if "field_size" in people[0]:
        size = float(mean(np.array([mean(column(d, "field_size")[_told(d)]) for d in people])))
        where = f"; receptive fields have a standard deviation of {size:.2f} of the image"
    return (
        f"Of all layers {name} counts most: without it r is lower by {found[best].mean:.3f} on "
        f"average{sure}{where}."
    )


def _told(dataset: xr.Dataset) -> np.ndarray:
    """Significant targets, or all where there is none."""
    verdict = significant(dataset)
    return verdict if verdict.any() else np.ones(len(verdict), bool)
