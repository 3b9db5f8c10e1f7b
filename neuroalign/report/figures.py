"""Which figures the report shows, with their titles and captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.report.brain.canvas import Canvas
from neuroalign.report.drawing import palette, plots
from neuroalign.report.drawing.palette import Profile, Scale
from neuroalign.report.evidence import Evidence, column, mean, significant
from neuroalign.report.sensors.best_times import epoch_profiles

MAX_SUBJECTS = 12
"""Subjects whose maps are drawn, and turned in the viewer; the map files hold all."""

DEPTH = Scale("viridis", 0.0, 1.0, "relative depth")
ACROSS = Scale("plasma", 0.0, 1.0, "share of the image")
DRAWN = (
    *("r", "best_depth", "centroid", "importance_depth", "peak_delay", "field_x", "field_y"),
    *("attention_weight", "unique_network", "normalised_r"),
)
"""Maps of the group that are drawn; the viewer has more."""

GREY = "Grey: no significant target."


@dataclass(frozen=True)
class Picture:
    """A figure of the page: its address, what it shows, and what to say to those who cannot see it."""

    source: str
    title: str
    caption: str


@dataclass(frozen=True)
class Shown:
    """One map as the report shows it: values (target,), NaN where it says nothing."""

    key: str
    title: str
    values: np.ndarray
    scale: Scale


def shown_maps(dataset: xr.Dataset, top: float) -> list[Shown]:
    """The maps of a summary that the report draws; `top` is the r at the end of the scale."""
    found = [
        Shown("r", "r", dataset["chosen_r"].values, Scale("r", 0.0, top, "Pearson r (held-out)")),
        Shown("best_depth", "best layer", dataset["best_depth"].values, DEPTH),
        Shown("centroid", "depth centroid", dataset["centroid"].values, DEPTH),
        Shown("importance_depth", "layers that count", column(dataset, "importance_depth"), DEPTH),
        Shown(
            "attention_weight",
            "share of attention",
            column(dataset, "attention_weight"),
            Scale("cividis", 0.0, 1.0, "weight of cross-attention"),
        ),
        Shown(
            "peak_delay",
            "delay",
            column(dataset, "peak_delay"),
            Scale("plasma", 0.0, float(np.max(dataset["lag"].values)) if "lag" in dataset else 1.0, "s"),
        ),
        Shown("field_x", "field: from the left", column(dataset, "field_x"), ACROSS),
        Shown("field_y", "field: from the top", column(dataset, "field_y"), ACROSS),
        Shown(
            "r_unique",
            "r beyond nuisance",
            column(dataset, "chosen_r_unique"),
            Scale("r", 0.0, top, "partial r"),
        ),
        Shown(
            "unique_network",
            "R² unique to it",
            column(dataset, "chosen_unique_network"),
            Scale("RdBu_r", -(top**2), top**2, "unique R² (held-out)"),
        ),
        Shown(
            "normalised_r",
            "r / ceiling",
            dataset["normalised_r"].values,
            Scale("cividis", 0.0, 1.0, "r / r ceiling"),
        ),
        Shown(
            "q",
            "significance",
            _evidence_of(column(dataset, "q")),
            Scale("cividis", 0.0, 4.0, "−log₁₀ q"),
        ),
    ]
    return [entry for entry in found if np.isfinite(entry.values).any()]


def _evidence_of(q: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log10(np.clip(np.asarray(q, float), 1e-6, 1.0)))


def significant_only(dataset: xr.Dataset, values: np.ndarray) -> np.ndarray:
    """Values where the target is significant, NaN elsewhere."""
    return np.where(significant(dataset), values, np.nan)


def top_of_scale(evidence: Evidence) -> float:
    """A common end for every scale of r: its 99th percentile over the models' summaries, rounded up."""
    values = np.concatenate(
        [d["chosen_r"].values for key, d in evidence.summaries.items() if key[1:] in evidence.models()]
    )
    values = values[np.isfinite(values)]
    return max(0.05, float(np.ceil(np.percentile(values, 99) / 0.05) * 0.05)) if values.size else 0.5


def profiles(evidence: Evidence, network: str, encoder: str) -> list[Profile]:
    """Layer profiles over all targets and per region."""
    people = evidence.subjects(network, encoder)
    datasets = [evidence.summaries[subject, network, encoder] for subject in people]
    twin = evidence.twin(network) or ""
    twins = [evidence.summaries[s, twin, encoder] for s in people if (s, twin, encoder) in evidence.summaries]
    r = evidence.over(datasets, "r")
    beside = mean(evidence.over(twins, "r"), axis=0) if twins else None
    level = {
        name: mean(evidence.over(datasets, name), axis=0)
        for name in ("nuisance_r", "ceiling_low", "ceiling_high")
    }
    return [
        Profile(
            region,
            datasets[0]["depth"].values,
            r[..., at],
            None if beside is None else beside[:, at],
            twins[0]["depth"].values if twins else None,
            *(float(values[at]) for values in level.values()),
        )
        for region, at in evidence.places()
    ]


def profile_picture(evidence: Evidence, network: str, encoder: str) -> Picture:
    """Score by depth per region; of epochs at the time at which each layer predicts best."""
    if evidence.kind == "sensors" and "latency" in evidence.any_summary.coords:
        panels, about = epoch_profiles(evidence, network, encoder)
        title = f"{network} ({encoder}): r by depth, at each layer's best time"
    else:
        panels, about = profiles(evidence, network, encoder), "Mean held-out r over the targets of a region."
        title = f"{network} ({encoder}): r by depth"
    caption = (
        f"{about} Thin lines are subjects, the thick line their mean ± SEM. Each layer by itself: scores "
        "elsewhere are of the layer that the training folds chose for each target, and which layer is best "
        f"here is seen after the fact.{evidence.regions_left}"
    )
    return Picture(plots.layer_profiles(panels, network), title, caption)


def comparison_picture(subjects: pd.DataFrame, network: str, encoder: str) -> Picture:
    """Model, controls and ceiling side by side."""
    people = subjects["subject"] != layout.AVERAGE
    rows = subjects[people & (subjects["network"] == network) & (subjects["encoder"] == encoder)]
    wanted = [
        (network, "r", palette.MODEL),
        ("untrained twin", "twin_r", palette.TWIN),
        ("nuisance features", "nuisance_r", palette.NUISANCE),
        ("noise ceiling", "ceiling", "#2f7d55"),
    ]
    found = [(label, rows[column].to_numpy(float), colour) for label, column, colour in wanted]
    found = [entry for entry in found if np.isfinite(entry[1]).any()]
    caption = "Mean over all scored targets. Each dot is a subject; lines join a subject's values."
    return Picture(
        plots.comparison(found or [(network, np.array([np.nan]), palette.MODEL)]),
        f"{network} ({encoder}) beside its controls",
        caption,
    )


def map_pictures(evidence: Evidence, network: str, encoder: str, canvas: Canvas) -> list[Picture]:
    """Maps of the group (or the only subject), then r and best layer of each subject."""
    whose = evidence.whose(network, encoder)
    top = top_of_scale(evidence)
    owner, dataset = next(iter(whose.items()))
    rows = [
        (shown.title, canvas.draw(dataset, significant_only(dataset, shown.values), shown.scale), shown.scale)
        for shown in shown_maps(dataset, top)
        if shown.key in DRAWN
    ]
    title = f"{network} ({encoder}): {called(owner)}"
    out = []
    if rows:
        out.append(
            Picture(plots.picture_rows(rows, canvas.columns), title, f"Significant targets only. {GREY}")
        )
    people = [name for name in whose if name != "group"]
    if len(people) > 1:
        model = f"{network} ({encoder})"
        for key in ("r", "best_depth", "importance_depth"):
            out += _per_subject(whose, people, canvas, top, key, model)
    return out


def _per_subject(
    whose: dict[str, xr.Dataset], people: Sequence[str], canvas: Canvas, top: float, key: str, model: str
) -> list[Picture]:
    rows = []
    for name in people[:MAX_SUBJECTS]:
        for shown in shown_maps(whose[name], top):
            if shown.key == key:
                values = significant_only(whose[name], shown.values)
                rows.append((called(name), canvas.draw(whose[name], values, shown.scale), shown.scale))
    left = len(people) - MAX_SUBJECTS
    more = f" The first {MAX_SUBJECTS} subjects; {left} more are in the map files." if left > 0 else ""
    if not rows:
        return []
    title = {
        "r": "r of the chosen layer",
        "best_depth": "best layer",
        "importance_depth": "layers that count",
    }[key]
    drawn = plots.picture_rows(rows, canvas.columns)
    return [Picture(drawn, f"{model}: {title}, each subject", f"{GREY}{more}")]


def called(owner: str) -> str:
    """What a subject or the group is called in titles."""
    return {"group": "group", layout.AVERAGE: "mean subject"}.get(owner, f"sub-{owner}")


def penalised(evidence: Evidence) -> list[tuple[str, str]]:
    """The (network, encoder) pairs that choose a penalty for every target."""
    return [
        model for model in evidence.models() if all("alpha" in d for d in evidence.whose(*model).values())
    ]


def alpha_picture(evidence: Evidence) -> Picture:
    """Chosen alphas of every model, over subjects."""
    panels = []
    for network, encoder in penalised(evidence):
        found = [evidence.summaries[s, network, encoder] for s in evidence.subjects(network, encoder)]
        # A fold may widen its grid, so that subjects differ in theirs.
        counts = pd.concat([pd.Series(d["alpha_count"].values, d["alpha"].values.round(9)) for d in found])
        together = counts.groupby(level=0).sum()
        panels.append((f"{network} ({encoder})", together.index.to_numpy(float), together.to_numpy(float)))
    caption = (
        "At the chosen layer, over all scored targets, folds and subjects. Targets without signal rightly "
        "take the largest alpha; many predicted ones at an edge mean that the grid is too narrow."
    )
    return Picture(plots.alpha_histogram(panels), "Chosen penalties", caption)
