"""Maps of sensors as MNE's evoked files: a map of every latency, or the kernel of every lag."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.maps.scores import UNMASKED, ScoreMap
from neuroalign.maps.sensors import channels, gridded, info_of, latencies, rate_of

DRAWING = "plot with scalings=1 and units"
"""What keeps MNE from showing a correlation as so many microvolts."""

ID_STRUCT = 31
"""Type of those FIF tags that say when and on which machine a file was written."""


def evoked_maps(summary: xr.Dataset, found: Sequence[ScoreMap]) -> Iterator[tuple[ScoreMap, bytes]]:
    """Maps as files that `mne.read_evokeds` opens.

    Parameters
    ----------
    summary : xr.Dataset
        Of targets that are sensors. Where they have latencies these are the times of an evoked; where they
        have none, only kernels over lags are given.
    found : sequence of ScoreMap
        Maps over the targets.

    Yields
    ------
    ScoreMap, bytes
        One evoked, or one of each row of the map, named by its comment. Values are what the map says, not
        volts, though the channels are of the recording's types: `info["description"]` tells its units.
        Channels that could not be scored are marked bad. Nothing is given where times are not even.
    """
    times = latencies(summary)
    if times is None:
        times = summary["lag"].values if "lag" in summary.coords else np.zeros(0)
        found = kernel_maps(summary)
    rate = rate_of(times, float(summary.attrs.get("sampling_hz", 1.0))) if len(times) else None
    if rate is None:
        return
    over_lags = "latency" not in summary.coords
    for score_map in found:
        cube = gridded(summary, score_map.values)
        if over_lags:  # (…, lag, channel, 1)
            cube = np.swapaxes(cube[..., 0], -1, -2)
        cube = cube.reshape(-1, *cube.shape[-2:])
        layered = score_map.values.ndim > (2 if over_lags else 1)
        names = summary[score_map.rows].values.astype(str).tolist() if layered else [score_map.stat]
        yield score_map, _evoked(summary, score_map, dict(zip(names, cube, strict=True)), times, rate)


def kernel_maps(summary: xr.Dataset) -> list[ScoreMap]:
    """Kernels of continuous responses, (lag, target) of the chosen layer and (layer, lag, target) of all."""
    control = summary.attrs.get("network") == layout.NUISANCE
    what = "sum of the weights" if control else "root of the sum of squared weights"
    about = f"Kernel over lags: {what} of all features, mean over folds"
    kinds = {
        "chosen_kernel": ("kernel", "of the layer chosen in the training folds"),
        "kernel": ("kernelByLayer", "for every layer"),
    }
    return [
        ScoreMap(stat, summary[name].values, f"{about}, {whose}", "weight", UNMASKED)
        for name, (stat, whose) in kinds.items()
        if name in summary and not (control and stat == "kernelByLayer")
    ]


def _evoked(
    summary: xr.Dataset,
    score_map: ScoreMap,
    rows: dict[str, np.ndarray],
    times: np.ndarray,
    rate: float,
) -> bytes:
    """One file with an evoked (channel, time) for each row."""
    import mne

    info = info_of(channels(summary), rate)
    info["description"] = f"{score_map.description}. Values: {score_map.units}, not volts; {DRAWING}."
    evokeds = [
        mne.EvokedArray(
            values,
            info,
            tmin=float(times[0]),
            comment=f"{name}: {score_map.units}, not volts" if name == score_map.stat else name,
            nave=1,
            verbose="error",
        )
        for name, values in rows.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map_ave.fif"
        mne.write_evokeds(path, evokeds, verbose="error")
        return without_origin(path.read_bytes())


def without_origin(content: bytes) -> bytes:
    """A FIF file without the identity of the machine that wrote it.

    It is a chain of tags, each with kind, type, size and place of the next, big-endian; 0 follows on.
    """
    out, at = bytearray(content), 0
    while at + 16 <= len(out):
        _, kind, size, following = np.frombuffer(out[at : at + 16], ">i4").tolist()
        if kind == ID_STRUCT:
            out[at + 20 : at + 16 + size] = bytes(size - 4)  # after the version of the format
        if following < 0:
            break
        at = following if following > 0 else at + 16 + size
    return bytes(out)
