"""Responses to single trials, estimated from time series by a general linear model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from nilearn.glm.first_level import compute_regressor

from neuroalign.errors import DataError
from neuroalign.recordings.cleaning import drifts
from neuroalign.recordings.files import Recording, Source
from neuroalign.recordings.tabular import fit_table, pick_columns, read_confounds
from neuroalign.settings.responses import Responses

HRF = "glover"

_BLOCK = 8192
"""Targets estimated at once, in double precision: bounds the memory beside the data themselves."""

_ROUNDING = 1e-5
"""What is left of a target or of a trial below this share of what it was is rounding."""


def estimate_source(
    source: Source, recordings: Sequence[Recording], settings: Responses, events: pd.DataFrame
) -> tuple[Source, str]:
    """Turn a source of time series into one of responses to trials.

    Parameters
    ----------
    source : Source
    recordings : sequence of Recording
    settings : Responses
        `glm`, `confounds`, `high_pass_hz` and `tr` say how.
    events : DataFrame
        The stimuli of the subject: `run`, `onset` (s after the first volume) and `duration` (s).

    Returns
    -------
    Source
        Reads the responses (n_trials, n_targets) of a run, in the order of onsets.
    str
        What is done, in a sentence.

    Raises
    ------
    DataError
        Confounds are missing.
    """
    tables = {one.run: None if one.confounds is None else read_confounds(one.confounds) for one in recordings}
    everywhere = [name for table in tables.values() if table is not None for name in table.columns]

    def read(recording: Recording) -> np.ndarray:
        data = source.read(recording)
        table = fit_table(recording, tables[recording.run], len(data), settings)
        used = pick_columns(table, settings.confounds, recording.confounds, everywhere)
        shown = events[events["run"] == recording.run.label].sort_values("onset", kind="stable")
        times = recording.start_time_s + np.arange(len(data)) * recording.tr(settings)
        weights = trial_weights(shown, times, table[used].to_numpy(), settings, recording.run)
        return apply_weights(weights, data)

    with_what = {
        "lss": "each trial in a model of its own, beside one regressor of all others (least squares "
        "separate; Mumford 2012)",
        "lsa": "all trials in one model (least squares all)",
    }[settings.glm or "lss"]
    removed = [f"confounds ({', '.join(settings.confounds)})"] if settings.confounds else []
    removed += [f"cosine drifts below {settings.high_pass_hz:g} Hz"] if settings.high_pass_hz else []
    beside = f", with {' and '.join(removed)}" if removed else ""
    said = (
        f"Responses to trials were estimated by ordinary least squares, {with_what}{beside}, with the "
        "canonical haemodynamic response of Glover (1999)."
    )
    return replace(source, read=read), said


def trial_weights(
    events: pd.DataFrame, times: np.ndarray, confounds: np.ndarray, settings: Responses, run: object
) -> np.ndarray:
    """Compute what makes responses to trials of a time series.

    Confounds, drifts and mean are projected out of the trials' regressors first; by the theorem of
    Frisch, Waugh and Lovell, what is left gives the estimates of the whole model.

    Parameters
    ----------
    events : DataFrame (n_trials rows)
        Columns `onset` and `duration` in seconds.
    times : array (n_volumes,)
        Of the volumes, in seconds from the same zero.
    confounds : array (n_volumes, n_confounds)
    settings : Responses
        `glm` is "lss" or "lsa".
    run : bids.Run
        Named in error messages.

    Returns
    -------
    array (n_trials, n_volumes)
        Responses are `weights @ data`.

    Raises
    ------
    DataError
        A trial cannot be told from others or from the confounds, or there are none.
    """
    if events.empty:
        raise DataError(f"{run}: no events to estimate responses to; leave the run out")
    trials = _regressors(events, times)
    slow = drifts(len(times), float(times[1] - times[0]), settings.high_pass_hz)
    nuisance = np.column_stack([confounds, slow, np.ones(len(times))])
    nuisance /= np.maximum(np.linalg.norm(nuisance, axis=0), 1e-300)
    left, sizes, _ = np.linalg.svd(nuisance, full_matrices=False)
    basis = left[:, sizes > sizes[0] * 1e-10]
    rest = trials - basis @ (basis.T @ trials)
    lost = np.linalg.norm(rest, axis=0) <= _ROUNDING * np.maximum(np.linalg.norm(trials, axis=0), 1e-12)
    if lost.any():
        onset = float(events["onset"].iloc[int(np.flatnonzero(lost)[0])])
        raise DataError(
            f"{run}: no volume shows the response to the event at {onset:g} s; "
            "give the whole recording, or leave such events out"
        )
    if settings.glm == "lss":
        return _separate(rest)
    scale = np.linalg.norm(rest, axis=0)
    if (
        rest.shape[1] > len(rest) - basis.shape[1]
        or np.linalg.matrix_rank(rest / scale, 1e-6) < rest.shape[1]
    ):
        raise DataError(
            f"{run}: {rest.shape[1]} trials cannot be told apart in {len(times)} volumes with "
            f"{basis.shape[1]} regressors beside them; set responses.glm to lss"
        )
    return np.linalg.pinv(rest)


def apply_weights(weights: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Estimate responses (n_trials, n_targets) of data (n_volumes, n_targets).

    A target that is constant or not finite has none: NaN.
    """
    out = np.full((len(weights), data.shape[1]), np.nan, np.float32)
    for start in range(0, data.shape[1], _BLOCK):
        part = data[:, start : start + _BLOCK].astype(float)
        usable = np.isfinite(part).all(axis=0)
        part = np.where(usable, part, 0.0)
        usable &= np.ptp(part, axis=0) > 0
        part -= part.mean(axis=0)
        out[:, start : start + _BLOCK] = np.where(usable, weights @ part, np.nan)
    return out


def _separate(rest: np.ndarray) -> np.ndarray:
    """The weights of one model per trial: that trial (n_volumes,) and the sum of all others."""
    others = rest.sum(axis=1, keepdims=True) - rest
    own, both, other = (
        (one * two).sum(axis=0) for one, two in ((rest, rest), (rest, others), (others, others))
    )
    determinant = own * other - both**2
    alone = determinant <= 1e-10 * own * np.maximum(other, 1e-300)  # no others, or in step with this one
    joint = (other * rest - both * others) / np.where(alone, 1.0, determinant)
    return np.where(alone, rest / own, joint).T


def _regressors(events: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """What each event would evoke (n_volumes, n_trials), in their order."""
    # One by one: nilearn's design matrix would quietly alter columns that resemble each other.
    columns = [
        compute_regressor(([onset], [duration], [1.0]), HRF, times)[0][:, 0]
        for onset, duration in zip(events["onset"], events["duration"], strict=True)
    ]
    return np.column_stack(columns)
