"""Maps of sensors hold what was planted, at its channel and time, as MNE reads them back."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign.errors import DataError
from neuroalign.maps.derivatives import write_maps
from neuroalign.maps.sensors import channels, datatype, gridded

NAMES = ["Fz", "Cz", "Pz", "Oz", "T7", "T8", "C3", "C4"]
TIMES = np.arange(-5, 20) / 50
LAYERS = ["embeddings", "block.0", "block.1"]
LAGS = np.arange(-2, 8) / 50


def make(kinds="eeg", epoched: bool = True, network: str = "vit", subject: str = "01") -> xr.Dataset:
    """A summary whose values tell layer, channel and latency apart; Oz at 100 ms is highest."""
    places = mne.channels.make_standard_montage("biosemi64").get_positions()["ch_pos"]
    times = TIMES if epoched else np.zeros(1)
    shape = (len(NAMES), len(times))
    n = shape[0] * shape[1]
    kinds = [kinds] * len(NAMES) if isinstance(kinds, str) else kinds
    coordinates = {
        "channel": np.repeat(NAMES, shape[1]).astype(object),
        "channel_type": np.repeat(kinds, shape[1]).astype(object),
        **dict(zip("xyz", np.repeat([places[name] for name in NAMES], shape[1], axis=0).T, strict=True)),
        "valid": np.repeat([name != "T8" for name in NAMES], shape[1]),
    }
    if epoched:
        coordinates["latency"] = np.tile(times, len(NAMES))
    r = 0.1 * np.arange(3)[:, None] + 0.001 * np.arange(n)
    r[:, ~coordinates["valid"]] = np.nan
    chosen = r[1].copy()
    chosen[3 * shape[1] + (10 if epoched else 0)] = 0.9
    plain = ("best_depth", "centroid", "normalised_r", "ceiling", "q", "chosen_r_unique")
    variables = {name: ("target", np.float32(0.5 + 0 * chosen)) for name in plain}
    variables |= {"chosen_r": ("target", np.float32(chosen)), "significant": ("target", chosen > 0.3)}
    variables |= {name: (("layer", "target"), np.float32(r)) for name in ("r", "r_unique")}
    more = {} if not epoched else {"samples": "trials"}
    if not epoched:
        kernel = 0.01 * np.arange(len(LAGS))[:, None] + 0.1 * np.arange(n)
        variables["chosen_kernel"] = (("lag", "target"), np.float32(kernel))
        by_layer = kernel + np.arange(3)[:, None, None]
        variables["kernel"] = (("layer", "lag", "target"), np.float32(by_layer))
    found = xr.Dataset(
        variables,
        {
            "layer": np.array(LAYERS, object),
            "depth": ("layer", [0.0, 0.5, 1.0]),
            **{name: ("target", values) for name, values in coordinates.items()},
        },
        {
            "subject": subject, "task": "see", "kind": "sensors", "space": "", "network": network,
            "encoder": "ridge", "sampling_hz": 50.0, "montage": "biosemi64", **more,
        },
    )  # fmt: skip
    return found if epoched else found.assign_coords(lag=LAGS)


def read(folder: Path, stat: str, where: str = "sub-01/eeg", start: str = "sub-01_") -> list[mne.Evoked]:
    path = folder / where / f"{start}task-see_stat-{stat}_desc-vit_ave.fif"
    return mne.read_evokeds(path, verbose="error")


def test_values_come_back_at_their_channel_and_latency(tmp_path: Path) -> None:
    write_maps([make()], tmp_path / "maps", "A study")
    (r,) = read(tmp_path / "maps", "r")
    assert r.copy().drop_channels(r.info["bads"]).get_peak() == ("Oz", pytest.approx(0.1, abs=1e-6))
    assert r.comment == "r: Pearson correlation, not volts"
    np.testing.assert_allclose(r.times, TIMES, atol=1e-7)
    wanted = make()["chosen_r"].values.reshape(len(NAMES), -1)
    np.testing.assert_allclose(r.data, wanted, rtol=1e-6)
    assert r.info["bads"] == ["T8"], "what could not be scored is left out of plots"
    layers = read(tmp_path / "maps", "rByLayer")
    assert [each.comment for each in layers] == LAYERS
    np.testing.assert_allclose(layers[2].data, make()["r"].values[2].reshape(8, -1), rtol=1e-6)
    (verdict,) = read(tmp_path / "maps", "significant")
    assert set(np.unique(np.delete(verdict.data, NAMES.index("T8"), axis=0))) == {0.0, 1.0}


def test_positions_are_those_of_the_targets_and_nothing_is_made_up(tmp_path: Path) -> None:
    summary = make()
    for axis in "xyz":
        summary[axis][summary["channel"].values == "C4"] = np.nan
    write_maps([summary], tmp_path / "maps", "A study")
    (r,) = read(tmp_path / "maps", "r")
    places = {name: channel["loc"][:3] for name, channel in zip(r.ch_names, r.info["chs"], strict=True)}
    assert list(places) == NAMES, "channels without a place stay"
    table = channels(summary).set_index("channel")
    np.testing.assert_allclose(places["Oz"], table.loc["Oz", ["x", "y", "z"]].to_numpy(float), atol=1e-7)
    assert not np.isfinite(places["C4"]).all() or not places["C4"].any()
    assert r.info["dig"] is None


def test_mne_plots_what_was_written(tmp_path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    write_maps([make()], tmp_path / "maps", "A study")
    (r,) = read(tmp_path / "maps", "r")
    figure = r.plot_topomap(times=[0.1], scalings=1, units="r", show=False, colorbar=False)
    assert figure.axes[0].images
    matplotlib.pyplot.close(figure)


def test_sidecars_say_that_values_are_no_volts(tmp_path: Path) -> None:
    written = write_maps([make()], tmp_path / "maps", "A study")
    for path in written:
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["Sources"] == ["bids:study:summary/sub-01_network-vit_encoder-ridge.nc"]
        if path.suffix == ".fif":
            assert sidecar["Units"]
            assert "scalings=1" in sidecar["Software"]
            assert sidecar["Positions"] == "biosemi64"
    (r,) = read(tmp_path / "maps", "r")
    assert "not volts" in r.info["description"]


def test_table_and_arrays_hold_every_channel_and_latency(tmp_path: Path) -> None:
    summary = make()
    write_maps([summary], tmp_path / "maps", "A study")
    stem = tmp_path / "maps" / "sub-01" / "eeg" / "sub-01_task-see_desc-vit_statmap"
    table = pd.read_csv(f"{stem}.tsv", sep="\t", na_values="n/a")
    assert len(table) == summary.sizes["target"]
    row = table[(table["channel"] == "Oz") & np.isclose(table["latency"], 0.1)]
    assert row["r"].item() == pytest.approx(0.9)
    assert {f"rByLayer:{layer}" for layer in LAYERS} <= set(table.columns)
    assert table.loc[table["channel"] == "T8", "r"].isna().all()
    xr.testing.assert_identical(xr.load_dataset(f"{stem}.nc"), summary)


def test_meg_goes_to_its_folder_with_its_types(tmp_path: Path) -> None:
    kinds = ["mag", "grad", "grad", "mag", "grad", "grad", "eeg", "eeg"]
    write_maps([make(kinds), make(kinds, subject="group")], tmp_path / "maps", "A study")
    (r,) = read(tmp_path / "maps", "r", "sub-01/meg")
    assert r.get_channel_types() == kinds
    assert r.info["dev_head_t"]["trans"].tolist() == np.eye(4).tolist()
    assert r.copy().pick("mag").ch_names == ["Fz", "Oz"]
    (of_group,) = read(tmp_path / "maps", "r", "group", "")
    np.testing.assert_array_equal(of_group.data, r.data)
    assert datatype(pd.Series(["seeg", "eeg"])) == "ieeg"


def test_continuous_recordings_have_kernels_over_lags(tmp_path: Path) -> None:
    summary = make(epoched=False)
    control = make(epoched=False, network="nuisance")
    written = write_maps([summary, control], tmp_path / "maps", "A study")
    names = {path.name for path in written}
    assert "sub-01_task-see_desc-vit_statmap.tsv" in names
    assert not any("stat-r_" in name for name in names), "there is no time for r"
    (kernel,) = read(tmp_path / "maps", "kernel")
    np.testing.assert_allclose(kernel.times, LAGS, atol=1e-7)
    np.testing.assert_allclose(kernel.data, summary["chosen_kernel"].values.T, rtol=1e-6)
    layers = read(tmp_path / "maps", "kernelByLayer")
    assert [each.comment for each in layers] == LAYERS
    np.testing.assert_allclose(layers[1].data, summary["kernel"].values[1].T, rtol=1e-6)
    assert "sub-01_task-see_stat-kernel_desc-nuisance_ave.fif" in names
    assert not any("kernelByLayer_desc-nuisance" in name for name in names)


@pytest.mark.parametrize("epoched", [True, False])
def test_equal_summaries_give_equal_bytes_on_any_machine(tmp_path: Path, epoched, monkeypatch) -> None:
    first = write_maps([make(epoched=epoched)], tmp_path / "a", "A study")
    monkeypatch.setattr(uuid, "getnode", lambda: 0x123456789ABC)
    monkeypatch.setattr("time.time", lambda: 1e9)
    second = write_maps([make(epoched=epoched)], tmp_path / "b", "A study")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_uneven_latencies_stay_in_the_table_alone(tmp_path: Path) -> None:
    summary = make()
    uneven = np.where(summary["latency"] > 0.2, summary["latency"] + 0.013, summary["latency"])
    written = write_maps([summary.assign_coords(latency=("target", uneven))], tmp_path / "maps", "A study")
    assert {path.suffix for path in written} == {".tsv", ".nc"}


def test_two_channels_of_one_name_are_refused() -> None:
    summary = make()
    names = np.where(summary["channel"] == "Cz", "Fz", summary["channel"].values.astype(str))
    with pytest.raises(DataError, match="same channel and latency"):
        gridded(summary.assign_coords(channel=("target", names)), summary["chosen_r"].values)
