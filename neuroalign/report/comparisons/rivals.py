"""Encoders beside each other: which of two predicts better, over the same targets, folds and subjects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.report.brain.canvas import Canvas
from neuroalign.report.comparisons import densities
from neuroalign.report.drawing import plots
from neuroalign.report.drawing.palette import Difference, Scale
from neuroalign.report.evidence import Evidence, mean
from neuroalign.report.figures import Picture
from neuroalign.report.numbers.spoken import number, spread
from neuroalign.report.numbers.tables import Estimate, estimate
from neuroalign.report.regions import ALL

SAME_R = 1e-6
"""Values of r that differ by less are equal: a stack may leave ridge as it is."""

Pair = tuple[str, str, str]
"""A network, an encoder, and the encoder that it is measured against."""


def pairs(evidence: Evidence) -> list[Pair]:
    """Every further encoder of a network beside the first of the configuration, where anyone has both."""
    first, *others = evidence.study.encoders
    wanted = [(network, encoder, first) for network in evidence.study.conditions() for encoder in others]
    return [pair for pair in wanted if _both(evidence, pair)]


def _both(evidence: Evidence, pair: Pair) -> list[tuple[xr.Dataset, xr.Dataset]]:
    """Summaries with either encoder of all subjects that have both and a scored target."""
    network, encoder, rival = pair
    shared = [s for s in evidence.subjects(network, encoder) if s in evidence.subjects(network, rival)]
    found = [(evidence.summaries[s, network, encoder], evidence.summaries[s, network, rival]) for s in shared]
    return [both for both in found if np.isfinite(both[0]["chosen_r"].values).any()]


def _of_average(evidence: Evidence, pair: Pair) -> list[tuple[xr.Dataset, xr.Dataset]]:
    network, *encoders = pair
    found = [evidence.summaries.get((layout.AVERAGE, network, encoder)) for encoder in encoders]
    return [(found[0], found[1])] if found[0] is not None and found[1] is not None else []


def _differences(evidence: Evidence, both: list[tuple[xr.Dataset, xr.Dataset]], name: str) -> np.ndarray:
    """Mean differences over targets: (subject, region), or (subject, layer, region) of a score by layers."""
    return np.array(
        [evidence.regions(one).mean(one[name].values - other[name].values) for one, other in both]
    )


def rival_table(evidence: Evidence, pair: Pair) -> pd.DataFrame:
    """One row per region: mean r with either encoder, and their difference with its 95 % interval."""
    network, encoder, rival = pair
    owners = {"subjects": _both(evidence, pair), "mean subject": _of_average(evidence, pair)}
    rows = []
    for whose, both in owners.items():
        if not both:
            continue
        one, other = (evidence.over([each[at] for each in both], "chosen_r") for at in (0, 1))
        gained = _differences(evidence, both, "chosen_r")
        for at, region in enumerate([ALL, *evidence.region_names]):
            found = estimate(gained[:, at])
            row: dict[str, object] = {"network": network, "whose": whose, "region": region}
            row |= {f"r {encoder}": estimate(one[:, at]).mean, f"r {rival}": estimate(other[:, at]).mean}
            row |= {
                "difference": found.mean,
                "difference_ci_low": found.low,
                "difference_ci_high": found.high,
            }
            rows.append(row | {"n_subjects": found.n})
    return pd.DataFrame(rows)


def rival_sentence(evidence: Evidence, pair: Pair) -> str:
    """Which of two encoders predicts better and in how many targets, or that neither is shown to."""
    network, encoder, rival = pair
    both = _both(evidence, pair)
    found = _differences(evidence, both, "chosen_r")[:, 0]
    gain = estimate(found)
    r = [estimate(np.array([mean(each[at]["chosen_r"].values) for each in both])).mean for at in (0, 1)]
    better, worse = (encoder, rival) if gain.mean > 0 else (rival, encoder)
    ordered = [each if better == encoder else each[::-1] for each in both]
    share, equal = (100 * mean(np.array(shares)) for shares in zip(*map(_shares, ordered), strict=True))
    alike = f" and equal in {equal:.0f} %" if equal >= 0.5 else ""
    return (
        f"{network}: mean r is {number(r[0])} with {encoder} and {number(r[1])} with {rival}, "
        f"Δr = {spread(gain, 4, counted=True)}; {better} is better in {share:.0f} % of targets{alike}. "
        f"{_verdict(gain, found, better, worse)}"
    )


def _shares(both: tuple[xr.Dataset, xr.Dataset]) -> tuple[float, float]:
    """Shares of the scored targets in which the first has the higher r, and in which both have the same."""
    difference = both[0]["chosen_r"].values - both[1]["chosen_r"].values
    known = difference[np.isfinite(difference)]
    if not len(known):
        return float("nan"), float("nan")
    return float((known >= SAME_R).mean()), float((np.abs(known) < SAME_R).mean())


def _verdict(gain: Estimate, found: np.ndarray, better: str, worse: str) -> str:
    if gain.n == 1:
        return "One subject does not tell which of the two is better."
    count = int((np.sign(gain.mean) * found > 0).sum())
    if gain.low > 0 or gain.high < 0:
        return f"{better} predicts better than {worse}, in {count} of {gain.n} subjects."
    return (
        "Neither is shown to predict better: the interval includes zero "
        f"({better} leads in {count} of {gain.n} subjects)."
    )


def rival_pictures(evidence: Evidence, pair: Pair, canvas: Canvas | None) -> list[Picture]:
    """Either encoder by target, where one is better, and by depth where both score layers."""
    found = [_density_picture(evidence, pair), _gain_picture(evidence, pair, canvas)]
    network, *encoders = pair
    if all((network, encoder) in evidence.layered() for encoder in encoders):
        found.append(rival_picture(evidence, pair))
    return found


def _density_picture(evidence: Evidence, pair: Pair) -> Picture:
    network, encoder, rival = pair
    both = _both(evidence, pair)
    r = [np.concatenate([each[at]["chosen_r"].values for each in both]).astype(float) for at in (0, 1)]
    caption = (
        f"Held-out r of every target of {len(both)} subjects, each encoder at the layer that training folds "
        "chose, or with all layers together. Dashed: equality."
    )
    return Picture(
        densities.density(r[1], r[0], (rival, encoder)),
        f"{network}: {encoder} against {rival}, target by target",
        caption,
    )


def _gain_picture(evidence: Evidence, pair: Pair, canvas: Canvas | None) -> Picture:
    """A map of the difference, or a row of dots for each region."""
    network, encoder, rival = pair
    label, title = f"Δr, {encoder} − {rival}", f"{network}: r with {encoder} less r with {rival}"
    if canvas is None:
        names, at = zip(*evidence.places(), strict=True)
        subjects = _differences(evidence, _both(evidence, pair), "chosen_r")[:, at]
        found = [estimate(values) for values in subjects.T]
        low, high = np.array([[each.low, each.high] for each in found]).T
        caption = (
            "Means over the targets of a region: a dot per subject, a bar for their mean, a line for its "
        )
        return Picture(
            densities.gains(names, subjects, low, high, label),
            title,
            f"{caption}95 % interval.{evidence.regions_left}",
        )
    whose, beside = evidence.whose(network, encoder), evidence.whose(network, rival)
    owner = next(name for name in whose if name in beside)
    gain = whose[owner]["chosen_r"].values - beside[owner]["chosen_r"].values
    finite = np.abs(gain[np.isfinite(gain)])
    end = max(0.01, float(np.percentile(finite, 98))) if finite.size else 0.01
    scale = Scale("RdBu_r", -end, end, label)
    row = ("group" if owner == "group" else f"sub-{owner}", canvas.draw(whose[owner], gain, scale), scale)
    caption = "All scored targets, significant or not. Red: the first is better; blue: the second."
    return Picture(plots.picture_rows([row], canvas.columns), title, caption)


def rival_picture(evidence: Evidence, pair: Pair) -> Picture:
    """The difference of r by depth, per region."""
    network, encoder, rival = pair
    both = _both(evidence, pair)
    gained = _differences(evidence, both, "r")
    depth = both[0][0]["depth"].values
    panels = [_panel(region, depth, gained[..., at]) for region, at in evidence.places()]
    caption = (
        "Each layer by itself, means over the targets of a region. Thin lines are subjects, the thick line "
        f"is their mean with its 95 % interval. Above zero {encoder} predicts better, below {rival} does."
        f"{evidence.regions_left}"
    )
    return Picture(plots.differences(panels, encoder, rival), f"{network}: {encoder} less {rival}", caption)


def _panel(region: str, depth: np.ndarray, subjects: np.ndarray) -> Difference:
    """Differences (subject, layer) of a region with their mean and interval."""
    found = [estimate(layer) for layer in subjects.T]
    means, low, high = np.array([[each.mean, each.low, each.high] for each in found]).T
    return Difference(region, depth, subjects, means, low, high)
