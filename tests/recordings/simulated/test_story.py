"""The simulated study: its files, its truth, and that the one agrees with the other."""

from __future__ import annotations

import hashlib
import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from neuroalign import bids
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import DataError
from neuroalign.recordings import fmri
from neuroalign.recordings.simulated import narration, planted, simulations, story
from neuroalign.recordings.simulated.fields import whitened
from neuroalign.settings.dataset import Dataset, StimulusSource
from neuroalign.settings.networks import Text
from neuroalign.settings.responses import Responses
from neuroalign.settings.simulation import SimulateStory
from neuroalign.stimuli.events import read_stimuli

SETTINGS = SimulateStory(subjects=2, runs=2, tr=2.5, noise=(0.5, 0.9))
SEED = 3


def simulate(out, settings, network, seed, derivatives="derivatives/fmriprep"):
    simulations.simulate(out, settings, network, seed, "story", derivatives)


N_VERTICES = 10_242
DERIVATIVES = "derivatives/fmriprep"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A random BERT of four blocks that knows the letters of the story."""
    folder = tmp_path_factory.mktemp("network")
    letters = sorted(set(narration.STORY.read_text(encoding="utf-8")) - {" ", "\n"})
    vocabulary = {token: index for index, token in enumerate(["[UNK]", "[PAD]", *letters])}
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
    configuration = transformers.BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.AutoModel.from_config(configuration).save_pretrained(folder)
    return Text(source=str(folder), context=1, device="cpu")


@pytest.fixture(scope="module")
def study(tmp_path_factory, network):
    root = tmp_path_factory.mktemp("simulated") / "study"
    simulate(root, SETTINGS, network, SEED)
    return root


@pytest.fixture(scope="module")
def truth(study):
    return arrays.open_arrays(study / layout.TRUTH)


@pytest.fixture(scope="module")
def index(study):
    return bids.index_dataset(study, DERIVATIVES, "story")


@pytest.fixture(scope="module")
def responses(study, index):
    """What the pipeline reads, cleaned as the demonstration does it."""
    dataset = Dataset(path=str(study), task="story")
    settings = Responses(kind="surface", space="fsaverage5")
    return [fmri.read_responses(index, dataset, settings, subject) for subject in ("01", "02")]


def in_regions(truth, *names):
    return np.isin(truth["roi"].values.astype(str), names)


def digests(root):
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_same_seed_same_bytes(study, network, tmp_path):
    simulate(tmp_path / "again", SETTINGS, network, SEED)
    assert digests(tmp_path / "again") == digests(study)


def test_the_same_study_is_left_untouched(study, network, monkeypatch):
    before = digests(study)
    monkeypatch.setattr(story, "tell", lambda *_: pytest.fail("simulated again"))
    simulate(study, SETTINGS, network, SEED)
    assert digests(study) == before


@pytest.fixture
def recipe_only(study, tmp_path):
    """A study of which little is left, so that tests may replace it."""
    out = tmp_path / "study"
    kept = [simulations.RECIPE, layout.TRUTH, "dataset_description.json", "README"]
    for name in kept:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes((study / name).read_bytes())
    return out


@pytest.mark.parametrize("change", ["seed", "settings", "incomplete"])
def test_another_study_is_made_anew(recipe_only, network, monkeypatch, change):
    class Begun(Exception):
        pass

    def begin(*_):
        raise Begun

    monkeypatch.setattr(story, "tell", begin)
    settings = SETTINGS.model_copy(update={"tr": 2.0}) if change == "settings" else SETTINGS
    if change == "incomplete":
        (recipe_only / "dataset_description.json").unlink()
    with pytest.raises(Begun):
        simulate(recipe_only, settings, network, SEED + (change == "seed"))


@pytest.mark.parametrize("place", ["notes.txt", ".git/HEAD", "derivatives/mine/map.nii"])
def test_foreign_files_in_a_study_are_not_removed(recipe_only, network, place):
    (recipe_only / place).parent.mkdir(parents=True, exist_ok=True)
    (recipe_only / place).write_text("mine")
    with pytest.raises(DataError, match="which was not simulated; move it away first"):
        simulate(recipe_only, SETTINGS, network, SEED + 1)
    assert (recipe_only / place).read_text() == "mine"


def test_a_foreign_folder_is_refused(network, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match=r"not simulated; expected a new or empty folder") as caught:
        simulate(tmp_path, SETTINGS, network, SEED)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(DataError, match="is a file"):
        simulate(tmp_path / "thesis.tex", SETTINGS, network, SEED)


@pytest.mark.parametrize("derivatives", ["/elsewhere", "../outside", "."])
def test_derivatives_stay_inside(network, tmp_path, derivatives):
    with pytest.raises(DataError, match=re.escape(f"dataset.derivatives is '{derivatives}'")):
        simulate(tmp_path / "out", SETTINGS, network, SEED, derivatives=derivatives)


def test_a_failure_leaves_nothing_behind(network, tmp_path, monkeypatch):
    for name in ("open_cortex", "plan_cortex", "plant"):
        monkeypatch.setattr(planted, name, lambda *_: None)
    monkeypatch.setattr(story, "_features", lambda *_: ([], np.empty(0)))
    monkeypatch.setattr(story, "invite", lambda *_: None)

    def fail(study, *_):
        study.root.mkdir()
        (study.root / "half.txt").write_text("written")
        raise ZeroDivisionError

    monkeypatch.setattr(story, "_write_recordings", fail)
    with pytest.raises(ZeroDivisionError):
        simulate(tmp_path / "out", SETTINGS, network, SEED)
    assert list(tmp_path.iterdir()) == []


def test_the_dataset_is_whole(study):
    description = json.loads((study / "dataset_description.json").read_text())
    assert description["DatasetType"] == "raw"
    assert {"Name", "BIDSVersion", "GeneratedBy"} <= set(description)
    assert (
        json.loads((study / DERIVATIVES / "dataset_description.json").read_text())["DatasetType"]
        == "derivative"
    )
    people = pd.read_csv(study / "participants.tsv", sep="\t")
    assert people["participant_id"].tolist() == ["sub-01", "sub-02"]
    assert people["noise"].tolist() == [0.5, 0.9]
    assert (study / "README").is_file()
    for subject in ("01", "02"):
        assert len(list((study / f"sub-{subject}" / "func").iterdir())) == 2
        folder = study / DERIVATIVES / f"sub-{subject}" / "func"
        for run in (1, 2):
            stem = f"sub-{subject}_task-story_run-{run}"
            for hemi in "LR":
                bold = folder / f"{stem}_hemi-{hemi}_space-fsaverage5_bold"
                about = json.loads(bold.with_suffix(".json").read_text())
                assert about["RepetitionTime"] == SETTINGS.tr
                assert about["TaskName"] == "story"
                assert about["StartTime"] == 0
                assert bold.with_suffix(".func.gii").is_file()
            assert (folder / f"{stem}_desc-confounds_timeseries.json").is_file()
        assert len(list(folder.iterdir())) == 2 * 6


def test_series_are_read_by_nibabel(study, truth):
    func = study / DERIVATIVES / "sub-01" / "func"
    image = nib.load(func / "sub-01_task-story_run-1_hemi-R_space-fsaverage5_bold.func.gii")
    confounds = pd.read_csv(func / "sub-01_task-story_run-1_desc-confounds_timeseries.tsv", sep="\t")
    data = image.agg_data()
    wall = truth["roi"].values[N_VERTICES:] == ""
    assert data.shape == (N_VERTICES, len(confounds))
    assert data.dtype == np.float32
    assert not data[wall].any()
    np.testing.assert_allclose(data[~wall].mean(axis=1), 100, atol=5)
    assert (data[~wall].std(axis=1) > 0.2).all()
    assert image.darrays[0].meta["TimeStep"] == "2500"


def test_confounds_are_those_of_fmriprep(study):
    path = study / DERIVATIVES / "sub-02" / "func" / "sub-02_task-story_run-2_desc-confounds_timeseries.tsv"
    raw = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    motion = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    assert {*motion, "framewise_displacement", "global_signal", "sound_power"} == set(raw)
    assert raw["framewise_displacement"][0] == "n/a"
    table = raw.iloc[1:].astype(float)
    moved = raw[motion].astype(float).diff().abs().iloc[1:]
    expected = moved[motion[:3]].sum(axis=1) + 50 * moved[motion[3:]].sum(axis=1)
    np.testing.assert_allclose(table["framewise_displacement"], expected, atol=1e-4)
    assert table["sound_power"].max() > 0
    assert np.isfinite(table).all(axis=None)


def test_events_lie_inside_the_run(study):
    counts = []
    for run in (1, 2):
        tables = [
            study / f"sub-{subject}" / "func" / f"sub-{subject}_task-story_run-{run}_events.tsv"
            for subject in ("01", "02")
        ]
        assert tables[0].read_bytes() == tables[1].read_bytes()
        events = pd.read_csv(tables[0], sep="\t")
        confounds = (
            study
            / DERIVATIVES
            / "sub-01"
            / "func"
            / f"sub-01_task-story_run-{run}_desc-confounds_timeseries.tsv"
        )
        end = len(pd.read_csv(confounds, sep="\t")) * SETTINGS.tr
        assert list(events) == ["onset", "duration", "trial_type", "word"]
        offset = events["onset"] + events["duration"]
        assert events["onset"].min() == pytest.approx(narration.SILENCE_BEFORE_S)
        assert (offset.iloc[:-1].to_numpy() <= events["onset"].iloc[1:].to_numpy() + 1e-6).all()
        assert 0 <= end - offset.iloc[-1] - narration.SILENCE_AFTER_S < SETTINGS.tr
        counts.append(len(events))
    parts = narration.STORY.read_text(encoding="utf-8").split("***")
    assert counts == [len(part.split()) for part in parts[:2]]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_story_is_told_at_the_pace_of_speech(seed):
    runs = narration.tell(4, 1.5, seed)
    assert [run.label for run in runs] == ["1", "2", "3", "4"]
    for run in runs:
        words = run.words
        assert 190 <= run.n_volumes <= 215
        assert 2.6 < len(words) / (words["onset"].iloc[-1] - words["onset"].iloc[0]) < 3.0
        gap = words["onset"].shift(-1) - words["onset"] - words["duration"]
        ends = words["word"].str[-1].isin(list(".?!"))
        assert gap[ends].median() > 2 * gap[words["word"].str[-1] == ","].median() > 0.1
        assert words["sentence"].diff().dropna().isin([0, 1]).all()
        assert not words["word"].str.contains('"').any()
        long = words["word"].str.len() > 7
        assert words["duration"][long].mean() > 1.5 * words["duration"][~long].mean()


def test_the_pipeline_reads_the_study(study, index, responses):
    items, events = read_stimuli(
        index, Dataset(path=str(study), task="story"), StimulusSource(), ["01", "02"]
    )
    told = narration.tell(2, SETTINGS.tr, SEED)
    assert items["text"].tolist() == [word for run in told for word in run.words["word"]]
    assert items["sentence"].tolist() == [number for run in told for number in run.words["sentence"]]
    assert len(events) == 2 * len(items)
    for found in responses:
        assert found.sizes["target"] == 2 * N_VERTICES
        assert found.attrs["tr"] == SETTINGS.tr


def test_regions_are_what_the_truth_says(study, truth):
    for place, hemi in enumerate("LR"):
        path = study / "derivatives" / "truth" / f"hemi-{hemi}_space-fsaverage5_desc-regions_dseg.label.gii"
        image = nib.load(path)
        names = image.labeltable.get_labels_as_dict()
        assert list(names.values()) == ["???", *planted.REGIONS]
        found = np.array([names[key].replace("???", "") for key in image.agg_data()])
        assert (found == truth["roi"].values.astype(str)[place * N_VERTICES :][:N_VERTICES]).all()


def test_truth_fits_the_targets_of_the_pipeline(truth, responses):
    for name in ("hemi", "vertex"):
        assert (truth[name].values == responses[0][name].values).all()
    assert (responses[0]["valid"].values == ~in_regions(truth, "")).all()
    assert truth["subject"].values.tolist() == ["01", "02"]
    assert truth.attrs["seed"] == SEED
    assert {"network", "description"} <= set(truth.attrs)


def test_regions_are_large_patches_of_both_hemispheres(truth):
    cortex = planted.open_cortex()
    assert 18_400 < (~cortex.wall).sum() < 19_000
    for name in ("wordrate", "noise"):
        inside = in_regions(truth, name)
        assert inside.sum() >= 1200
        for place in (0, 1):
            patch = np.flatnonzero(inside)
            patch = patch[patch // N_VERTICES == place]
            assert len(patch) >= 600
            assert connected_components(cortex.neighbours[patch][:, patch], directed=False)[0] == 1


def test_planted_depth_is_even_smooth_and_mirrored(truth):
    cortex = planted.open_cortex()
    depth = truth["depth"].values
    driven = in_regions(truth, *planted.DRIVEN)
    assert (np.isfinite(depth) == driven).all()
    share = np.histogram(depth[driven], 10, (0, 1))[0] / driven.sum()
    np.testing.assert_allclose(share, 0.1, atol=0.001)
    for third, name in enumerate(planted.DRIVEN):
        inside = depth[in_regions(truth, name)]
        assert third / 3 - 1e-3 <= inside.min() < inside.max() <= (third + 1) / 3 + 1e-3
    edges = cortex.neighbours.tocoo()
    both = driven[edges.row] & driven[edges.col]
    assert np.corrcoef(depth[edges.row[both]], depth[edges.col[both]])[0, 1] > 0.98
    left, right = depth[:N_VERTICES], depth[N_VERTICES:]
    twin = cKDTree(cortex.sphere[:N_VERTICES]).query(cortex.sphere[N_VERTICES:])[1]
    shared = np.isfinite(right) & np.isfinite(left[twin])
    assert 0.8 < np.corrcoef(right[shared], left[twin][shared])[0, 1] < 0.999


def test_ceilings_are_known_where_there_is_cortex(truth):
    ceiling = truth["ceiling"].values
    wall = in_regions(truth, "")
    assert np.isnan(ceiling[:, wall]).all()
    assert np.isfinite(ceiling[:, ~wall]).all()
    assert not ceiling[:, in_regions(truth, "noise")].any()
    driven = in_regions(truth, *planted.DRIVEN, "wordrate")
    assert (ceiling[:, driven] > 0.2).all()
    assert (ceiling[:, driven] < 0.99).all()
    assert ceiling[0, driven].mean() > ceiling[1, driven].mean()


def test_subjects_correlate_by_the_product_of_their_ceilings(truth, responses):
    first, second = (found["response"].values for found in responses)
    between = (first * second).mean(axis=0)
    expected = truth["ceiling"].values.prod(axis=0)
    driven = in_regions(truth, *planted.DRIVEN, "wordrate")
    assert between[driven].mean() == pytest.approx(expected[driven].mean(), abs=0.015)
    assert np.corrcoef(between[driven], expected[driven])[0, 1] > 0.85
    assert abs(between[in_regions(truth, "noise")].mean()) < 0.03


def test_word_rate_alone_drives_its_region(truth, responses):
    told = narration.tell(2, SETTINGS.tr, SEED)
    rate = np.concatenate(
        [planted.remove_drifts(planted.hear(run, np.ones((len(run.words), 1))), run.tr) for run in told]
    )
    rate = (rate / rate.std())[:, 0]
    for place, found in enumerate(responses):
        r = (found["response"].values * rate[:, None]).mean(axis=0)
        ceiling = truth["ceiling"].values[place]
        inside = in_regions(truth, "wordrate")
        assert r[inside].mean() == pytest.approx(ceiling[inside].mean(), abs=0.03)
        assert abs(r[in_regions(truth, "noise")].mean()) < 0.05


def test_only_layers_near_the_planted_depth_drive_a_vertex():
    rng = np.random.default_rng(0)
    run = narration.tell(2, 2.5, 0)[0]
    layer_depth = np.linspace(0, 1, 5)
    depth = np.array([0.0, 0.5, 1.0, np.nan])
    tuning = rng.standard_normal((5 * planted.COMPONENTS, 4))
    plan = planted.Plan(np.array(["shallow", "middle", "deep", "noise"], object), depth, np.ones(4), tuning)
    features = [rng.standard_normal((len(run.words), planted.COMPONENTS)) for _ in layer_depth]
    (signal,) = planted.plant(plan, [run], features, layer_depth)
    assert not signal[:, 3].any()
    for vertex, layer in enumerate((0, 2, 4)):
        weights = tuning[layer * planted.COMPONENTS : (layer + 1) * planted.COMPONENTS, vertex]
        alone = planted.hear(run, features[layer] @ weights)
        assert np.corrcoef(alone, signal[:, vertex])[0, 1] > 0.95
    np.testing.assert_allclose(planted.remove_drifts(signal, 2.5)[:, :3].var(axis=0), 1, rtol=1e-3)


def test_word_features_are_white():
    activations = np.random.default_rng(0).standard_normal((200, 30)) @ np.diag(np.arange(1, 31))
    features = whitened(activations, planted.COMPONENTS)
    np.testing.assert_allclose(features.T @ features / 200, np.eye(planted.COMPONENTS), atol=1e-9)
    np.testing.assert_allclose(features, whitened(activations * 3 + 1, planted.COMPONENTS), atol=1e-9)
    few = whitened(activations[:, :4], planted.COMPONENTS)
    assert few.shape == (200, planted.COMPONENTS)
    assert not few[:, 4:].any()


def test_a_word_is_heard_through_the_haemodynamic_response():
    words = pd.DataFrame(
        {"onset": [10.0], "duration": [0.3], "word": ["yes"], "sentence": [0], "loudness": [1.0]}
    )
    run = narration.Run("1", words, 60, 1.0)
    heard = planted.hear(run, np.ones((1, 1)))[:, 0]
    assert not heard[:10].any()
    assert heard.argmax() - 10 in (5, 6)
    assert heard.max() == pytest.approx(1, abs=0.02)
    assert heard[20:].min() < -0.02


def test_drifts_are_removed_and_the_rest_stays():
    seconds = np.arange(200) * 1.5 + 0.75
    slow, fast = (np.cos(2 * np.pi * hz * seconds)[:, None] for hz in (2 / 600, 0.05))
    assert np.abs(planted.remove_drifts(slow + 100, 1.5)).max() < 1e-9
    assert planted.remove_drifts(fast, 1.5).var() == pytest.approx(fast.var(), rel=0.02)
