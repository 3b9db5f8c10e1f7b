"""When layers predict: pictures and sentences of what the stage `timing` found."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroalign.report.evidence import Evidence
from neuroalign.report.figures import MAX_SUBJECTS, Picture, called
from neuroalign.report.sensors import time_plots
from neuroalign.report.sensors.phrases import ms
from neuroalign.report.sensors.time_plots import Course, Latencies

ABOUT = (
    "Of every layer, r averaged over channels has a peak, where it is highest, and an onset, from which on "
    "it stays above half of the peak until it gets there; layers that nowhere exceed what noise reaches have "
    "neither. Intervals are 95 % over stimuli drawn anew, of the group over subjects drawn anew where there "
    "are enough."
)


def timed(evidence: Evidence, network: str, encoder: str) -> dict[str, xr.Dataset]:
    """Timing of a model by its owner: the group first, then subjects."""
    found = {owner: d for (owner, n, e), d in evidence.timings.items() if (n, e) == (network, encoder)}
    return {name: found[name] for name in sorted(found, key=lambda name: name != "group")}


def timing_pictures(evidence: Evidence, network: str, encoder: str) -> list[Picture]:
    """Latencies by depth, temporal generalisation, and identification over time."""
    found = list(timed(evidence, network, encoder).items())[: MAX_SUBJECTS + 1]
    model = f"{network} ({encoder})"
    out = []
    panels = [_latencies(owner, d) for owner, d in found if "peak" in d and np.isfinite(d["peak"]).any()]
    if panels:
        caption = (
            "A dot per layer that exceeds noise. ρ: Spearman correlation of depth with peak latency, in "
            "brackets its 95 % interval."
        )
        out.append(
            Picture(time_plots.latencies_by_depth(panels), f"{model}: latency of layers by depth", caption)
        )
    squares = [(called(owner), d["generalisation"].values) for owner, d in found if "generalisation" in d]
    if squares:
        seconds = found[0][1]["latency"].values
        caption = (
            "What was predicted for one latency against responses at another: a square away from the "
            "diagonal is a code that lasts or comes back. Dotted: the same latency; dashed: onset."
        )
        drawn = time_plots.time_squares(squares, seconds)
        out.append(Picture(drawn, f"{model}: temporal generalisation", caption))
    courses = [_identified(owner, d) for owner, d in found if "identification" in d]
    if courses:
        caption = (
            "Pairs of held-out stimuli whose predictions match their own responses over channels better than "
            "each other's; half of them by chance."
        )
        drawn = time_plots.identification_courses(courses)
        out.append(Picture(drawn, f"{model}: stimuli identified over time", caption))
    return out


def _latencies(owner: str, dataset: xr.Dataset) -> Latencies:
    def ends(name: str) -> np.ndarray:
        return np.stack([dataset[f"{name}{end}"].values for end in ("", "_low", "_high")]).astype(float)

    rho = _rho(dataset)
    title = f"{called(owner)}: ρ {rho}" if rho else called(owner)
    return Latencies(title, dataset["depth"].values, ends("peak"), ends("onset"))


def _identified(owner: str, dataset: xr.Dataset) -> Course:
    seconds = dataset["latency"].values
    band = np.full((2, len(seconds)), np.nan)
    if "identification_band" in dataset:
        band = dataset["identification_band"].sel(bound=["low", "high"]).values.astype(float)
    p = dataset["identification_p_max"].values
    return Course(called(owner), seconds, dataset["identification"].values.astype(float), band, p < 0.05)


def _rho(dataset: xr.Dataset, digits: int = 2) -> str:
    if "depth_by_peak" not in dataset:
        return ""
    rho, low, high = (float(value) for value in dataset["depth_by_peak"].values)
    if not np.isfinite(rho):
        return ""
    interval = f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) else ""
    return f"{rho:.{digits}f}{interval}".replace("-", "−")


def timing_sentences(evidence: Evidence, network: str, encoder: str) -> list[str]:
    """Whether deeper layers are read later, and when stimuli are told apart best."""
    found = timed(evidence, network, encoder)
    if not found:
        return []
    owner, dataset = next(iter(found.items()))
    whose = "the group" if owner == "group" else called(owner)
    out = []
    ordered = evidence.study.conditions()[network].family != "handmade"  # whose features have no order
    if ordered and (rho := _rho(dataset)):
        out.append(_order_sentence(dataset, whose, rho))
    if "identification" in dataset and np.isfinite(dataset["identification"]).any():
        accuracy = dataset["identification"].values
        best = int(np.nanargmax(accuracy))
        p = float(dataset["identification_p_max"].values[best])
        at = ms(float(dataset["latency"].values[best]))
        out.append(
            f"Stimuli are told apart best at {at} ms in {whose}: {100 * accuracy[best]:.1f} % of pairs "
            f"(chance 50 %, p = {p:.2g} corrected over latencies)."
        )
    return out


def _order_sentence(dataset: xr.Dataset, whose: str, rho: str) -> str:
    """Depth against peak latency; order is claimed only where its interval leaves out zero."""
    _, low, high = (float(value) for value in dataset["depth_by_peak"].values)
    peak = dataset["peak"].values
    count, total = int(np.isfinite(peak).sum()), len(peak)
    text = (
        f"Depth and peak latency correlate over {count} of {total} layers in {whose} by Spearman's ρ = {rho}"
    )
    if "subject_depth_by_peak" in dataset:
        own = dataset["subject_depth_by_peak"].values
        own = own[np.isfinite(own)]
        if len(own):
            text += f", above zero in {int((own > 0).sum())} of {len(own)} subjects"
    if not np.isfinite(low):
        return f"{text}."
    if low > 0:
        return f"{text}: deeper layers are read later."
    if high < 0:
        return f"{text}: deeper layers are read earlier."
    return f"{text}: that depth follows time is not shown."
