"""Whether a recording, by its header, has what the steps that are to be taken with it ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neuroalign.errors import ConfigError, choices
from neuroalign.recordings.meeg.channels import positions
from neuroalign.settings.responses import Responses

if TYPE_CHECKING:
    import mne


def check_steps(info: mne.Info, settings: Responses) -> None:
    """Refuse steps that cannot be taken; see `step_problems`.

    Raises
    ------
    ConfigError
        The first of the problems.
    """
    for problem in step_problems(info, settings):
        raise ConfigError(problem)


def step_problems(info: mne.Info, settings: Responses) -> Iterator[str]:
    """Find what steps ask for and a recording does not have, a line each.

    Parameters
    ----------
    info : mne.Info
        Of the recording as it is opened.
    settings : Responses
        Trials that were cut before (`epochs`) are only placed.
    """
    import mne

    sensors = settings.sensors
    known = mne.channels.get_builtin_montages()
    if sensors.montage not in known and not np.isfinite(positions(info, info["ch_names"])).any():
        listed = choices(sensors.montage, known)
        yield f"responses.sensors.montage: no montage '{sensors.montage}': {listed}"
    if settings.kind == "epochs":
        return
    kinds = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    if not isinstance(sensors.reference, str):
        for name in sensors.reference:
            if name not in kinds:
                listed = choices(name, ["average", "keep", *kinds])
                yield f"responses.sensors.reference: no channel '{name}': {listed}"
    low, rate = sensors.band_hz[0], float(info["sfreq"])
    if low is not None and low >= rate / 2:
        yield (
            f"responses.sensors.band_hz begins at {low:g} Hz, but {rate:g} samples a second hold no more "
            f"than {rate / 2:g} Hz; lower it"
        )
    for key in ("reject", "flat") if settings.epoched else ():
        for kind in getattr(sensors, key):
            if kind not in kinds.values():
                listed = choices(kind, sorted(set(kinds.values())))
                yield f"responses.sensors.{key}: no channel of type '{kind}': {listed}"
