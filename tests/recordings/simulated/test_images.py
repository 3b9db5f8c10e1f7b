"""The simulated image study: its files, its truth, and that the one agrees with the other."""

from __future__ import annotations

import hashlib
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neuroalign import bids
from neuroalign.artefacts import arrays, layout
from neuroalign.networks.handmade import image_features
from neuroalign.recordings.simulated import pictures, planted_voxels, simulations
from neuroalign.recordings.simulated.viewers import invite_viewer
from neuroalign.settings.features import Handmade
from neuroalign.settings.simulation import SimulateImages

SETTINGS = SimulateImages(subjects=2, images=60, shared=20, repeats=3, runs=4, noise=(0.5, 0.9))
NETWORK = Handmade(features=("luminance", "contrast", "gabor"), tokens=True, grid=4)
SEED = 3
TRIALS = 180


def make(out, settings=SETTINGS, network=NETWORK, seed=SEED):
    simulations.simulate(out, settings, network, seed, "images", "derivatives/betas")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("simulated") / "study"
    make(root)
    return root


@pytest.fixture(scope="module")
def truth(study):
    return arrays.open_arrays(study / layout.TRUTH)


def betas(study, subject):
    """Events and betas (trial, voxel in the order of the truth) of all runs, read with nibabel alone."""
    inside = planted_voxels.open_brain().mask
    tables, values = [], []
    for run in "1234":
        raw = study / f"sub-{subject}/func/sub-{subject}_task-images_run-{run}_events.tsv"
        stem = study / f"derivatives/betas/sub-{subject}/func/sub-{subject}_task-images_run-{run}_space-T1w"
        tables.append(pd.read_csv(raw, sep="\t").assign(run=run))
        values.append(nib.load(f"{stem}_desc-betas_statmap.nii.gz").get_fdata()[inside].T)
        mask = nib.load(f"{stem}_desc-brain_mask.nii.gz")
        assert (mask.get_fdata() == inside).all()
        assert len(values[-1]) == len(tables[-1])
    return pd.concat(tables, ignore_index=True), np.concatenate(values)


@pytest.fixture(scope="module")
def people(study):
    return {subject: betas(study, subject) for subject in ("01", "02")}


def digests(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def correlation(x, y):
    """Pearson's r of columns."""
    x, y = ((values - values.mean(0)) / values.std(0) for values in (x, y))
    return (x * y).mean(axis=0)


def test_same_seed_same_bytes_and_once_only(study, tmp_path, monkeypatch):
    make(tmp_path / "again")
    before = digests(study)
    assert digests(tmp_path / "again") == before
    monkeypatch.setattr(simulations, "import_module", lambda *_: pytest.fail("simulated again"))
    make(study)
    assert digests(study) == before
    for changed in ({"seed": 4}, {"network": NETWORK.model_copy(update={"grid": 8})}):
        with pytest.raises(pytest.fail.Exception, match="simulated again"):
            make(study, **changed)
    # What decides how a network is computed, or which layers are kept, decides nothing here.
    make(study, network=NETWORK.model_copy(update={"layers": ("gabor",), "dtype": "float16"}))
    assert digests(study) == before


def test_the_dataset_is_whole(study):
    assert json.loads((study / "dataset_description.json").read_text())["DatasetType"] == "raw"
    assert pd.read_csv(study / "participants.tsv", sep="\t")["noise"].tolist() == [0.5, 0.9]
    index = bids.index_dataset(study, "derivatives/betas", "images")
    found = index[(index["suffix"] == "statmap") & (index["extension"] == ".nii.gz")]
    assert len(found) == 8
    assert set(found["space"]) == {"T1w"}
    assert set(found["desc"]) == {"betas"}
    columns = set(json.loads((study / "task-images_events.json").read_text()))
    assert columns == {"onset", "duration", "trial_type", "stim_file", "repeat"}
    names = {path.name for path in (study / "stimuli").iterdir()}
    assert len(names) == 20 + 2 * 40
    assert len({path.read_bytes() for path in (study / "stimuli").iterdir()}) == 100


def test_everybody_sees_shared_and_own_images_several_times(study, people):
    seen = {subject: set(table["stim_file"]) for subject, (table, _) in people.items()}
    assert {len(names) for names in seen.values()} == {60}
    assert len(seen["01"] & seen["02"]) == 20
    for table, _ in people.values():
        assert len(table) == TRIALS
        assert (table.groupby("stim_file").size() == 3).all()
        assert (table.groupby("stim_file")["repeat"].apply(list).map(tuple) == (1, 2, 3)).all()
        assert (table.groupby("run")["onset"].diff().dropna() == 4).all()
        kinds = {name: kind for name, kind in zip(table["stim_file"], table["trial_type"], strict=True)}
        assert set(kinds.values()) == set(pictures.KINDS)
        assert all((study / "stimuli" / name).is_file() for name in kinds)
    assert people["01"][0]["stim_file"].tolist() != people["02"][0]["stim_file"].tolist()


def test_images_are_those_that_were_drawn_and_differ():
    kinds, drawn = zip(*[pictures.draw(number, 0) for number in range(40)], strict=True)
    assert set(kinds) == set(pictures.KINDS)
    assert (drawn[7] == pictures.draw(7, 0)[1]).all()
    assert (drawn[7] != pictures.draw(7, 1)[1]).any()
    flat = np.array([pixels.mean(axis=2).ravel() for pixels in drawn])
    assert flat.mean(axis=1).std() > 12, "the light of images varies"
    assert flat.std(axis=1).min() > 3, "no image is blank"
    assert abs(np.corrcoef(flat)[np.triu_indices(40, 1)]).mean() < 0.4


def test_regions_and_labels_agree(study, truth):
    folder = study / "derivatives/truth"
    labels = nib.load(folder / "space-T1w_desc-regions_dseg.nii.gz").get_fdata()
    names = dict(pd.read_csv(folder / "space-T1w_desc-regions_dseg.tsv", sep="\t").values)
    place = tuple(truth[axis].values for axis in "ijk")
    assert [names[label] for label in labels[place]] == truth["roi"].values.tolist()
    assert (labels > 0).sum() == truth.sizes["target"] > 1200
    share = truth["roi"].to_series().value_counts(normalize=True)
    assert share["noise"] == pytest.approx(0.32, abs=0.01)
    assert share["luminance"] == pytest.approx(0.08, abs=0.01)
    assert share[["early", "middle", "late"]].min() > 0.19


def test_the_truth_is_smooth_and_covers_the_image(truth):
    driven = np.isin(truth["roi"].values.astype(str), planted_voxels.DRIVEN)
    voxels = np.stack([truth[axis].values for axis in "ijk"], axis=1)
    apart = np.abs(voxels[:, None] - voxels[None]).sum(axis=2)
    for name in ("depth", "field_x", "field_y", "field_size"):
        values = truth[name].values
        assert (np.isfinite(values) == driven).all()
        for region in planted_voxels.DRIVEN:
            inside = np.flatnonzero(truth["roi"].values == region)
            first, second = np.nonzero(apart[np.ix_(inside, inside)] == 1)
            assert np.corrcoef(values[inside[first]], values[inside[second]])[0, 1] > 0.7, (name, region)
            if name in ("field_x", "field_y"):
                counts = np.histogram(values[inside], 3, (0.05, 0.95))[0]
                assert (counts > len(inside) / 4).all()
    early, late = (truth["field_size"].values[truth["roi"].values == name] for name in ("early", "late"))
    assert 0.06 < early.min() < early.mean() < 0.6 * late.mean() < 0.2
    assert np.corrcoef(truth["depth"].values[driven], truth["j"].values[driven])[0, 1] > 0.9
    assert truth.attrs["network"] == NETWORK.named
    assert truth.attrs["repeats"] == 3


def test_repeats_agree_by_the_square_of_the_ceiling(truth, people):
    for row, (table, values) in enumerate(people.values()):
        order = [table[table["repeat"] == time].sort_values("stim_file").index for time in (1, 2, 3)]
        pairs = [correlation(values[order[a]], values[order[b]]) for a, b in ((0, 1), (0, 2), (1, 2))]
        between = np.mean(pairs, axis=0)
        ceiling = truth["ceiling"].values[row]
        noise = truth["roi"].values == "noise"
        assert not ceiling[noise].any()
        assert abs(between[noise].mean()) < 0.02
        assert between[~noise].mean() == pytest.approx((ceiling[~noise] ** 2).mean(), abs=0.02)
        assert np.corrcoef(between[~noise], ceiling[~noise] ** 2)[0, 1] > 0.7
        of_means = truth["ceiling_of_means"].values[row][~noise]
        spearman_brown = np.sqrt(3 * ceiling[~noise] ** 2 / (1 + 2 * ceiling[~noise] ** 2))
        np.testing.assert_allclose(of_means, spearman_brown, rtol=1e-6)
    assert truth["ceiling"].values[0].mean() > truth["ceiling"].values[1].mean()


def test_mean_luminance_drives_its_region(study, truth, people):
    light = {
        path.name: image_features.relative_luminance(np.asarray(Image.open(path))).mean()
        for path in (study / "stimuli").iterdir()
    }
    inside = truth["roi"].values == "luminance"
    for row, (table, values) in enumerate(people.values()):
        shown = table["stim_file"].map(light).to_numpy()[:, None]
        r = correlation(values, shown)
        assert r[inside].mean() == pytest.approx(truth["ceiling"].values[row, inside].mean(), abs=0.03)
        assert abs(r[truth["roi"].values == "noise"].mean()) < 0.04


def test_planting_agrees_with_one_voxel_at_a_time():
    """Second implementation: loops over layers, images and tokens."""
    rng = np.random.default_rng(0)
    brain = planted_voxels.open_brain()
    plan = planted_voxels.plan_voxels(brain, 3, rng)
    depth = np.array([0.0, 0.4, 1.0])
    layers = [rng.standard_normal((12, tokens, planted_voxels.COMPONENTS)) for tokens in (9, 9, 4)]
    places = [image_features.places(grid) for grid in (3, 3, 2)]
    light = rng.uniform(size=12)
    found = planted_voxels.plant_voxels(plan, layers, places, depth, light)
    np.testing.assert_allclose(found[:, plan.roi != "noise"].var(axis=0), 1)
    assert not found[:, plan.roi == "noise"].any()
    for voxel in np.flatnonzero(np.isfinite(plan.depth))[::90]:
        expected = np.zeros(12)
        for number, (features, where) in enumerate(zip(layers, places, strict=True)):
            far = np.hypot(*(where - plan.centre[voxel]).T)
            weight = np.exp(-0.5 * (far / plan.size[voxel]) ** 2)
            part = np.zeros(12)
            for image in range(12):
                for token in range(len(where)):
                    part[image] += weight[token] * features[image, token] @ plan.tuning[number, :, voxel]
            part = (part - part.mean()) / part.std()
            expected += np.exp(-((depth[number] - plan.depth[voxel]) ** 2) / (2 * 0.1**2)) * part
        assert correlation(expected, found[:, voxel]) == pytest.approx(1)


def test_token_features_are_white_and_ignore_what_places_have_in_common():
    rng = np.random.default_rng(1)
    tokens = rng.standard_normal((50, 6, 12)) @ np.diag(np.arange(1, 13))
    found = planted_voxels.token_features(tokens)
    flat = found.reshape(-1, planted_voxels.COMPONENTS)
    np.testing.assert_allclose(flat.T @ flat / len(flat), np.eye(planted_voxels.COMPONENTS), atol=1e-9)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    shifted = tokens + 10 * rng.standard_normal((1, 6, 12))
    np.testing.assert_allclose(planted_voxels.token_features(shifted), found, atol=1e-9)


def test_noise_has_the_variance_that_the_ceiling_says():
    from neuroalign.recordings.simulated.viewers import view

    brain = planted_voxels.open_brain()
    settings = SimulateImages(subjects=1, images=500, shared=0, repeats=2, noise=(0.7,))
    viewer = invite_viewer(brain, 1, settings, 0)
    silent = np.zeros((500, len(brain.voxels)))
    viewed = view(viewer, brain, silent, np.ones(len(brain.voxels)), 0)
    np.testing.assert_allclose(viewed.betas.mean(), 1, atol=0.01)
    np.testing.assert_allclose(viewed.betas.std(axis=0), 0.7, rtol=0.15)
    assert viewed.betas.var(axis=0).mean() == pytest.approx(0.49, rel=0.02)
    nearby = np.abs(brain.voxels - brain.voxels[600]).sum(axis=1)
    r = correlation(viewed.betas, viewed.betas[:, [600]])
    assert 0.2 < r[nearby == 1].mean() < 0.8
    assert abs(r[nearby > 8].mean()) < 0.03
