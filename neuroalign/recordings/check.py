"""All that is wrong with a dataset, found from headers before hours are spent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

import numpy as np
import pandas as pd

from neuroalign import bids
from neuroalign.errors import NeuroalignError
from neuroalign.recordings.cleaning import check_run
from neuroalign.recordings.files import Recording
from neuroalign.recordings.formats import find_recordings, open_source
from neuroalign.recordings.meeg.check import count_samples, sensor_problems
from neuroalign.recordings.tabular import common_columns, pick_columns, read_confounds
from neuroalign.recordings.wholeness import check_whole, header_tr
from neuroalign.settings.config import Study
from neuroalign.settings.responses import TABLED_KINDS, Responses
from neuroalign.stimuli.events import count_events, events_path, read_run

P = ParamSpec("P")
T = TypeVar("T")

NAMED_ALIKE = 3
"""Files with the same problem that are all named; of more, the first stands for the rest."""


def problems(study: Study, index: pd.DataFrame | None = None) -> list[str]:
    """Find everything that would stop a study on its way from recordings to responses.

    Recordings are judged by their headers and their ends: none is decoded.

    Parameters
    ----------
    study : Study
    index : DataFrame, optional
        From `bids.index_dataset`; made here when left out.

    Returns
    -------
    list of str
        One line for each problem: the file or run, what is wrong, what to do. Empty if all is well.
    """
    lines: list[str] = []
    if index is None:
        index = _try(lines, bids.index_study, study)
    subjects = None if index is None else _try(lines, study.subjects)
    if index is None or subjects is None:
        return lines
    sampled: dict[str, list[tuple[str, float]]] = {}
    counts: dict[str, int] = {}
    for subject in subjects:
        own = bids.select(index, subject=("", subject))
        recordings, found = find_recordings(own, study.dataset, study.responses, subject)
        lines += found
        for path in dict.fromkeys(path for recording in recordings for path in recording.paths):
            _try(lines, check_whole, path)
        if recordings and study.responses.reads_bids_sensors:
            lines += sensor_problems(own, study, recordings)
        elif recordings:
            lines += _content_problems(own, study, recordings)
            source = _try(lines, open_source, own, study.dataset, study.responses, recordings)
            counts |= {} if source is None else {subject: len(source.targets)}
            lines += _run_problems(subject, recordings)
            sampled[subject] = [(recording.run.label, recording.n_volumes[0]) for recording in recordings]
    if study.responses.average:
        lines += _average_problems(sampled)
    if study.group and len(set(counts.values())) > 1:
        (first, n), (other, m) = _extremes(counts)
        lines.append(
            f"group: sub-{first} has {n} targets, sub-{other} {m}, so that they cannot be combined target by "
            "target; bring all subjects to one space, or set group: false"
        )
    return _joined(lines)


def _extremes(counts: Mapping[str, int]) -> tuple[tuple[str, int], tuple[str, int]]:
    """The subjects with the fewest and with the most targets."""
    ordered = sorted(counts.items(), key=lambda entry: entry[1])
    return ordered[0], ordered[-1]


def _content_problems(index: pd.DataFrame, study: Study, recordings: Sequence[Recording]) -> list[str]:
    """Find what does not fit between the recordings of a subject, their events and their confounds."""
    settings, lines = study.responses, list[str]()
    if settings.kind in TABLED_KINDS:
        return lines  # their headers were compared with the tables that come with them
    series = settings.samples == "time" or settings.glm is not None
    for recording in recordings:
        if series:
            lines += _time_problems(index, study, recording)
        if settings.samples == "time":
            lines += _stimulus_problems(index, study, recording)
        else:
            lines += _trial_problems(index, study, recording)
    return lines + (_confound_problems(study, recordings) if series else [])


def described(study: Study, index: pd.DataFrame) -> list[str]:
    """Say what there is to work on, a line each: subjects, runs, and volumes or trials."""
    recordings = [
        recording
        for subject in study.subjects()
        for recording in find_recordings(
            bids.select(index, subject=("", subject)), study.dataset, study.responses, subject
        )[0]
    ]
    names = {"trials": "trials", "time": "samples" if study.responses.series_of_sensors else "volumes"}
    samples = names[study.responses.samples]
    if study.responses.reads_bids_sensors:
        found = [f"subjects: {len(study.subjects())}", f"runs: {len(recordings)}"]
        total = count_samples(study, recordings)
        return [*found, f"samples: {total}"] if total else found
    total = int(sum(max(recording.n_volumes) for recording in recordings))
    return [f"subjects: {len(study.subjects())}", f"runs: {len(recordings)}", f"{samples}: {total}"]


def ends_of_runs(study: Study, index: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Seconds after which recordings end, by subject and run; of those whose headers tell it."""
    ends: dict[tuple[str, str], float] = {}
    if study.responses.reads_bids_sensors:
        return ends
    rate = study.responses.sensors.sampling_hz if study.responses.series_of_sensors else None
    for subject in study.subjects():
        own = bids.select(index, subject=("", subject))
        for recording in find_recordings(own, study.dataset, study.responses, subject)[0]:
            tr = 1 / rate if rate else _known_tr(recording, study.responses)
            if tr is not None and np.isfinite(max(recording.n_volumes)):
                ends[subject, recording.run.label] = recording.start_time_s + max(recording.n_volumes) * tr
    return ends


def _joined(lines: list[str]) -> list[str]:
    """One line for what is wrong with many files alike: the first of them and how many more."""
    alike: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        alike.setdefault(line.partition(": ")[2], []).append(line)
    joined = []
    for what, same in alike.items():
        if what and len(same) > NAMED_ALIKE:
            first = same[0].partition(": ")[0]
            same = [f"{first} and {len(same) - 1} more like it: {what}"]
        joined += same
    return joined


def _try(lines: list[str], step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Run a step; what it complains about is added to `lines`."""
    try:
        return step(*args, **kwargs)
    except NeuroalignError as error:
        lines += str(error).splitlines()
        return None


def _time_problems(index: pd.DataFrame, study: Study, recording: Recording) -> Iterator[str]:
    """Find what is wrong with the repetition times of one recording."""
    settings = study.responses
    for path, name, sidecar in zip(recording.paths, recording.names, recording.sidecar_tr, strict=True):
        lines: list[str] = []
        header = None
        if path.name.endswith((".nii", ".nii.gz")):
            header = _try([], header_tr, path)  # a file that cannot be read is named already
        if np.isnan(sidecar):
            row = index[index["path"] == name].iloc[0].to_dict()
            _try(lines, bids.sidecar, index, study.dataset.path, row)
        yield from lines
        told = {"responses.tr": settings.tr, "the sidecar": sidecar, "the NIfTI header": header}
        known = {who: value for who, value in told.items() if value is not None and np.isfinite(value)}
        if not {"responses.tr", "the sidecar"} & set(known):
            hint = f" (its header says {header:g} s)" if header else ""
            yield f"{path}: no sidecar gives its RepetitionTime{hint}; add one or set responses.tr"
            continue
        if len(known) == 3 and _close(settings.tr, sidecar):
            continue  # two against a header that some program wrote
        if not all(_close(value, next(iter(known.values()))) for value in known.values()):
            said = ", ".join(f"{value:g} s in {who}" for who, value in known.items())
            yield f"{path}: repetition times disagree: {said}; correct the wrong one"


def _close(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and bool(np.isclose(one, other, rtol=1e-3))


def _known_tr(recording: Recording, settings: Responses) -> float | None:
    return _try([], recording.tr, settings)


def _run_problems(subject: str, recordings: Sequence[Recording]) -> Iterator[str]:
    trs = {recording.sidecar_tr[0] for recording in recordings if np.isfinite(recording.sidecar_tr[0])}
    if len(trs) > 1 and not np.allclose(list(trs), min(trs), rtol=1e-3):
        said = ", ".join(f"{tr:g}" for tr in sorted(trs))
        yield f"sub-{subject}: repetition times of the runs differ ({said} s); leave runs out"


def _average_problems(sampled: dict[str, list[tuple[str, float]]]) -> Iterator[str]:
    """Find subjects who cannot be averaged with the first one."""
    first = next(iter(sampled), "")
    for subject, runs in sampled.items():
        if runs != sampled[first]:
            said = [
                ", ".join(f"{run} of {count:g} volumes" for run, count in sampled[who])
                for who in (subject, first)
            ]
            yield (
                f"responses.average: sub-{subject} has {said[0]}, but sub-{first} {said[1]}; "
                "leave subjects out in dataset.subjects or set responses.average to false"
            )


def _stimulus_problems(index: pd.DataFrame, study: Study, recording: Recording) -> list[str]:
    lines: list[str] = []
    run = recording.run
    words = _try(lines, read_run, index, study.dataset, study.stimuli, run)
    tr = next(
        (value for value in (study.responses.tr, *recording.sidecar_tr) if value and np.isfinite(value)), None
    )
    volumes = min(recording.n_volumes)
    if words is None or tr is None or not np.isfinite(volumes):
        return lines
    source = events_path(index, study.dataset, study.stimuli, run)
    end, last = recording.start_time_s + volumes * tr, words["onset"].max()
    if last >= end:
        lines.append(
            f"{recording.paths[0]}: {volumes:g} volumes of {tr:g} s end at {end:g} s, but the last word of "
            f"'{source}' begins at {last:g} s; give the whole recording, or correct stimuli.offset_s"
        )
    elif words["onset"].median() < 0:
        first = words["onset"].min()
        lines.append(
            f"{source}: most words of {run} begin before its first volume, the first at {first:g} s; "
            "correct stimuli.offset_s"
        )
    return lines


def _trial_problems(index: pd.DataFrame, study: Study, recording: Recording) -> list[str]:
    """Find runs whose responses are not one for each event, or cannot be estimated for each."""
    lines: list[str] = []
    run, stimuli = recording.run, study.stimuli
    events = _try(lines, count_events, index, study.dataset, stimuli, run)
    volumes = min(recording.n_volumes)
    if events is None or not np.isfinite(volumes):
        return lines
    if study.responses.glm is not None:
        if study.responses.glm == "lsa" and events >= volumes:
            lines.append(
                f"{recording.paths[0]}: {volumes:g} volumes do not tell {events} trials apart; "
                "set responses.glm to lss"
            )
    elif events != volumes:
        source = events_path(index, study.dataset, stimuli, run)
        lines.append(
            f"{recording.paths[0]}: {volumes:g} volumes, but '{source}' has {events} events; give one volume "
            "per event, in the order of onsets, or name events without a response in stimuli.skip"
        )
    return lines


def _confound_problems(study: Study, recordings: Sequence[Recording]) -> list[str]:
    lines: list[str] = []
    asked = {
        "responses.confounds": study.responses.confounds,
        "design.nuisance.columns": study.design.nuisance.columns,
    }
    needed = [key for key, columns in asked.items() if columns]
    tables: list[pd.DataFrame | None] = []
    for recording in recordings:
        path = recording.confounds
        table = None if path is None else _try(lines, read_confounds, path)
        if path is None and needed:
            remedy = f"add it or empty {' and '.join(needed)}"
            lines.append(f"{recording.run}: no desc-confounds_timeseries.tsv; {remedy}")
        volumes = min(recording.n_volumes)
        if table is not None and np.isfinite(volumes) and len(table) != volumes:
            lines.append(f"{path}: {len(table)} rows for {volumes:g} volumes; make the confounds again")
        tables.append(table)
    lines += _regression_problems(study.responses, recordings, tables)
    if all(table is not None for table in tables):
        shared = pd.DataFrame(columns=common_columns(tables), dtype=float)
        where = f"sub-{recordings[0].run.subject}: design.nuisance.columns"
        for pattern in asked["design.nuisance.columns"]:
            _try(lines, pick_columns, shared, [pattern], where)
    return lines


def _regression_problems(
    settings: Responses, recordings: Sequence[Recording], tables: Sequence[pd.DataFrame | None]
) -> list[str]:
    """Find confounds that are not there, and runs of which cleaning would leave nothing."""
    lines: list[str] = []
    everywhere = [name for table in tables if table is not None for name in table.columns]
    for recording, table in zip(recordings, tables, strict=True):
        found: set[str] = set()
        if table is not None:
            for pattern in settings.confounds:
                picked = _try(lines, pick_columns, table, [pattern], recording.confounds, everywhere)
                found.update(picked or ())
        volumes, tr = min(recording.n_volumes), _known_tr(recording, settings)
        if tr is not None and np.isfinite(volumes):
            _try(lines, check_run, int(volumes), len(found), tr, settings, recording.run)
    return lines
