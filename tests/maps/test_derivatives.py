"""Scores land on the right vertices, voxels and parcels, under the right names."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign.errors import DataError
from neuroalign.maps.derivatives import write_maps
from neuroalign.maps.scores import score_maps

LAYERS = ["embeddings", "encoder.layer.0", "encoder.layer.1"]
DEPTH = np.array([0.0, 0.5, 1.0])
LAYERED = ("r", "r_unique")
PLAIN = ("chosen_r", "chosen_r_unique", "best_depth", "centroid", "normalised_r", "ceiling", "q")


def make(kind: str, subject: str = "01", network: str = "minilm", encoder: str = "ridge") -> xr.Dataset:
    """A summary whose every value is told apart by target, layer and variable."""
    if kind == "surface":
        places = {
            "hemi": np.array(["L"] * 4 + ["R"] * 3, object),
            "vertex": np.array([0, 2, 3, 9, 1, 2, 6]),
        }
        more = {"space": "fsaverage5", "vertices": [10, 7]}
    elif kind == "volume":
        places = {"i": np.array([0, 1, 3, 3]), "j": np.array([0, 2, 0, 4]), "k": np.array([1, 0, 1, 1])}
        affine = np.array([[-3, 0, 0, 90], [0, 0, 2.5, -120], [0, 3.5, 0, -60], [0, 0, 0, 1]], float)
        more = {"space": "MNI152NLin2009cAsym", "affine": affine.ravel().tolist(), "shape": [4, 5, 2]}
    else:
        places = {"name": np.array(["LIFG", "LATL", "RATL"], object)}
        more = {"space": ""}
    n = len(next(iter(places.values())))
    at = np.arange(n)
    variables = {name: ("target", np.float32(0.01 * at + 0.1 * row)) for row, name in enumerate(PLAIN)}
    for row, name in enumerate(LAYERED):
        values = 0.01 * at + 0.2 * np.arange(3)[:, None] + 0.05 * row
        variables[name] = (("layer", "target"), np.float32(values))
    variables["chosen_r"][1][1] = np.nan
    variables["normalised_r"][1][2] = np.nan
    variables["significant"] = ("target", at != 2)
    coordinates = {name: ("target", values) for name, values in places.items()}
    attributes = {"subject": subject, "task": "story", "kind": kind, "network": network, "encoder": encoder}
    return xr.Dataset(
        variables,
        {"layer": np.array(LAYERS, object), "depth": ("layer", DEPTH), **coordinates},
        {**attributes, **more},
    )


def test_surface_round_trip_puts_values_on_their_vertices(tmp_path: Path) -> None:
    from nilearn import surface

    summary = make("surface")
    written = write_maps([summary], tmp_path / "maps", "A study")
    stem = "sub-01/func/sub-01_task-story_hemi-{}_space-fsaverage5_stat-{}_desc-minilm_statmap.shape.gii"
    assert tmp_path / "maps" / stem.format("L", "r") in written
    for hemi, size in (("L", 10), ("R", 7)):
        got = surface.load_surf_data(tmp_path / "maps" / stem.format(hemi, "r"))
        expected = np.full(size, np.nan)
        for place, vertex in enumerate(summary["vertex"].values):
            if summary["hemi"].values[place] == hemi:
                expected[vertex] = summary["chosen_r"].values[place]
        np.testing.assert_allclose(got, expected)
    layered = nibabel.load(tmp_path / "maps" / stem.format("R", "rByLayer"))
    assert [array.meta["Name"] for array in layered.darrays] == LAYERS
    np.testing.assert_allclose(layered.darrays[2].data[6], summary["r"].values[2, 6])
    assert layered.meta["AnatomicalStructurePrimary"] == "CortexRight"


def test_volume_round_trip_keeps_affine_and_voxels(tmp_path: Path) -> None:
    from nilearn import image

    summary = make("volume")
    write_maps([summary], tmp_path / "maps", "A study")
    stem = "sub-01/func/sub-01_task-story_space-MNI152NLin2009cAsym_stat-{}_desc-minilm_statmap.nii.gz"
    layered = image.load_img(tmp_path / "maps" / stem.format("rByLayer"))
    np.testing.assert_allclose(layered.affine.ravel(), summary.attrs["affine"])
    data = layered.get_fdata()
    assert data.shape == (4, 5, 2, 3)
    for place in range(summary.sizes["target"]):
        i, j, k = (int(summary[axis].values[place]) for axis in "ijk")
        np.testing.assert_allclose(data[i, j, k], summary["r"].values[:, place])
    assert np.isfinite(data).all(axis=3).sum() == summary.sizes["target"]
    assert image.load_img(tmp_path / "maps" / stem.format("q")).shape == (4, 5, 2)


def test_parcels_are_one_table_with_a_column_per_map(tmp_path: Path) -> None:
    summary = make("parcels")
    (path,) = write_maps([summary], tmp_path / "maps", "A study")
    assert path.name == "sub-01_task-story_desc-minilm_statmap.tsv"
    table = pd.read_csv(path, sep="\t", na_values="n/a")
    assert table["name"].tolist() == ["LIFG", "LATL", "RATL"]
    np.testing.assert_allclose(table["r"], summary["chosen_r"], atol=1e-6)
    np.testing.assert_allclose(table["rByLayer:encoder.layer.1"], summary["r"][2], atol=1e-6)
    sidecar = json.loads(path.with_suffix(".json").read_text())
    assert set(table.columns) - {"name"} <= set(sidecar)


def test_depths_are_masked_by_significance_and_also_given_unmasked() -> None:
    maps = {entry.stat: entry for entry in score_maps(make("surface"))}
    hidden = np.array([False, True, True, False, False, False, False])
    for stat in ("bestDepth", "depthCentroid"):
        np.testing.assert_array_equal(np.isnan(maps[stat].values), hidden)
        assert "not significant" in maps[stat].masking
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(maps["bestDepthUnmasked"].values)), [1])
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(maps["normalisedR"].values)), [2])
    np.testing.assert_array_equal(maps["significant"].values, [1, np.nan, 0, 1, 1, 1, 1])


def test_the_nuisance_control_has_no_depth_and_needs_no_inference() -> None:
    control = make("surface", network="nuisance").drop_vars(["q", "significant"])
    assert {entry.stat for entry in score_maps(control)} == {"r", "normalisedR", "ceiling"}


def test_every_map_has_a_sidecar_that_says_where_it_comes_from(tmp_path: Path) -> None:
    summaries = [make("volume"), make("volume", subject="group")]
    written = write_maps(summaries, tmp_path / "maps", "A study")
    for path in written:
        sidecar = json.loads(path.with_name(path.name.split(".")[0] + ".json").read_text())
        assert sidecar["Layers"] == LAYERS
        assert sidecar["Depths"] == DEPTH.tolist()
        assert {"Description", "Units", "Masking", "Network", "Encoder"} <= set(sidecar)
    of_group = [path for path in written if path.parent.name == "group"]
    assert of_group
    assert not any("sub-" in path.name for path in of_group)
    sidecar = json.loads(of_group[0].with_name(of_group[0].name.split(".")[0] + ".json").read_text())
    assert sidecar["Sources"] == ["bids:study:group/network-minilm_encoder-ridge.nc"]
    description = json.loads((tmp_path / "maps" / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "neuroalign"
    assert description["DatasetLinks"] == {"study": ".."}


@pytest.mark.parametrize("kind", ["surface", "volume", "parcels"])
def test_equal_summaries_give_equal_bytes(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write_maps([make(kind)], tmp_path / "a", "A study")
    monkeypatch.setattr("time.time", lambda: 1e9)
    second = write_maps([make(kind)], tmp_path / "b", "A study")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_folder_is_replaced_as_a_whole_and_kept_on_failure(tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    write_maps([make("volume")], folder, "A study")
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match=r"kind of sub-02 is 'dipoles'"):
        write_maps([make("volume"), make("volume", "02").assign_attrs(kind="dipoles")], folder, "A study")
    assert sorted(folder.rglob("*")) == before
    write_maps([make("parcels", "07")], folder, "A study")
    assert [path.name for path in sorted(folder.iterdir())] == ["dataset_description.json", "sub-07"]


def test_two_encoders_do_not_share_a_name(tmp_path: Path) -> None:
    made = [make("parcels"), make("parcels", encoder="banded_ridge")]
    written = write_maps(made, tmp_path / "maps", "A study")
    assert [path.name for path in written] == [
        "sub-01_task-story_desc-minilmRidge_statmap.tsv",
        "sub-01_task-story_desc-minilmBandedRidge_statmap.tsv",
    ]


def test_parts_of_variance_are_maps_as_they_are(tmp_path: Path) -> None:
    summary = make("surface", encoder="banded_ridge")
    rng = np.random.default_rng(0)
    for name in ("unique_network", "shared", "unique_nuisance", "product_network", "network_weight"):
        for prefix, like in (("", "r"), ("chosen_", "chosen_r")):
            summary[f"{prefix}{name}"] = summary[like] * 0 + rng.standard_normal(summary[like].shape) - 0.5
    maps = {entry.stat: entry for entry in score_maps(summary)}
    np.testing.assert_allclose(maps["uniqueR2"].values, summary["chosen_unique_network"].astype(np.float32))
    np.testing.assert_allclose(maps["uniqueR2ByLayer"].values, summary["unique_network"].astype(np.float32))
    assert np.nanmin(maps["uniqueR2"].values) < 0, "nothing is clipped"
    assert {"sharedR2", "nuisanceUniqueR2", "productR2", "networkWeight"} <= set(maps)
    assert "R² of both less R² of the nuisance" in maps["uniqueR2"].description
    write_maps([summary], tmp_path / "maps", "A study")
    (path,) = (tmp_path / "maps").glob("sub-01/func/*hemi-L*stat-uniqueR2_*.json")
    sidecar = json.loads(path.read_text())
    assert (sidecar["Encoder"], sidecar["Units"]) == ("banded_ridge", "share of held-out variance (R²)")
    assert "uniqueR2" not in {entry.stat for entry in score_maps(make("surface"))}


def test_targets_outside_their_geometry_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="outside a mesh of 5 vertices"):
        write_maps([make("surface").assign_attrs(vertices=[5, 7])], tmp_path / "maps", "A study")
    with pytest.raises(DataError, match="outside the volume"):
        write_maps([make("volume").assign_attrs(shape=[4, 4, 2])], tmp_path / "maps", "A study")
