"""How well a simulated study gave back what was planted in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.report.evidence import Evidence, column, mean, significant
from neuroalign.report.planted import latencies

FIELDS = {"field_x": "x", "field_y": "y", "field_size": "size"}
"""Properties of receptive fields, where they were planted, and what they are called."""

UNDRIVEN = {
    "story": "In the noise region nothing drives the response, in the word-rate region only the word rate "
    "does",
    "images": "In the noise region nothing drives the response, in the luminance region only the mean "
    "luminance of the image does",
    "eeg": "Before the onset of an image, and after the last response has ended, nothing drives any channel "
    "(noise targets)",
}
"""Where no network drives the response, by the kind of study."""

RELIABLE = 0.3
"""Depths and ceilings are compared where the true ceiling exceeds this r: an estimate is not below zero,
so that it is too high on average where there is nearly nothing."""


@dataclass(frozen=True)
class Recovery:
    """Planted and recovered values of one owner (a subject or the group), one entry per target.

    Attributes
    ----------
    owner : str
        Subject label or "group".
    planted : array (target,)
        Planted relative depth, NaN outside network-driven cortex.
    true_ceiling : array (target,)
        Planted ceiling (mean over subjects for the group), r.
    summary : xr.Dataset
        The summary that should show them.
    fields : dict of array (target,)
        Planted receptive fields, of FIELDS; empty where there are none.
    layers : DataFrame
        Planted and recovered latencies of layers, see `latencies`; empty where there are none.
    """

    owner: str
    planted: np.ndarray
    true_ceiling: np.ndarray
    summary: xr.Dataset
    fields: dict[str, np.ndarray] = field(default_factory=dict)
    layers: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def compared(self) -> np.ndarray:
        """Network-driven targets with a ceiling above `RELIABLE`."""
        return np.asarray(np.isfinite(self.planted) & (self.true_ceiling > RELIABLE))

    @property
    def noise(self) -> np.ndarray:
        """Targets that nothing drives: no depth, no ceiling; none that the truth does not know."""
        return np.asarray(~np.isfinite(self.planted) & (self.true_ceiling <= 1e-6))

    @property
    def nuisance_driven(self) -> np.ndarray:
        """Targets that only word rate or luminance drives: a ceiling but no depth."""
        return np.asarray(~np.isfinite(self.planted) & (self.true_ceiling > 1e-6))


def recoveries(evidence: Evidence, network: str, encoder: str) -> list[Recovery]:
    """Pair every summary of a network with the truth, target by target.

    Returns nothing where no truth is known, or another network was planted. Targets are matched
    by their place (hemisphere and vertex, voxel, channel and latency, or name); a target the truth does not
    know gets NaN.
    """
    truth = evidence.truth
    planted = None if truth is None else truth.attrs.get("network")
    if truth is None or planted not in (None, evidence.study.conditions()[network].named):
        return []
    out = []
    names = (
        truth["subject"].values.astype(str).tolist()
        if "subject" in truth.coords
        else evidence.study.subjects()
    )
    for owner, summary in evidence.whose(network, encoder).items():
        rows = [names.index(owner)] if owner in names else list(range(truth.sizes["subject"]))
        ceiling = mean(truth[_reached(evidence, truth)].values[rows], axis=0)
        at = _matched(truth, summary)
        fields = {name: _taken(truth[name].values, at) for name in FIELDS if name in truth}
        layers = (
            latencies.layer_latencies(truth, summary)
            if latencies.planted_latencies(truth)
            else pd.DataFrame()
        )
        planted_depth = _taken(truth["depth"].values, at)
        out.append(Recovery(owner, planted_depth, _taken(ceiling, at), summary, fields, layers))
    return out


def _reached(evidence: Evidence, truth: xr.Dataset) -> str:
    """The planted ceiling of what was fitted: of single trials or volumes, or of means over repeats."""
    averaged = evidence.study.design.repeats == "average" and "ceiling_of_means" in truth
    return "ceiling_of_means" if averaged else "ceiling"


def _matched(truth: xr.Dataset, summary: xr.Dataset) -> np.ndarray:
    """Row of the truth for every target of the summary, −1 where there is none."""
    if "latency" in truth.coords:
        return _matched_in_time(truth, summary)
    keys = [
        name
        for name in ("hemi", "vertex", "i", "j", "k", "name")
        if name in truth.coords and name in summary.coords
    ]
    known = pd.MultiIndex.from_arrays([truth[name].values for name in keys])
    return known.get_indexer(pd.MultiIndex.from_arrays([summary[name].values for name in keys]))


def _matched_in_time(truth: xr.Dataset, summary: xr.Dataset) -> np.ndarray:
    """The same for channels at latencies, of which the nearest is taken that is at most a sample away."""
    if "latency" not in summary.coords:
        return np.full(summary.sizes["target"], -1)
    seconds = np.unique(truth["latency"].values)
    wanted = summary["latency"].values
    nearest = np.abs(seconds[:, None] - wanted).argmin(axis=0)
    known = pd.MultiIndex.from_arrays([truth["channel"].values.astype(str), truth["latency"].values])
    at = known.get_indexer(
        pd.MultiIndex.from_arrays([summary["channel"].values.astype(str), seconds[nearest]])
    )
    return np.where(np.abs(seconds[nearest] - wanted) <= np.diff(seconds).max(), at, -1)


def _taken(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.where(at >= 0, np.asarray(values, float)[at], np.nan)


def agreement(recovery: Recovery) -> dict[str, object]:
    """The numbers of one recovery: correlations of depth, error rates, and the ceiling's error."""
    summary = recovery.summary
    scored = np.isfinite(summary["chosen_r"].values)
    level = float(summary.attrs.get("inference_level", 0.05))
    p = column(summary, "p")
    verdict = significant(summary)
    row: dict[str, object] = {"whose": recovery.owner, "targets": int((recovery.compared & scored).sum())}
    for name in ("centroid", "best_depth"):
        row[f"r_{name}"] = correlation(recovery.planted, summary[name].values, recovery.compared & scored)
    if "importance_depth" in summary:
        told = summary["importance_depth"].values
        row["r_importance_depth"] = correlation(recovery.planted, told, recovery.compared & scored)
    for name, planted in recovery.fields.items():
        if name in summary:
            row[f"r_{name}"] = correlation(planted, summary[name].values, recovery.compared & scored)
    for name, region in (
        ("noise", recovery.noise & scored),
        ("nuisance", recovery.nuisance_driven & scored),
    ):
        count = int(region.sum())
        if name == "nuisance" and not recovery.nuisance_driven.any():
            continue
        row[f"{name}_targets"] = count
        row[f"{name}_significant"] = float(verdict[region].mean()) if count else np.nan
        row[f"{name}_below_level"] = float((p[region] < level).mean()) if count else np.nan
    row["level"] = level
    row |= latencies.latency_agreement(recovery.layers)
    row["r_ceiling"] = correlation(recovery.true_ceiling, summary["ceiling"].values, scored)
    row["ceiling_bias"] = float(
        mean((summary["ceiling"].values - recovery.true_ceiling)[scored & (recovery.true_ceiling > RELIABLE)])
    )
    return row


def correlation(x: np.ndarray, y: np.ndarray, where: np.ndarray) -> float:
    """Pearson correlation over the entries of `where` that are finite in both; NaN below three."""
    kept = where & np.isfinite(x) & np.isfinite(y)
    if kept.sum() < 3 or np.ptp(x[kept]) == 0 or np.ptp(y[kept]) == 0:
        return float("nan")
    return float(np.corrcoef(x[kept], y[kept])[0, 1])
