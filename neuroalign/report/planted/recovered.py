"""The drawing of planted beside recovered values, where a study was simulated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroalign.report.attention.curves import latency_scatters
from neuroalign.report.brain.canvas import Canvas
from neuroalign.report.drawing import plots
from neuroalign.report.figures import DEPTH, MAX_SUBJECTS, Picture, called, significant_only
from neuroalign.report.planted.truth import RELIABLE, Recovery

_CENTRES = {"field_x": "from the left", "field_y": "from the top"}


def truth_pictures(recovered: Sequence[Recovery], canvas: Canvas | None) -> list[Picture]:
    """Planted beside recovered depth as maps, their scatter, and the ceilings."""
    if not recovered:
        return []
    if any(not entry.layers.empty for entry in recovered):
        return _latency_pictures(recovered)
    first = recovered[0]
    model = "{network} ({encoder})".format_map(first.summary.attrs)
    several = recovered[: MAX_SUBJECTS + 1]
    out = []
    if canvas is not None:
        rows = [("planted", canvas.draw(first.summary, first.planted, DEPTH), DEPTH)]
        for name, label in (("centroid", "centroid"), ("best_depth", "best layer")):
            values = significant_only(first.summary, first.summary[name].values)
            rows.append((f"{called(first.owner)}\n{label}", canvas.draw(first.summary, values, DEPTH), DEPTH))
        for entry in several[1:]:
            values = significant_only(entry.summary, entry.summary["centroid"].values)
            rows.append(
                (f"{called(entry.owner)}\ncentroid", canvas.draw(entry.summary, values, DEPTH), DEPTH)
            )
        title = f"{model}: planted and recovered depth"
        caption = "Planted: grey where no network drives the response. Recovered: grey where not significant."
        out.append(Picture(plots.picture_rows(rows, canvas.columns), title, caption))
    return [*out, *_target_pictures(several, model)]


def _target_pictures(several: Sequence[Recovery], model: str) -> list[Picture]:
    """Planted against recovered depth and ceiling, a dot per target."""
    depth = [
        (called(e.owner), np.where(e.compared, e.planted, np.nan), e.summary["centroid"].values)
        for e in several
    ]
    caption = f"Targets whose true ceiling exceeds {RELIABLE:g}, significant or not. Dashed: equality."
    out = [
        Picture(
            plots.scatters(depth, "planted relative depth", "recovered depth centroid"),
            f"{model}: depth, target by target",
            caption,
        )
    ]
    ceilings = [(called(e.owner), e.true_ceiling, e.summary["ceiling"].values) for e in several]
    if any(np.isfinite(values).any() for _, _, values in ceilings):
        picture = plots.scatters(ceilings, "true noise ceiling (r)", "estimated noise ceiling (r)")
        out.append(Picture(picture, "Noise ceiling, target by target", "Dashed: equality."))
    return out


def _latency_pictures(recovered: Sequence[Recovery]) -> list[Picture]:
    """Planted against recovered latencies of layers, and the depth and the ceiling of every target."""
    several = [entry for entry in recovered[: MAX_SUBJECTS + 1] if not entry.layers.empty]
    model = "{network} ({encoder})".format_map(several[0].summary.attrs)
    panels = [
        (called(e.owner), *np.array(e.layers[["planted_s", "recovered_s", "depth"]], float).T)
        for e in several
    ]
    caption = "A dot per layer, dark the first and light the last. Dashed: equality."
    return [
        Picture(latency_scatters(panels), f"{model}: layers in time", caption),
        *_target_pictures(several, model),
    ]


def field_pictures(recovered: Sequence[Recovery]) -> list[Picture]:
    """Planted against recovered centres of receptive fields, where they were planted and recovered."""
    out = []
    for name, direction in _CENTRES.items():
        panels = [
            (called(e.owner), np.where(e.compared, e.fields[name], np.nan), e.summary[name].values)
            for e in recovered[: MAX_SUBJECTS + 1]
            if name in e.fields and name in e.summary
        ]
        if panels:
            model = "{network} ({encoder})".format_map(recovered[0].summary.attrs)
            picture = plots.scatters(panels, f"planted centre {direction}", "recovered centre")
            caption = (
                f"In shares of the image; targets whose true ceiling exceeds {RELIABLE:g}. Dashed: equality."
            )
            out.append(Picture(picture, f"{model}: receptive fields {direction}", caption))
    return out
