"""When and where the layers of a network were planted in simulated EEG, and when and where they came back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

from neuroalign.report.evidence import mean

COLUMNS = (
    *("whose", "layer_name", "planted_s", "recovered_s", "planted_channels", "recovered_channel"),
    *("distance_cm", "r_topography"),
)

NOTE = (
    "Recovered: the latency at which r, averaged over channels, is highest for a layer, and the channel "
    "where r is highest at that latency; its distance is that to the nearer of the two channels, "
    "one of each side, where what was planted can be read best. Topography: correlation over channels of r "
    "at that latency with what was planted. "
    "Layers of one network have much in common, so that one is read in the response to its neighbours too."
)


def planted_latencies(truth: xr.Dataset) -> bool:
    """Whether a truth knows at which latency layers were planted."""
    return "peak_s" in truth


def layer_latencies(truth: xr.Dataset, summary: xr.Dataset) -> pd.DataFrame:
    """Planted and recovered latency and place of every layer that truth and summary share.

    Parameters
    ----------
    truth : Dataset
        With `peak_s` (layer), `peak_channel` (layer, side), `layer_r` (layer, target).
    summary : Dataset
        With `r` (layer, target) and the target coordinates `channel`, `latency`, `x`, `y` and `z`.

    Returns
    -------
    DataFrame
        A row for each layer: `layer_name`, `depth`, `planted_s`, `recovered_s`, `planted_channels`,
        `recovered_channel`, `distance_cm`, `r_topography`. Empty where the targets have no latency.
    """
    if "latency" not in summary.coords or "latency" not in truth.coords:
        return pd.DataFrame()
    channels, seconds, scores = _grid(summary, summary["r"].values)
    known, times, attainable = _grid(truth, truth["layer_r"].values)
    places = {name: _place(truth, name) for name in known}
    names = truth["layer"].values.astype(str).tolist()
    rows = []
    for number, layer in enumerate(summary["layer"].values.astype(str)):
        if layer not in names:
            continue
        planted = names.index(layer)
        profile = mean(scores[number], axis=0)
        if not np.isfinite(profile).any():
            continue
        peak = int(np.nanargmax(profile))
        # The neighbours in time make the topography steadier.
        found = mean(scores[number][:, max(peak - 1, 0) : peak + 2], axis=1)
        best = channels[int(np.nanargmax(found))]
        wanted = truth["peak_channel"].values[planted].astype(str).tolist()
        at = np.abs(times - float(truth["peak_s"].values[planted])).argmin()
        true = dict(zip(known, attainable[planted][:, at], strict=True))
        rows.append(
            {
                "layer_name": layer,
                "depth": float(truth["layer_depth"].values[planted]),
                "planted_s": float(truth["peak_s"].values[planted]),
                "recovered_s": float(seconds[peak]),
                "planted_channels": ", ".join(dict.fromkeys(wanted)),
                "recovered_channel": best,
                "distance_cm": 100 * _nearest(places, best, wanted),
                "r_topography": _alike(found, np.array([true.get(name, np.nan) for name in channels])),
            }
        )
    return pd.DataFrame(rows)


def latency_agreement(table: pd.DataFrame) -> dict[str, float]:
    """How well latencies and places came back: rank correlation over layers, errors in s and cm."""
    if len(table) < 3:
        return {}
    planted, recovered = table["planted_s"].to_numpy(), table["recovered_s"].to_numpy()
    varied = np.ptp(recovered) > 0
    return {
        "rho_latency": float(spearmanr(planted, recovered).statistic) if varied else float("nan"),
        "latency_error_s": float(np.median(np.abs(recovered - planted))),
        "distance_cm": float(mean(table["distance_cm"].to_numpy())),
        "r_topography": float(mean(table["r_topography"].to_numpy())),
    }


def latency_sentence(tables: Sequence[tuple[str, pd.DataFrame]], model: str) -> str:
    """Planted and recovered latencies of the first owner in words; nothing where there are none."""
    for owner, table in tables:
        found = latency_agreement(table)
        if found:
            whose = "the group" if owner == "group" else f"subject {owner}"
            return (
                f"In {whose}, the latencies at which the {len(table)} layers of {model} are read best rank "
                f"as those that were planted with ρ = {found['rho_latency']:.2f}; they differ by "
                f"{1000 * found['latency_error_s']:.0f} ms (median), and the best channel of a layer lies "
                f"{found['distance_cm']:.1f} cm (mean) from the nearer of its planted ones."
            )
    return ""


def _grid(dataset: xr.Dataset, values: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names of channels, seconds, and values (layer, channel, latency), NaN where there is no target."""
    channels = list(dict.fromkeys(dataset["channel"].values.astype(str).tolist()))
    seconds = np.unique(dataset["latency"].values)
    cube = np.full((len(values), len(channels), len(seconds)), np.nan)
    row = pd.Index(channels).get_indexer(pd.Index(dataset["channel"].values.astype(str)))
    cube[:, row, np.searchsorted(seconds, dataset["latency"].values)] = values
    return channels, seconds, cube


def _place(truth: xr.Dataset, channel: str) -> np.ndarray:
    """Where a channel is, in metres (3,)."""
    first = int((truth["channel"].values == channel).argmax())
    return np.array([float(truth[axis].values[first]) for axis in "xyz"])


def _nearest(places: dict[str, np.ndarray], found: str, wanted: Sequence[str]) -> float:
    """Metres from a channel to the nearest of others; NaN where the truth does not know it."""
    if found not in places:
        return float("nan")
    return float(min(np.linalg.norm(places[found] - places[name]) for name in wanted))


def _alike(x: np.ndarray, y: np.ndarray) -> float:
    kept = np.isfinite(x) & np.isfinite(y)
    if kept.sum() < 3 or np.ptp(x[kept]) == 0 or np.ptp(y[kept]) == 0:
        return float("nan")
    return float(np.corrcoef(x[kept], y[kept])[0, 1])
