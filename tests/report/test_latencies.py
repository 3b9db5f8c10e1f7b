"""What was planted in simulated EEG beside what came back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neuroalign.report.planted.latencies import latency_agreement, latency_sentence, layer_latencies
from neuroalign.report.planted.recovered import truth_pictures
from neuroalign.report.planted.truth import agreement, recoveries

CHANNELS = ("Oz", "P7", "P8", "T7", "T8", "Fz")
PLACES = np.array([[0, -9, 2], [-7, -6, 0], [7, -6, 0], [-8, 0, 0], [8, 0, 0], [0, 6, 7]]) / 100
LAYERS = ("one", "two", "three", "four")
PEAKS = (0.1, 0.18, 0.26, 0.34)
BEST = (("Oz", "Oz"), ("P7", "P8"), ("T7", "T8"), ("Fz", "Fz"))


def bumps(times: np.ndarray, peaks: tuple[float, ...], where: tuple[str, ...]) -> np.ndarray:
    """Scores (layer, target), channels before latencies: a bump about a latency, best at one channel."""
    course = np.exp(-0.5 * ((times - np.array(peaks)[:, None]) / 0.03) ** 2)
    field = np.array([[1.0 if name == best else 0.3 for name in CHANNELS] for best in where])
    return 0.5 * (field[:, :, None] * course[:, None]).reshape(len(peaks), -1)


def of_targets(times: np.ndarray) -> dict[str, Any]:
    places = {axis: ("target", np.repeat(PLACES[:, k], len(times))) for k, axis in enumerate("xyz")}
    channel = np.repeat(np.array(CHANNELS, object), len(times))
    return {"channel": ("target", channel), "latency": ("target", np.tile(times, len(CHANNELS))), **places}


def known() -> xr.Dataset:
    times = np.arange(-26, 103) / 128
    scores = bumps(times, PEAKS, tuple(best for best, _ in BEST))
    shown = scores.max(axis=0) > 0.01
    depth = np.where(shown, np.linspace(0, 1, 4)[scores.argmax(axis=0)], np.nan)
    ceiling = np.where(shown, scores.max(axis=0), 0.0)[None]
    return xr.Dataset(
        {
            "depth": ("target", depth),
            "ceiling": (("subject", "target"), ceiling),
            "ceiling_of_means": (("subject", "target"), ceiling),
            "layer_r": (("layer", "target"), scores),
            "peak_s": ("layer", np.array(PEAKS)),
            "peak_channel": (("layer", "side"), np.array(BEST, object)),
        },
        {
            "subject": ["01"],
            "layer": list(LAYERS),
            "layer_depth": ("layer", np.linspace(0, 1, 4)),
            **of_targets(times),
        },
        {"network": "the planted one"},
    )


def found(peaks: tuple[float, ...] = PEAKS, where: tuple[str, ...] = ("Oz", "P8", "T7", "Fz")) -> xr.Dataset:
    """A summary at another rate, whose targets come in another order; one channel is not scored."""
    times = np.arange(-10, 41) / 50
    scores = bumps(times, peaks, where)
    kept = np.repeat(np.array(CHANNELS) != "P7", len(times))
    scores[:, ~kept] = np.nan
    nothing = np.where(kept, 0.0, np.nan)
    order = np.random.default_rng(0).permutation(scores.shape[1])
    data = {
        "chosen_r": nothing,
        "p": nothing + 0.5,
        "significant": np.zeros(len(nothing), bool),
        "centroid": np.linspace(0, 1, 4)[np.nan_to_num(scores).argmax(axis=0)],
        "best_depth": nothing,
        "ceiling": nothing + 0.5,
    }
    return xr.Dataset(
        {"r": (("layer", "target"), scores), **{name: ("target", values) for name, values in data.items()}},
        {"layer": list(LAYERS), "depth": ("layer", np.linspace(0, 1, 4)), **of_targets(times)},
        {"network": "n", "encoder": "ridge"},
    ).isel(target=order)


def evidence(summary: xr.Dataset) -> Any:
    study = SimpleNamespace(
        conditions=lambda: {"n": SimpleNamespace(named="the planted one")},
        design=SimpleNamespace(repeats="average"),
    )
    return SimpleNamespace(truth=known(), study=study, whose=lambda *_: {"01": summary})


def test_latencies_and_channels_come_back() -> None:
    table = layer_latencies(known(), found())
    assert table["layer_name"].tolist() == list(LAYERS)
    np.testing.assert_allclose(table["recovered_s"], PEAKS)
    assert table["recovered_channel"].tolist() == ["Oz", "P8", "T7", "Fz"]
    assert table["planted_channels"].tolist() == ["Oz", "P7, P8", "T7, T8", "Fz"]
    assert not table["distance_cm"].any()
    assert table["r_topography"].iloc[0] == pytest.approx(1)
    told = latency_agreement(table)
    assert told["rho_latency"] == pytest.approx(1)
    assert told["latency_error_s"] == pytest.approx(0, abs=1e-12)
    assert "4 layers of n are read best rank as those that were planted with ρ = 1.00" in latency_sentence(
        [("group", table)], "n"
    )


def test_a_reversed_order_and_a_wrong_channel_are_told() -> None:
    table = layer_latencies(known(), found(PEAKS[::-1], ("Fz", "P8", "T7", "Fz")))
    told = latency_agreement(table)
    assert told["rho_latency"] == pytest.approx(-1)
    assert told["latency_error_s"] == pytest.approx(0.16)
    expected = 100 * np.linalg.norm(PLACES[0] - PLACES[5])
    assert table["distance_cm"].tolist() == pytest.approx([expected, 0, 0, 0])


def test_series_and_foreign_layers_have_no_latencies() -> None:
    assert layer_latencies(known(), found().drop_vars("latency")).empty
    assert layer_latencies(known(), found().assign_coords(layer=list("abcd"))).empty
    assert latency_agreement(layer_latencies(known(), found().isel(layer=[0, 1]))) == {}


def test_targets_are_matched_by_channel_and_nearest_latency() -> None:
    summary = found()
    (recovery,) = recoveries(evidence(summary), "n", "ridge")
    row = agreement(recovery)
    assert row["r_centroid"] == pytest.approx(1, abs=0.02)
    assert row["rho_latency"] == pytest.approx(1)
    before = (summary["latency"].values < 0) & np.isfinite(summary["chosen_r"].values)
    assert recovery.noise[before].all()
    assert row["noise_below_level"] == 0
    assert len(truth_pictures([recovery], None)) == 3


def test_without_latencies_no_target_of_a_series_is_taken_for_noise() -> None:
    summary = found().drop_vars("latency")
    (recovery,) = recoveries(evidence(summary), "n", "ridge")
    assert np.isnan(recovery.planted).all()
    assert not (recovery.compared | recovery.noise | recovery.nuisance_driven).any()
