"""Runs joined into the responses of one subject, with what was done to them."""

from __future__ import annotations

import numpy as np
import xarray as xr


def join_runs(runs: list[np.ndarray]) -> np.ndarray:
    """Join runs (n_samples, n_targets); a target that is missing in one of them is missing in all.

    The list is emptied on the way: thousands of trials should not be in memory twice.
    """
    joined = np.empty((sum(map(len, runs)), runs[0].shape[1]), runs[0].dtype)
    missing = np.zeros(joined.shape[1], bool)
    begin = 0
    while runs:
        run = runs.pop(0)
        joined[begin : begin + len(run)] = run
        missing |= np.isnan(run).any(axis=0)
        begin += len(run)
    joined[:, missing] = np.nan
    return joined


def finish(
    responses: xr.Dataset, confounds: np.ndarray, columns: list[str], cleaning: str, high_pass_hz: float
) -> xr.Dataset:
    """Add the confounds (sample, confound), and say what was done to the responses."""
    named = responses.assign(confound_value=(("sample", "confound"), confounds.astype(np.float32)))
    named = named.assign_coords(confound=("confound", np.array(columns, object)))
    excluded = int((~responses["valid"]).sum())
    return named.assign_attrs(cleaning=cleaning, high_pass_hz=float(high_pass_hz), n_excluded=excluded)
