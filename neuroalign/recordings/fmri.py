"""fMRI responses of one subject, and of the mean subject, from recordings to labelled arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign import bids
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import DataError
from neuroalign.recordings.cleaning import clean_run, describe, describe_sampling, kept_volumes
from neuroalign.recordings.files import Recording
from neuroalign.recordings.formats import find_recordings, open_source
from neuroalign.recordings.joining import finish, join_runs
from neuroalign.recordings.tabular import common_columns, fit_table, pick_columns, read_confounds
from neuroalign.recordings.trials import read_trials
from neuroalign.recordings.wholeness import check_whole
from neuroalign.settings.dataset import Dataset
from neuroalign.settings.responses import TABLED_KINDS, Responses


def read_responses(
    index: pd.DataFrame,
    dataset: Dataset,
    settings: Responses,
    subject: str,
    events: pd.DataFrame | None = None,
) -> xr.Dataset:
    """Read and clean all runs of one subject.

    Parameters
    ----------
    index : DataFrame
        From `bids.index_dataset`.
    dataset : Dataset
    settings : Responses
    subject : str
        Label without `sub-`.
    events : DataFrame, optional
        The stimuli of this subject (`run`, `onset`, `duration`), to which `responses.glm` estimates
        responses.

    Returns
    -------
    xr.Dataset
        `response` (sample, target), float32, as `arrays.build_responses` labels it, a target that is
        constant in any run invalid; `confound_value` (sample, confound), float32: every numeric
        confound that all runs have, named by the coordinate `confound`, unfiltered. Sample times are
        `StartTime` + volume × TR. Attributes: `subject`, `task`, `kind`, `space`, `tr`, `cleaning`,
        `high_pass_hz` (0 for none), `n_excluded`, and `affine` and `shape`, or `vertices`. Of trials,
        see `trials.read_trials`.

    Raises
    ------
    DataError
        Recordings are missing, damaged or do not fit together.
    """
    index = bids.select(index, subject=("", subject))
    recordings, problems = find_recordings(index, dataset, settings, subject)
    if problems:
        raise DataError("\n".join(problems))
    if settings.kind not in TABLED_KINDS:
        for path in (path for recording in recordings for path in recording.paths):
            check_whole(path)
    source = open_source(index, dataset, settings, recordings)
    if settings.samples == "trials":
        made = ""
        if settings.glm is not None:
            from neuroalign.recordings.single_trials import estimate_source

            assert events is not None
            source, made = estimate_source(source, recordings, settings, events)
        return read_trials(source, recordings, dataset, settings, made)
    tr = _repetition_time(recordings, settings)
    tables = [
        None if recording.confounds is None else read_confounds(recording.confounds)
        for recording in recordings
    ]
    columns = common_columns(tables)
    everywhere = [name for table in tables if table is not None for name in table.columns]
    data, confounds, samples, names = [], [], [], list[str]()
    for recording, table in zip(recordings, tables, strict=True):
        raw = source.read(recording)
        table = fit_table(recording, table, len(raw), settings)
        used = pick_columns(table, settings.confounds, recording.confounds, everywhere)
        names += [name for name in used if name not in names]
        data.append(clean_run(raw, table[used].to_numpy(), tr, settings, recording.run))
        kept = kept_volumes(len(raw), tr, settings.trim_s)
        confounds.append(table[columns].to_numpy(np.float32)[kept])
        times = recording.start_time_s + kept * tr
        samples.append(pd.DataFrame({"run": recording.run.label, "time_s": times}))
    place = {"subject": subject, "task": dataset.task, "kind": settings.kind, "space": recordings[0].space}
    place |= source.attributes
    table = pd.concat(samples, ignore_index=True)
    found = arrays.build_responses(join_runs(data), table, source.targets, **place, tr=tr)
    cleaning = f"{describe_sampling(settings)}{describe(settings, names)}"
    return finish(found, np.concatenate(confounds), columns, cleaning, settings.high_pass_hz or 0.0)


def average_responses(subjects: Sequence[xr.Dataset]) -> xr.Dataset:
    """Average the responses of subjects who have the same samples and targets.

    Every target is z-scored within each run of each subject first, so that no subject counts for
    more by its amplitude. A target is averaged over the subjects in whom it is valid.

    Parameters
    ----------
    subjects : sequence of xr.Dataset
        From `read_responses`.

    Returns
    -------
    xr.Dataset
        As `read_responses` returns it, subject 'average'; attributes `subjects` (those averaged) and
        `subjects_left_out` (those without a valid target), joined by commas. Confounds that
        all have are averaged.

    Raises
    ------
    DataError
        Samples or targets differ between subjects, or no subject has a valid target.
    """
    used = [subject for subject in subjects if bool(subject["valid"].any())]
    left_out = [str(subject.attrs["subject"]) for subject in subjects if not bool(subject["valid"].any())]
    if not used:
        raise DataError("responses.average: no subject has a target that varies; check the recordings")
    first = used[0]
    total = np.zeros(first["response"].shape)
    count = np.zeros(first.sizes["target"])
    for subject in used:
        _must_match(first, subject)
        scaled = _zscore_runs(subject)
        total += np.where(np.isfinite(scaled), scaled, 0.0)
        count += subject["valid"].to_numpy()
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    kept = {name: first[name].to_numpy() for name in arrays.TARGET_COORDINATES if name in first.coords}
    del kept["valid"]
    samples = pd.DataFrame({"run": first["run"].to_numpy(), "time_s": first["time_s"].to_numpy()})
    attributes = arrays.place_attributes(first) | {"subject": layout.AVERAGE}
    found = arrays.build_responses(mean, samples, pd.DataFrame(kept), **attributes)
    # Text, since netCDF gives a list of one back as its only element.
    found.attrs["subjects"] = ", ".join(str(subject.attrs["subject"]) for subject in used)
    found.attrs["subjects_left_out"] = ", ".join(left_out)
    columns = [
        str(name)
        for name in first["confound"].to_numpy()
        if all(name in other["confound"].to_numpy() for other in used)
    ]
    confounds = np.mean(
        [subject["confound_value"].sel(confound=columns).to_numpy() for subject in used], axis=0
    )
    cleaning = f"{first.attrs['cleaning']} Z-scored in each run, then averaged over {len(used)} subjects."
    return finish(found, confounds, columns, cleaning, first.attrs["high_pass_hz"])


def _repetition_time(recordings: Sequence[Recording], settings: Responses) -> float:
    trs = [recording.tr(settings) for recording in recordings]
    if not np.allclose(trs, trs[0], rtol=1e-3):
        subject = recordings[0].run.subject
        said = ", ".join(f"{tr:g}" for tr in sorted(set(trs)))
        raise DataError(f"sub-{subject}: repetition times of the runs differ ({said} s); leave runs out")
    return trs[0]


def _zscore_runs(subject: xr.Dataset) -> np.ndarray:
    scaled = subject["response"].to_numpy().astype(float)
    runs = subject["run"].to_numpy()
    for run in dict.fromkeys(runs):
        part = scaled[runs == run]
        part = part - part.mean(axis=0)
        spread = part.std(axis=0)
        scaled[runs == run] = part / np.where(spread > 0, spread, np.nan)
    return scaled


def _must_match(first: xr.Dataset, other: xr.Dataset) -> None:
    """Refuse to average what was not sampled alike."""
    pair = f"sub-{first.attrs['subject']} and sub-{other.attrs['subject']}"
    remedy = "leave subjects out in dataset.subjects or set responses.average to false"
    same_runs = list(first["run"].to_numpy()) == list(other["run"].to_numpy())
    if not same_runs or not np.allclose(first["time_s"], other["time_s"], atol=1e-3):
        raise DataError(
            f"responses.average: {pair} differ in runs or volumes ({first.sizes['sample']} and "
            f"{other.sizes['sample']} samples); {remedy}"
        )
    named = [name for name in ("name", "hemi", "vertex", "i", "j", "k") if name in first.coords]
    same = first.sizes["target"] == other.sizes["target"] and all(
        name in other.coords and (first[name].to_numpy() == other[name].to_numpy()).all() for name in named
    )
    if not same or not np.allclose(first.attrs.get("affine", 0.0), other.attrs.get("affine", 0.0), atol=1e-3):
        raise DataError(
            f"responses.average: {pair} differ in targets ({first.sizes['target']} and "
            f"{other.sizes['target']}); give one responses.mask in a common space, or {remedy}"
        )
