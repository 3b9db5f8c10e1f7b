"""Which figures the report shows of sensors: layers in time, every channel, and heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from neuroalign.maps.sensors import INTRACRANIAL, channels, gridded, latencies
from neuroalign.report.drawing.palette import SCORE, Scale
from neuroalign.report.evidence import Evidence, column, mean, significant
from neuroalign.report.figures import DEPTH, MAX_SUBJECTS, Picture, called
from neuroalign.report.regions import TYPES
from neuroalign.report.sensors import courses
from neuroalign.report.sensors.courses import LayerImage, Lines
from neuroalign.report.sensors.phrases import ms
from neuroalign.report.sensors.topographies import Heads, draw_heads

HEADS = 5
"""Latencies whose topographies are drawn."""

APART_S = 0.04
"""How far apart they are at least."""

NO_PLACE = "Positions of these channels are not known, or lie within the brain: a row for each."


OUTLINED = "Outlined: significant together with neighbouring channels and latencies."


def by_neighbours(dataset: xr.Dataset) -> bool:
    """Whether channels were tested together with their neighbours."""
    return str(dataset.attrs.get("inference_correction", "")) in ("cluster", "tfce")


def is_epoched(evidence: Evidence) -> bool:
    """Whether targets are channels at latencies."""
    return evidence.kind == "sensors" and "latency" in evidence.any_summary.coords


def is_continuous(evidence: Evidence) -> bool:
    """Whether targets are channels alone."""
    return evidence.kind == "sensors" and "latency" not in evidence.any_summary.coords


def kinds_of(dataset: xr.Dataset) -> list[str]:
    """Types of channels, in the order of the recording."""
    return list(dict.fromkeys(channels(dataset)["channel_type"].tolist()))


def of_kind(dataset: xr.Dataset, kind: str) -> np.ndarray:
    """Which channels (n_channels,) are of a type."""
    return np.asarray(channels(dataset)["channel_type"] == kind)


def peak_latencies(course: np.ndarray, seconds: np.ndarray, count: int = HEADS) -> list[int]:
    """Where a course is highest, some way apart: local maxima above half of it, then what is above a quarter.

    Parameters
    ----------
    course, seconds : arrays (n_times,)
    count : int

    Returns
    -------
    list of int
        In temporal order; none where the course is nowhere above zero.
    """
    known = np.where(np.isfinite(course), course, -np.inf)
    padded = np.r_[-np.inf, known, -np.inf]
    local = (known >= padded[:-2]) & (known >= padded[2:]) & (known >= known.max() / 2)
    order = [int(at) for at in np.lexsort((-known, ~local)) if known[at] > max(0, known.max() / 4)]
    apart = max(APART_S, float(np.ptp(seconds)) / 25)
    found: list[int] = []
    for at in order:
        if len(found) < count and all(abs(seconds[at] - seconds[other]) >= apart for other in found):
            found.append(at)
    return sorted(found)


def time_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """Layers over time, and every channel over time: of the group or the only subject, then of each."""
    whose = evidence.whose(network, encoder)
    owner, dataset = next(iter(whose.items()))
    model = f"{network} ({encoder})"
    out = []
    if (network, encoder) in evidence.layered():
        out.append(_layer_picture(dataset, f"{model}: r by layer and latency, {called(owner)}"))
    panels = [_lines(dataset, kind, TYPES.get(kind, kind)) for kind in kinds_of(dataset)]
    caption = (
        "Held-out r of the layer that the training folds chose, a line for each channel. Dashed: onset of "
        "the stimulus; dotted: the latencies of the topographies."
    )
    out.append(Picture(courses.butterflies(panels), f"{model}: every channel, {called(owner)}", caption))
    people = [n for n in whose if n != "group" and np.isfinite(whose[n]["chosen_r"].values).any()]
    if len(people) > 1:
        several = [
            replace(_lines(whose[name], kind, f"{called(name)}, {TYPES.get(kind, kind)}"), marks=())
            for name in people[:MAX_SUBJECTS]
            for kind in kinds_of(whose[name])
        ]
        left = len(people) - MAX_SUBJECTS
        more = f" {left} more subjects are in the map files." if left > 0 else ""
        about = "As above, of every subject."
        out.append(Picture(courses.butterflies(several), f"{model}: each subject", about + more))
    return out


def _layer_picture(dataset: xr.Dataset, title: str) -> Picture:
    r = gridded(dataset, dataset["r"].values)
    scored = np.isfinite(dataset["chosen_r"].values)
    verdict = gridded(dataset, np.where(scored, significant(dataset), np.nan))
    names, seconds = dataset["layer"].values.astype(str).tolist(), _seconds(dataset)
    best = gridded(dataset, column(dataset, "best_layer"))
    panels = []
    for kind in kinds_of(dataset):
        here = of_kind(dataset, kind)
        share = mean(verdict[here], axis=0) if "significant" in dataset else np.full(len(seconds), np.nan)
        chosen = best[here] == np.arange(len(names))[:, None, None]  # (layer, channel, latency)
        around = (chosen & (verdict[here] > 0)).any(axis=1) if by_neighbours(dataset) else None
        course = mean(r[:, here], axis=1)
        panels.append(LayerImage(TYPES.get(kind, kind), seconds, names, course, share, around))
    top = max(0.02, max(float(np.nanmax(np.r_[panel.r.ravel(), 0])) for panel in panels))
    caption = (
        "Mean held-out r over channels, of each layer by itself; the first layer is below. Diamonds: where a "
        "layer is highest. This image is descriptive: maps and tests are of the layer that the training "
        "folds chose for each channel and latency; the strip shows in how many channels it is significant."
    )
    if by_neighbours(dataset):
        caption += " Outlined: layers chosen by any channel where it is significant together with neighbours."
    return Picture(courses.layer_images(panels, top), title, caption)


def _lines(dataset: xr.Dataset, kind: str, title: str) -> Lines:
    here, seconds = of_kind(dataset, kind), _seconds(dataset)
    values = gridded(dataset, dataset["chosen_r"].values)[here]
    verdict = gridded(dataset, significant(dataset))[here] > 0
    ceiling = [mean(gridded(dataset, column(dataset, f"ceiling_{end}"))[here], 0) for end in ("low", "high")]
    # With nuisance features the test is of another number, so that r has no such limit.
    tested = verdict.any() and not np.isfinite(column(dataset, "nuisance_r")).any()
    floor = float(values[verdict].min()) if tested else np.nan
    marks = tuple(float(seconds[at]) for at in peak_latencies(mean(values, axis=0), seconds))
    if np.isfinite(floor):
        title = f"{title} (smallest significant r {floor:.2f})"
    return Lines(title, seconds, values, verdict, floor, np.array(ceiling), marks)


def _seconds(dataset: xr.Dataset) -> np.ndarray:
    found = latencies(dataset)
    assert found is not None
    return found


def placed(dataset: xr.Dataset, kind: str) -> np.ndarray:
    """Channels (n_channels,) of a type that can be drawn on a head: none within the brain."""
    table = channels(dataset)
    known = np.isfinite(table[["x", "y", "z"]].to_numpy(float)).all(axis=1)
    return known & of_kind(dataset, kind) & (kind not in INTRACRANIAL)


def head_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """Scores and best layers on heads where r is highest; rows of channels where they have no place."""
    owner, dataset = next(iter(evidence.whose(network, encoder).items()))
    title = f"{network} ({encoder}): {called(owner)}"
    rows, out = [], []
    for kind in kinds_of(dataset):
        if placed(dataset, kind).sum() >= 2:
            rows += _head_rows(dataset, kind, several=len(kinds_of(dataset)) > 1)
        else:
            out += _row_pictures(dataset, kind, f"{title}, {TYPES.get(kind, kind)}")
    if not rows:
        return out
    caption = (
        "Latencies at which mean r over channels is highest. r: of the layer chosen; significant channels "
        "have a white dot, or a thick rim where channels are too few to draw anything between them. Best "
        "layer: the relative depth chosen most often, at significant channels; open circles: the others."
    )
    if by_neighbours(dataset):
        caption += f" {OUTLINED}"
    return [Picture(draw_heads(rows), title, caption), *out]


def _head_rows(dataset: xr.Dataset, kind: str, several: bool) -> list[Heads]:
    here, seconds = placed(dataset, kind), _seconds(dataset)
    r = gridded(dataset, dataset["chosen_r"].values)
    at = peak_latencies(mean(r[of_kind(dataset, kind)], axis=0), seconds)
    if not at:
        return []
    verdict = (gridded(dataset, significant(dataset)) > 0)[here][:, at]
    places = channels(dataset)[["x", "y", "z"]].to_numpy(float)[here]
    titles = [f"{ms(seconds[number])} ms" for number in at]
    name = f"{TYPES.get(kind, kind)}\n" if several else ""
    scale, around = scale_of(r[here][:, at]), by_neighbours(dataset)
    found = [Heads(f"{name}r", kind, places, r[here][:, at], verdict, titles, scale, outlined=around)]
    depth = gridded(dataset, column(dataset, "best_depth"))[here][:, at]
    if np.isfinite(depth[verdict]).any():
        label = f"{name}best layer"
        found.append(Heads(label, kind, places, depth, verdict, titles, DEPTH, dots=True))
    return found


def scale_of(values: np.ndarray) -> Scale:
    """A scale of r from 0 to its highest values."""
    finite = values[np.isfinite(values)]
    top = float(np.ceil(np.percentile(finite, 99.5) / 0.02) * 0.02) if finite.size else 0.1
    return Scale("r", 0.0, max(0.02, top), SCORE)


def _row_pictures(dataset: xr.Dataset, kind: str, title: str) -> list[Picture]:
    here, seconds = of_kind(dataset, kind), _seconds(dataset)
    names = channels(dataset)["channel"][here].tolist()
    r = gridded(dataset, dataset["chosen_r"].values)[here]
    verdict = gridded(dataset, significant(dataset))[here] > 0
    around = verdict if by_neighbours(dataset) else None
    drawn = courses.channel_image("r", seconds, names, r, scale_of(r), around)
    caption = NO_PLACE if around is None else f"{NO_PLACE} {OUTLINED}"
    pictures = [Picture(drawn, f"{title}: r of every channel", caption)]
    depth = np.where(verdict, gridded(dataset, column(dataset, "best_depth"))[here], np.nan)
    if np.isfinite(depth).any():
        drawn = courses.channel_image("best layer", seconds, names, depth, DEPTH)
        pictures.append(Picture(drawn, f"{title}: best layer of every channel", "Grey: not significant."))
    return pictures


def models_picture(evidence: Evidence, models: Sequence[tuple[str, str]]) -> list[Picture]:
    """Scores of several models on heads, a row each, at the latencies at which their mean is highest."""
    datasets = [next(iter(evidence.whose(*model).values())) for model in models]
    kinds = [kind for kind in kinds_of(datasets[0]) if placed(datasets[0], kind).sum() >= 2]
    if len(models) < 2 or not kinds:
        return []
    rows = []
    for kind in kinds:
        grids = [gridded(d, d["chosen_r"].values)[placed(d, kind)] for d in datasets]
        seconds = _seconds(datasets[0])
        at = peak_latencies(mean(np.array([mean(grid, axis=0) for grid in grids]), axis=0), seconds)
        if not at:
            continue
        scale = scale_of(np.concatenate([grid[:, at].ravel() for grid in grids]))
        titles = [f"{ms(seconds[number])} ms" for number in at]
        for model, d, grid in zip(models, datasets, grids, strict=True):
            here = placed(d, kind)
            verdict = (gridded(d, significant(d)) > 0)[here][:, at]
            places = channels(d)[["x", "y", "z"]].to_numpy(float)[here]
            label = f"{model[0]}\n{model[1]}"
            around = by_neighbours(d)
            rows.append(Heads(label, kind, places, grid[:, at], verdict, titles, scale, outlined=around))
    caption = "Latencies at which r, averaged over models and channels, is highest. White dots: significant."
    return [Picture(draw_heads(rows), "r of the models beside each other", caption)] if rows else []
