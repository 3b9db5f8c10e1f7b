"""Channels as targets: which are predicted, what they are and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neuroalign.errors import ConfigError, DataError, choices
from neuroalign.settings.sensors import Sensors

if TYPE_CHECKING:
    import mne

DIGITISED = "digitised"
"""Name of positions that came with the recording."""

PREDICTED = ("eeg", "mag", "grad", "ecog", "seeg", "dbs")
"""Types of channels that hold a brain's responses."""


def predicted_channels(info: mne.Info, settings: Sensors) -> list[str]:
    """The channels that are to be predicted, in the order of the recording.

    Raises
    ------
    ConfigError
        `responses.sensors.channels` or `bad` names one that is not there.
    DataError
        There is no channel of a type that can be predicted.
    """
    types = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    _must_have(settings.bad, types, "bad")
    if settings.channels == "data":
        found = [name for name, kind in types.items() if kind in PREDICTED]
    else:
        _must_have(settings.channels, [*types, *set(types.values())], "channels")
        asked = set(settings.channels)
        found = [name for name, kind in types.items() if asked & {name, kind}]
    if not found:
        have = ", ".join(sorted(set(types.values()))) or "none"
        raise DataError(
            f"no channel holds a brain's responses (types: {have}); mend the column 'type' of "
            "channels.tsv, or name channels in responses.sensors.channels"
        )
    return found


def place_channels(raw: mne.io.BaseRaw, montage: str) -> str:
    """Give EEG without positions of its own those of a standard montage.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Changed in place.
    montage : str
        Name of one of MNE's.

    Returns
    -------
    str
        Where positions come from: "digitised", the montage's name, or "" where none are known.
    """
    if np.isfinite(positions(raw.info, raw.ch_names)).any():
        return DIGITISED
    if "eeg" not in raw.get_channel_types():
        return ""
    raw.set_montage(montage, match_case=False, on_missing="ignore", verbose="error")
    return montage if np.isfinite(positions(raw.info, raw.ch_names)).any() else ""


def positions(info: mne.Info, names: Sequence[str]) -> np.ndarray:
    """Positions (channel, 3) in metres, in head coordinates; NaN where unknown."""
    import mne

    to_head = info["dev_head_t"]
    found = np.full((len(names), 3), np.nan)
    for number, name in enumerate(names):
        channel = info["chs"][info["ch_names"].index(name)]
        place = np.asarray(channel["loc"][:3], float)
        if not np.isfinite(place).all() or not place.any():
            continue
        in_device = channel["coord_frame"] == mne.io.constants.FIFF.FIFFV_COORD_DEVICE
        if in_device and to_head is not None:
            place = mne.transforms.apply_trans(to_head, place)
        found[number] = place
    return found


def channel_table(info: mne.Info, names: Sequence[str]) -> pd.DataFrame:
    """Target coordinates of channels: `channel`, `channel_type` and `x`, `y`, `z`."""
    types = dict(zip(info["ch_names"], info.get_channel_types(), strict=True))
    table = pd.DataFrame({"channel": list(names), "channel_type": [types[name] for name in names]})
    return pd.concat([table, pd.DataFrame(positions(info, names), columns=["x", "y", "z"])], axis=1)


def at_latencies(channels: pd.DataFrame, latencies: np.ndarray) -> pd.DataFrame:
    """Target coordinates of channels at every latency (s), those of one channel together."""
    table = channels.loc[channels.index.repeat(len(latencies))].reset_index(drop=True)
    latency = np.tile(latencies, len(channels))
    names = [f"{name} {1000 * at:.0f} ms" for name, at in zip(table["channel"], latency, strict=True)]
    return table.assign(name=names, latency=latency, roi="")


def _must_have(asked: Sequence[str], known: Sequence[str] | dict[str, str], key: str) -> None:
    for name in asked:
        if name not in known:
            raise ConfigError(f"responses.sensors.{key}: no channel '{name}': {choices(name, known)}")
