"""What the report says of sensors: how they were recorded, and where and when they are predicted."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.maps.sensors import channels, gridded, latencies
from neuroalign.report.evidence import Evidence, mean, significant
from neuroalign.report.regions import TYPES

MUCH_DROPPED = 0.25
"""Share of trials above which what was dropped is warned of."""

SINGULAR = {"mag": "magnetometer", "grad": "gradiometer"}


def over(evidence: Evidence) -> str:
    """What scores are averaged over."""
    epoched = "latency" in evidence.any_summary.coords
    return "over all channels and latencies" if epoched else "over all channels"


def samples(evidence: Evidence) -> str:
    """What samples are, and how many trials there were before some were dropped."""
    if "latency" not in evidence.any_summary.coords:
        return "samples per subject"
    counted = [entry for entry in _people(evidence).values() if "n_shown" in entry]
    shown, dropped = (sum(entry[name] for entry in counted) for name in ("n_shown", "n_dropped"))
    if not counted:
        return "trials per subject"
    return f"trials per subject; {f'{dropped:,}' if dropped else 'none'} of {shown:,} shown were dropped"


def facts(evidence: Evidence) -> list[tuple[str, str]]:
    """Channels, latencies, rate and where positions come from."""
    summary = evidence.any_summary
    times = latencies(summary)
    named = described(summary)
    if times is not None:
        pairs = f"{summary.sizes['target']:,}: {named}"
        named = f"{pairs} at {len(times)} latencies, {ms(times[0])} to {ms(times[-1])} ms"
    found = [("Targets", named)]
    if "sampling_hz" in summary.attrs:
        found.append(("Sampling rate", f"{float(summary.attrs['sampling_hz']):g} Hz"))
    found.append(("Positions", positions(summary)))
    return found


def described(summary: xr.Dataset) -> str:
    """How many channels there are of each type."""
    counts = channels(summary)["channel_type"].value_counts(sort=False)
    named = [_counted(str(kind), int(count)) for kind, count in counts.items()]
    return " and ".join(named)


def _counted(kind: str, count: int) -> str:
    noun = SINGULAR.get(kind, f"{TYPES.get(kind, kind)} channel")
    return f"{count} {noun}{'' if count == 1 else 's'}"


def positions(summary: xr.Dataset) -> str:
    """Where positions of channels come from, and how many are not known."""
    origin = str(summary.attrs.get("montage") or "")
    known = np.isfinite(channels(summary)[["x", "y", "z"]].to_numpy(float)).all(axis=1)
    if not known.any():
        return "not known: rows of channels instead of heads"
    said = "from the recording" if origin in ("digitised", "") else f"of the standard montage {origin}"
    missing = int((~known).sum())
    return f"{said}; {missing} of {len(known)} channels have none" if missing else said


def sentences(evidence: Evidence, network: str, encoder: str) -> list[str]:
    """Where and when r is highest, and how many pairs of channel and latency are significant."""
    owner, dataset = next(iter(evidence.whose(network, encoder).items()))
    whose = {"group": "the group", layout.AVERAGE: "the mean subject"}.get(owner, f"sub-{owner}")
    r = gridded(dataset, dataset["chosen_r"].values)
    if not np.isfinite(r).any():
        return []
    row, column = np.unravel_index(int(np.nanargmax(r)), r.shape)
    model = f"{network} ({encoder})"
    table, times = channels(dataset), latencies(dataset)
    at, best = table["channel"].iloc[row], r[row, column]
    verdict = gridded(dataset, significant(dataset))[row, column] > 0
    doubt = "" if verdict or "significant" not in dataset else ", which is not significant"
    if times is None:
        return [f"{model} predicts best at {at} in {whose}: r = {best:.3f}{doubt}{_kernel_words(dataset)}."]
    course = mean(r, axis=0)
    peak = int(np.nanargmax(course))
    out = [
        f"{model} predicts best at {at}, {ms(times[column])} ms from onset, in {whose}: r = {best:.3f}{doubt}"
        f"; averaged over channels, r peaks at {ms(times[peak])} ms ({course[peak]:.3f}). Both are picked "
        "after the fact."
    ]
    if "significant" in dataset:
        out += [_pairs_sentence(dataset, times, whose), *_cluster_sentences(dataset, times, whose)]
    return out


def _cluster_sentences(dataset: xr.Dataset, times: np.ndarray, whose: str) -> list[str]:
    """How many clusters survive, and how far the one of the largest mass reaches."""
    if "cluster" not in dataset:
        return []
    number = gridded(dataset, np.where(significant(dataset), dataset["cluster"].values, np.nan))
    found = np.unique(number[number > 0])
    if not len(found):
        return [f"No cluster of neighbouring channels and latencies survives in {whose}."]
    largest = number == found[0]  # the first has the largest mass
    span, count = times[largest.any(axis=0)], int(largest.any(axis=1).sum())
    survive = "1 cluster survives" if len(found) == 1 else f"{len(found)} clusters survive"
    return [
        f"{survive} in {whose}; the largest reaches from {ms(span[0])} to {ms(span[-1])} ms and over {count} "
        "channels. That there is an effect is tested, not where it begins or ends."
    ]


def _pairs_sentence(dataset: xr.Dataset, times: np.ndarray, whose: str) -> str:
    verdict = gridded(dataset, significant(dataset)) > 0
    scored = np.isfinite(gridded(dataset, dataset["chosen_r"].values))
    count, total = int(verdict.sum()), int(scored.sum())
    text = f"{count:,} of {total:,} pairs of channel and latency are significant in {whose}"
    early = times < 0
    if early.any():
        text += f", {int(verdict[:, early].sum()):,} of {int(scored[:, early].sum()):,} before onset"
    share = verdict.sum(axis=0) / np.maximum(scored.sum(axis=0), 1)
    if count:
        most = int(share.argmax())
        text += f"; most at {ms(times[most])} ms, in {100 * share[most]:.0f} % of channels"
    return f"{text}."


def _kernel_words(dataset: xr.Dataset) -> str:
    if "chosen_kernel" not in dataset:
        return ""
    course = mean(np.abs(dataset["chosen_kernel"].transpose("lag", "target").values), axis=1)
    if not np.isfinite(course).any():
        return ""
    return f"; kernels weigh most at a lag of {ms(float(dataset['lag'].values[np.nanargmax(course)]))} ms"


def dropped_warnings(evidence: Evidence) -> list[tuple[str, str]]:
    """Subjects of whom many trials were dropped."""
    out = []
    for subject, entry in _people(evidence).items():
        shown, dropped = entry.get("n_shown", 0), entry.get("n_dropped", 0)
        if evidence.kind == "sensors" and shown and dropped / shown > MUCH_DROPPED:
            what = "trials" if "latency" in evidence.any_summary.coords else "samples"
            text = f"{100 * dropped / shown:.0f} % of {what} were dropped: see responses.sensors.reject"
            out.append((f"sub-{subject}", text))
    return out


def _people(evidence: Evidence) -> dict[str, dict[str, int]]:
    return {
        subject: entry
        for subject, entry in evidence.recordings.items()
        if entry and subject != layout.AVERAGE
    }


def ms(seconds: float) -> str:
    """Seconds as whole milliseconds, without the unit."""
    return f"{1000 * seconds + 0.0:.0f}".replace("-", "−")
