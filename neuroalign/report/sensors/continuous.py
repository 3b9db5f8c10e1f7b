"""Which figures the report shows of continuous recordings by sensors: r by channel, and kernels over lags."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroalign.maps.sensors import channels, gridded
from neuroalign.report.drawing.palette import Scale
from neuroalign.report.evidence import Evidence, mean, significant
from neuroalign.report.figures import MAX_SUBJECTS, Picture, called
from neuroalign.report.regions import TYPES
from neuroalign.report.sensors import courses
from neuroalign.report.sensors.courses import Lines
from neuroalign.report.sensors.epochs import kinds_of, of_kind, peak_latencies, placed, scale_of
from neuroalign.report.sensors.phrases import ms
from neuroalign.report.sensors.topographies import Heads, draw_heads

UNIT = "weight (a.u.)"

ABOUT = (
    "How much the features of the chosen layer weigh at every lag of the response after the stimulus, mean "
    "over "
    "folds: of a single feature its weight, of several the root of the sum of their squared weights, which "
    "has no sign. What features have in common and the penalty spread it over lags."
)


def channel_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """Scores of every channel, on heads or as bars."""
    whose = evidence.whose(network, encoder)
    owners = list(whose)[: MAX_SUBJECTS + 1]
    first = whose[owners[0]]
    title = f"{network} ({encoder}): r of every channel"
    rows, out = [], []
    for kind in kinds_of(first):
        here = placed(first, kind)
        if here.sum() < 2:
            names = channels(first)["channel"][of_kind(first, kind)].tolist()
            values, verdict = (at[of_kind(first, kind)] for at in _r(first))
            bars = courses.channel_bars(names, values, verdict)
            out.append(Picture(bars, f"{title}, {called(owners[0])}", "Pale: not significant."))
            continue
        found = [_r(whose[owner]) for owner in owners]
        values, verdict = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        places = channels(first)[["x", "y", "z"]].to_numpy(float)[here]
        label, titles = TYPES.get(kind, kind), [called(owner) for owner in owners]
        rows.append(Heads(label, kind, places, values[here], verdict[here], titles, scale_of(values[here])))
    if rows:
        caption = (
            "Of the layer that the training folds chose. Significant channels have a white dot, or a thick "
            "rim where channels are too few to draw anything between them."
        )
        out.insert(0, Picture(draw_heads(rows), title, caption))
    return out


def _r(dataset: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Scores and significance by channel (n_channels,)."""
    verdict = gridded(dataset, significant(dataset)) > 0
    return gridded(dataset, dataset["chosen_r"].values)[:, 0], verdict[:, 0]


def kernel_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """Kernels over lags: a line for each channel, and heads where they are highest."""
    owner, dataset = next(iter(evidence.whose(network, encoder).items()))
    if "chosen_kernel" not in dataset:
        return []
    seconds = dataset["lag"].values.astype(float)
    kernels = gridded(dataset, dataset["chosen_kernel"].transpose("lag", "target").values)[..., 0].T
    panels, rows = [], []
    for kind in kinds_of(dataset):
        here = of_kind(dataset, kind)
        at = peak_latencies(mean(np.abs(kernels[here]), axis=0), seconds)
        label = TYPES.get(kind, kind)
        nowhere = np.zeros(kernels[here].shape, bool)
        panels.append(
            Lines(label, seconds, kernels[here], nowhere, marks=tuple(float(seconds[n]) for n in at))
        )
        on_head = placed(dataset, kind)
        if on_head.sum() >= 2 and at:
            values = kernels[on_head][:, at]
            top = float(np.nanpercentile(np.abs(values), 99.5)) if np.isfinite(values).any() else 1.0
            places = channels(dataset)[["x", "y", "z"]].to_numpy(float)[on_head]
            titles = [f"{ms(seconds[n])} ms" for n in at]
            top = max(top, 1e-6)
            signed = bool((kernels < 0).any())
            scale = Scale("RdBu_r", -top, top, UNIT) if signed else Scale("r", 0.0, top, UNIT)
            rows.append(Heads(label, kind, places, values, np.zeros(values.shape, bool), titles, scale))
    model = f"{network} ({encoder})"
    lines = courses.butterflies(panels, UNIT, "lag: ms from the stimulus to the response")
    caption = "Dotted: the lags of the heads below." if rows else ""
    out = [Picture(lines, f"{model}: kernels, {called(owner)}", caption)]
    if rows:
        out.append(Picture(draw_heads(rows), f"{model}: kernels on the head, {called(owner)}", ""))
    return out
