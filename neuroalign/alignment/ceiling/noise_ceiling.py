"""How well any model could predict a target: the noise ceiling, in units of Pearson r.

Responses of n listeners to one stimulus (or of n repeats) are taken as y_s = a_s g + noise, with
g the part they share and y_s of unit variance. A perfect model of g correlates with y_s at a_s, the
ceiling. With m the mean of the others, cov(y_s, m) = a_s ā, and the mean covariance among the
others estimates ā², so that

    ceiling_s = cov(y_s, m) / √(mean covariance among the others · var(y_s)).

With only one other the two are taken as equally reliable: ceiling = √r. The uncorrected correlation
of y_s with m is kept beside it as a lower bound. What is personal to a listener is noise here: a
ceiling from other subjects is about what is shared (Nili et al. 2014; Lage-Castellanos et al. 2019).
Intervals come from a bootstrap over blocks of time, whose percentiles are taken further out where blocks are
few (Hesterberg 2015, The American Statistician 69:371): with eleven blocks a plain percentile interval lies
above zero twice as often as it says. A ceiling is above chance where this interval of the raw correlation
says so and shifted series, too (see `synchrony`): the one is short of noise that outlasts a block, the other
of trends within short runs. Trials have a ceiling of their own: see `repeats`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr

from neuroalign.alignment.ceiling.repeats import repeat_ceiling
from neuroalign.alignment.ceiling.synchrony import Shifts
from neuroalign.artefacts.arrays import place_attributes, target_coordinates
from neuroalign.artefacts.layout import AVERAGE
from neuroalign.design.trials import are_trials
from neuroalign.settings.statistics import Ceiling

BLOCK = 4096
"""Targets bootstrapped at once."""

NAMES = ("ceiling", "ceiling_low", "ceiling_high", "raw_r")


def ceilings(
    responses: dict[str, xr.Dataset],
    events: pd.DataFrame,
    settings: Ceiling,
    seed: int,
    averaged: bool = False,
) -> dict[str, xr.Dataset]:
    """Noise ceilings of all subjects.

    Parameters
    ----------
    responses : mapping of subject label → Dataset
        May hold the mean of all subjects under `layout.AVERAGE`.
    events : DataFrame
        Of all subjects; decides whose runs had the same stimuli.
    settings : Ceiling
    seed : int
    averaged : bool
        Of trials: whether means over those of one stimulus are predicted, not single ones.

    Returns
    -------
    mapping of subject label → Dataset
        `ceiling`, `ceiling_low`, `ceiling_high`, `raw_r` per target, and `above_chance`: the interval
        of the raw correlation lies above zero and, of time series, shifted ones correlate less. All NaN, with
        the reason, where there is no way to tell.
    """
    if any(are_trials(data) for data in responses.values()):
        return {
            label: _of_trials(data, events, settings, averaged, np.random.default_rng(seed))
            for label, data in responses.items()
        }
    people = {
        label: _Listener(data, _unit(data), _timeline(data, events))
        for label, data in responses.items()
        if label != AVERAGE
    }
    made = {}
    for label, data in responses.items():
        shared = _others(label, people, settings)
        made[label] = _one(data, shared, settings, np.random.default_rng(seed))
    return made


Timeline = tuple[tuple[str, tuple[Any, ...]], ...]
"""The runs of a subject, each with the items that were presented and when."""


@dataclass(frozen=True)
class _Listener:
    """One subject: its responses, the same scaled within runs, and what it was presented with."""

    data: xr.Dataset
    series: np.ndarray
    timeline: Timeline


@dataclass(frozen=True)
class _Shared:
    """Series (n_samples, n_targets) that share the stimulus: first the subject's own, then the others'.

    With the lengths of their runs, the method used and, where there is none, the reason.
    """

    series: list[np.ndarray]
    lengths: list[int]
    method: str
    reason: str = ""


def _others(label: str, people: dict[str, _Listener], settings: Ceiling) -> _Shared:
    """What a subject's responses are compared with."""
    if settings.method == "none":
        return _Shared([], [], "none", "ceiling.method is none")
    reason = ""
    if settings.method in ("auto", "repeats") and label != AVERAGE:
        repeats, lengths = _repeats(people[label])
        if repeats:
            return _Shared(repeats, lengths, "repeats")
        reason = "no two runs had the same stimuli"
    if settings.method in ("auto", "subjects"):
        same, reason = _same_stimuli(label, people)
        if same:
            runs = next(iter(people.values())) if label == AVERAGE else people[label]
            return _Shared(same, _run_lengths(runs.data["run"].values), "subjects")
    return _Shared([], [], "none", reason)


def _run_lengths(runs: np.ndarray) -> list[int]:
    """Samples of every run, in order."""
    cuts = np.flatnonzero(runs[1:] != runs[:-1]) + 1
    return np.diff([0, *cuts.tolist(), len(runs)]).tolist()


def _repeats(listener: _Listener) -> tuple[list[np.ndarray], list[int]]:
    """The subject's runs of one stimulus, aligned; several stimuli follow each other in time.

    Only as many repeats as every repeated stimulus has are used. With the lengths of what is aligned.
    """
    runs = listener.data["run"].values.astype(str)
    groups: dict[tuple[Any, ...], list[str]] = {}
    for run, signature in listener.timeline:
        groups.setdefault(signature, []).append(run)
    groups = {key: members for key, members in groups.items() if len(members) > 1}
    if not groups:
        return [], []
    count = min(len(members) for members in groups.values())
    aligned: list[list[np.ndarray]] = [[] for _ in range(count)]
    for members in groups.values():
        length = min(int((runs == run).sum()) for run in members[:count])
        for place, run in enumerate(members[:count]):
            aligned[place].append(listener.series[runs == run][:length])
    return [np.concatenate(parts) for parts in aligned], [len(part) for part in aligned[0]]


def _same_stimuli(label: str, people: dict[str, _Listener]) -> tuple[list[np.ndarray], str]:
    """Subjects with this subject's stimuli, samples and targets; the subject itself comes first."""
    own = next(iter(people.values())) if label == AVERAGE else people[label]
    found = [] if label == AVERAGE else [own.series]
    for other, listener in people.items():
        if other == label or not listener.data["valid"].values.any():
            continue
        if listener.series.shape == own.series.shape and listener.timeline == own.timeline:
            found.append(listener.series)
    if len(found) < 2:
        return [], "no other subject has the same stimuli on the same samples and targets"
    return found, ""


def _timeline(data: xr.Dataset, events: pd.DataFrame) -> Timeline:
    """What a subject was presented with, run by run."""
    of_subject = events[events["subject"] == data.attrs["subject"]]
    runs = dict.fromkeys(data["run"].values.astype(str).tolist())
    return tuple((run, _signature(of_subject[of_subject["run"] == run])) for run in runs)


def _signature(events: pd.DataFrame) -> tuple[Any, ...]:
    """Items and their times to a tenth of a second."""
    return tuple(zip(events["item"].tolist(), events["onset"].round(1).tolist(), strict=True))


def _unit(data: xr.Dataset) -> np.ndarray:
    """Responses centred and scaled to unit variance within every run; NaN where not valid."""
    values = data["response"].values.astype(np.float64)
    runs = data["run"].values
    for run in dict.fromkeys(runs.tolist()):
        part = values[runs == run]
        spread = part.std(axis=0)
        values[runs == run] = (part - part.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
    return values


def _one(
    data: xr.Dataset,
    shared: _Shared,
    settings: Ceiling,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Ceiling and interval of one subject from its own series and the others'."""
    n_targets = data.sizes["target"]
    values = np.full((len(NAMES), n_targets), np.nan, np.float32)
    above, series = np.zeros(n_targets, bool), shared.series
    if series:
        blocks = _time_blocks(len(series[0]), float(data.attrs["tr"]), settings.block_s)
        draws = rng.multinomial(
            blocks.max() + 1, np.full(blocks.max() + 1, 1 / (blocks.max() + 1)), settings.bootstraps
        )
        weights = np.concatenate([np.ones((1, draws.shape[1])), draws])
        tail = _expanded(settings.confidence, blocks.max() + 1)
        of_mean = data.attrs["subject"] == AVERAGE
        sides, level = len(series) if of_mean else 2, (1 - settings.confidence) / 2
        shifts = Shifts.draw(shared.lengths, sides, level, settings.bootstraps, rng)
        for start in range(0, n_targets, BLOCK):
            part = slice(start, start + BLOCK)
            of_part = [one[:, part] for one in series]
            estimate = _mean_ceiling if of_mean else _ceiling
            ceiling, raw = estimate(np.tensordot(weights, _moments(of_part, blocks), axes=1))
            with np.errstate(invalid="ignore"):
                low, high = _percentiles(ceiling[1:], tail)
                above[part] = _percentiles(raw[1:], tail)[0] > 0
            values[:, part] = ceiling[0], low, high, raw[0]
            above[part] &= shifts.above_chance(of_part if of_mean else [of_part[0], _mean_of(of_part[1:])])
    attributes = {"method": shared.method, "reason": shared.reason, "n": len(series)}
    return _labelled(data, values, above, attributes | {"confidence": settings.confidence})


def _of_trials(
    data: xr.Dataset, events: pd.DataFrame, settings: Ceiling, averaged: bool, rng: np.random.Generator
) -> xr.Dataset:
    """Ceiling and interval of one subject from trials of the same stimulus."""
    values = np.full((len(NAMES), data.sizes["target"]), np.nan, np.float32)
    above = np.zeros(data.sizes["target"], bool)
    of_subject = events[events["subject"] == data.attrs["subject"]]
    found, reason = None, "ceiling.method is none"
    if settings.method in ("auto", "repeats"):
        found = repeat_ceiling(data, of_subject, settings, averaged, rng)
        reason = "no stimulus was shown twice"
    elif settings.method == "subjects":
        reason = "trials have no ceiling from other subjects; set ceiling.method: repeats"
    if found is not None:
        ceiling, reliability = found
        tail = 50 * (1 - settings.confidence)
        low, high = _percentiles(ceiling[1:], tail)
        above = _percentiles(reliability[1:], tail)[0] > 0
        values[:] = ceiling[0], low, high, reliability[0]
    method = "none" if found is None else f"repeated trials ({settings.repeats})"
    attributes = {
        "method": method,
        "reason": reason if found is None else "",
        "n": int(of_subject["content"].value_counts().max()),
        "confidence": settings.confidence,
    }
    return _labelled(data, values, above, attributes)


def _labelled(
    data: xr.Dataset, values: np.ndarray, above: np.ndarray, attributes: dict[str, Any]
) -> xr.Dataset:
    """Rows of `NAMES` and whether the raw correlation is above chance, with whose and where they are."""
    above = above & np.isfinite(values[0]) & data["valid"].values
    values[:, ~data["valid"].values] = np.nan
    return xr.Dataset(
        {name: ("target", row) for name, row in zip(NAMES, values, strict=True)}
        | {"above_chance": ("target", above)},
        target_coordinates(data),
        place_attributes(data) | attributes,
    )


def _mean_of(others: Sequence[np.ndarray]) -> np.ndarray:
    """Mean (n_samples, n_targets) of series, of those that have a target; 0 where none has."""
    stacked = np.stack(others)
    there = np.isfinite(stacked).all(axis=1, keepdims=True)
    return np.where(there, stacked, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)


def _time_blocks(n_samples: int, tr: float, block_s: float) -> np.ndarray:
    """The number of the bootstrap block that each sample belongs to."""
    per_block = max(1, round(block_s / tr))
    return np.arange(n_samples) // per_block


def _expanded(confidence: float, n: int) -> float:
    """Tail in percent of a percentile bootstrap of n parts: Φ(−√(n / (n − 1)) t), t of n − 1 degrees."""
    if n < 2:
        return 0.0
    t = scipy.stats.t.isf((1 - confidence) / 2, n - 1)
    return float(100 * scipy.stats.norm.sf(np.sqrt(n / (n - 1)) * t))


def _percentiles(values: np.ndarray, tail: float) -> np.ndarray:
    """Lower and upper percentile over bootstraps; NaN replicates count as no signal, that is 0.

    Weibull's: among n replicates and the truth, the truth is below them as often as `tail` says.
    """
    return np.percentile(np.nan_to_num(values), [tail, 100 - tail], axis=0, method="weibull")


def _moments(series: list[np.ndarray], blocks: np.ndarray) -> np.ndarray:
    """Second moments (n_blocks, 7, n_targets) that the ceiling is made of, summed per block.

    Rows: own², own · mean of others, mean², Σ others², Σ all², (Σ all)², count of others (constant).
    A series that is NaN at a target does not count there.
    """
    own, others = series[0], np.stack(series[1:])
    there = np.isfinite(others).all(axis=1)
    others = np.where(there[:, None, :], others, 0.0)
    count = there.sum(axis=0)
    mean = others.sum(axis=0) / np.maximum(count, 1)
    total = np.nan_to_num(own) + others.sum(axis=0)
    squares = (others**2).sum(axis=0)
    rows = [own**2, own * mean, mean**2, squares, np.nan_to_num(own) ** 2 + squares, total**2]
    starts = np.flatnonzero(np.r_[True, np.diff(blocks) > 0])
    sums = np.stack([np.add.reduceat(row, starts, axis=0) for row in rows], axis=1)
    counts = np.broadcast_to(count / len(starts), (len(starts), 1, len(count)))
    return np.concatenate([sums, counts], axis=1)


def _ceiling(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ceiling and raw correlation of the first series with the others (n_replicates, n_targets)."""
    own, cross, mean, squares, _, _, count = np.moveaxis(moments, 1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        raw = cross / np.sqrt(own * mean)
        among = (count**2 * mean - squares) / (count * (count - 1))
        corrected = np.where(count > 1.5, cross / np.sqrt(among * own), np.sqrt(raw))
    corrected[~(raw > 0)] = np.nan
    return np.minimum(corrected, 1.0), raw


def _mean_ceiling(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ceiling of the mean of all series: the root of its reliability by Spearman and Brown."""
    *_, squares, total, count = np.moveaxis(moments, 1, 0)
    n = count + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        pairwise = (total - squares) / ((n - 1) * squares)
        reliability = n * pairwise / (1 + (n - 1) * pairwise)
        return np.minimum(np.sqrt(np.where(reliability > 0, reliability, np.nan)), 1.0), pairwise
