"""Continuous recordings, opened through MNE-BIDS and prepared by MNE: filtered, placed, referenced."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from neuroalign.errors import DataError
from neuroalign.headers import reading
from neuroalign.recordings.meeg.channels import PREDICTED, place_channels, predicted_channels
from neuroalign.settings.sensors import Sensors

if TYPE_CHECKING:
    import mne


@contextmanager
def opening(path: str | Path) -> Iterator[None]:
    """Name the file in whatever a reader of MNE stumbles over, and keep its warnings to ourselves."""
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_raw(path: Path) -> mne.io.BaseRaw:
    """Open a recording of a BIDS dataset, with the bad channels, types and positions that stand beside it.

    Samples are not read yet.

    Raises
    ------
    DataError
        The recording or its sidecar is missing or damaged.
    """
    import mne_bids

    if not path.exists():
        raise DataError(f"{path}: no such file; add it, or leave its run out")
    with opening(path):
        raw = mne_bids.read_raw_bids(mne_bids.get_bids_path_from_fname(path), verbose="error")
    if not len(raw.times):
        raise DataError(f"{path}: holds no samples; copy the recording again")
    return raw


def prepare(raw: mne.io.BaseRaw, settings: Sensors) -> str:
    """Read the samples and take the steps that come before cutting: filter, place, interpolate, refer.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Changed in place; channels that are neither predicted nor looked at are dropped. It has what
        `steps.check_steps` looks for.
    settings : Sensors

    Returns
    -------
    str
        Where positions come from; see `place_channels`.

    Raises
    ------
    ConfigError
        A channel is not there.
    DataError
        The recording is too short for the filter, or all its channels are bad.
    """
    predicted = predicted_channels(raw.info, settings)
    raw.info["bads"] = list(dict.fromkeys([*raw.info["bads"], *settings.bad]))
    _keep(raw, predicted, settings)
    raw.load_data(verbose="error")
    _filter(raw, settings)
    montage = place_channels(raw, settings.montage)
    if settings.interpolate and raw.info["bads"]:
        if not montage:
            raise DataError(
                "no channel has a position, so that bad ones cannot be filled in from their neighbours; set "
                "responses.sensors.interpolate to false, or add electrodes.tsv"
            )
        raw.interpolate_bads(verbose="error")
    if set(predicted) <= set(raw.info["bads"]):
        raise DataError(
            f"all {len(predicted)} channels are bad; mend the column 'status' of channels.tsv, or leave "
            "the run out"
        )
    _refer(raw, settings)
    return montage


def _keep(raw: mne.io.BaseRaw, predicted: list[str], settings: Sensors) -> None:
    """Drop channels that play no part: a reference is of all EEG, and EOG may say which trials to reject."""
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    named = () if isinstance(settings.reference, str) else settings.reference
    used = {*predicted, *named, *(name for name, kind in types.items() if kind in PREDICTED)}
    used |= {name for name, kind in types.items() if kind in {*settings.reject, *settings.flat}}
    raw.pick([name for name in raw.ch_names if name in used], verbose="error")


def _filter(raw: mne.io.BaseRaw, settings: Sensors) -> None:
    """Notch and band-pass; what the recording cannot hold needs no low-pass."""
    rate = float(raw.info["sfreq"])
    low, high = settings.band_hz
    high = None if high is None or high >= rate / 2 else high
    lines = [line * k for line in settings.notch_hz for k in range(1, int(rate / 2 // line) + 1)]
    lines = sorted({line for line in lines if line < rate / 2})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*filter_length.*")
            warnings.filterwarnings("error", message=".*distortion.*")
            if lines:
                raw.notch_filter(lines, picks="all", verbose="warning")
            if low is not None or high is not None:
                raw.filter(low, high, picks="all", verbose="warning")
    except RuntimeWarning:
        raise DataError(
            f"{raw.times[-1]:.1f} s are too short to be filtered from {low or 0:g} Hz on; raise the lower "
            "end of responses.sensors.band_hz, or leave the run out"
        ) from None


def _refer(raw: mne.io.BaseRaw, settings: Sensors) -> None:
    if settings.reference == "keep" or "eeg" not in raw.get_channel_types():
        return
    asked = settings.reference if isinstance(settings.reference, str) else list(settings.reference)
    raw.set_eeg_reference(asked, projection=False, verbose="error")


def used_rate(recorded: float, settings: Sensors) -> float:
    """The rate (Hz) of the responses: the one asked for, but never above the recording's."""
    return recorded if settings.resample_hz is None else min(recorded, settings.resample_hz)
