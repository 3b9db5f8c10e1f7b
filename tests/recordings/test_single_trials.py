"""Single-trial estimates, against models written out in full and against nilearn's own."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import FirstLevelModel, compute_regressor

from neuroalign import stages
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import ConfigError, DataError
from neuroalign.recordings.check import problems
from neuroalign.recordings.single_trials import apply_weights, trial_weights

TR, N, START = 1.5, 160, 0.75
TIMES = START + TR * np.arange(N)
SHAPE = (3, 2, 2)


def make_events(rng, trials=30):
    return pd.DataFrame({"onset": 4 + np.arange(trials) * 7.1 + rng.uniform(0, 2, trials), "duration": 2.0})


def regressor(onsets):
    condition = (np.asarray(onsets, float), np.full(len(onsets), 2.0), np.ones(len(onsets)))
    return compute_regressor(condition, "glover", TIMES)[0][:, 0]


def cosines(high_pass):
    """The basis of slow cosines, written out (Ashburner & Friston): periods above 1 / high_pass."""
    order = int(np.floor(2 * N * high_pass * TR))
    return np.cos(np.pi * (np.arange(N)[:, None] + 0.5) * np.arange(1, order + 1) / N)


@pytest.fixture
def simulated(rng):
    """Time series (volume, target) of planted responses, drifts, confounds and noise."""
    events, confounds = make_events(rng), rng.standard_normal((N, 3))
    truth = 1 + rng.standard_normal((len(events), 8))
    single = np.column_stack([regressor([onset]) for onset in events["onset"]])
    drift = cosines(0.01) @ rng.standard_normal((cosines(0.01).shape[1], 8)) * 2
    data = 500 + single @ truth + drift + confounds @ rng.standard_normal((3, 8))
    return events, confounds, truth, data + 0.02 * rng.standard_normal(data.shape)


def settings(tree, glm, **responses):
    return tree.study("volume", responses={"samples": "trials", "glm": glm, **responses}).responses


def weights(tree, glm, events, confounds, **responses):
    return trial_weights(events, TIMES, confounds, settings(tree, glm, **responses), "run-1")


@pytest.mark.parametrize("glm", ["lss", "lsa"])
@pytest.mark.parametrize("high_pass", [0.01, None])
def test_equal_to_the_whole_model(tree, simulated, glm, high_pass):
    events, confounds, _, data = simulated
    nuisance = [confounds, np.ones((N, 1))] + ([cosines(high_pass)] if high_pass else [])
    onsets = events["onset"].to_numpy()
    if glm == "lsa":
        model = np.column_stack([*(regressor([onset]) for onset in onsets), *nuisance])
        expected = np.linalg.lstsq(model, data, rcond=None)[0][: len(onsets)]
    else:
        expected = np.stack(
            [
                np.linalg.lstsq(
                    np.column_stack([regressor([onset]), regressor(onsets[onsets != onset]), *nuisance]),
                    data,
                    rcond=None,
                )[0][0]
                for onset in onsets
            ]
        )
    made = apply_weights(weights(tree, glm, events, confounds, high_pass_hz=high_pass), data)
    np.testing.assert_allclose(made, expected, rtol=1e-3, atol=1e-4)


def test_planted_responses_are_found(tree, simulated):
    events, confounds, truth, data = simulated
    all_in_one = apply_weights(weights(tree, "lsa", events, confounds), data)
    np.testing.assert_allclose(all_in_one, truth, atol=0.25)
    separate = apply_weights(weights(tree, "lss", events, confounds), data)
    assert np.corrcoef(separate.ravel(), truth.ravel())[0, 1] > 0.9


def test_separate_models_are_steadier_for_trials_that_overlap(tree, rng):
    """Mumford 2012: with noise and little time between trials, one model of all is the noisier."""
    events = pd.DataFrame({"onset": 4 + np.arange(70) * 3.0, "duration": 1.0})
    truth = 1 + 0.3 * rng.standard_normal((70, 200))
    single = np.column_stack([regressor([onset]) for onset in events["onset"]])
    data = single @ truth + 0.4 * rng.standard_normal((N, 200))
    found = {glm: apply_weights(weights(tree, glm, events, np.zeros((N, 0))), data) for glm in ("lss", "lsa")}
    error = {glm: ((made - truth) ** 2).mean() for glm, made in found.items()}
    assert error["lss"] < error["lsa"]


def test_confounds_that_repeat_each_other_change_nothing(tree, simulated):
    events, confounds, _, data = simulated
    expected = apply_weights(weights(tree, "lsa", events, confounds), data)
    doubled = np.column_stack([confounds, confounds @ [1, 2, 3], np.ones(N), cosines(0.01)])
    np.testing.assert_allclose(
        apply_weights(weights(tree, "lsa", events, doubled), data), expected, rtol=1e-3, atol=1e-4
    )


def test_targets_without_a_response(tree, simulated):
    events, confounds, _, data = simulated
    data[:, 2], data[5, 4] = 7.0, np.nan
    made = apply_weights(weights(tree, "lss", events, confounds), data)
    assert list(np.flatnonzero(np.isnan(made).all(axis=0))) == [2, 4]
    assert np.isfinite(np.delete(made, [2, 4], axis=1)).all()


def test_one_trial_alone(tree, simulated):
    events, confounds, _, data = simulated
    one = events.iloc[[3]]
    made = [apply_weights(weights(tree, glm, one, confounds), data) for glm in ("lss", "lsa")]
    np.testing.assert_allclose(*made, rtol=1e-4)


def test_what_cannot_be_estimated(tree, simulated):
    events, confounds, _, _ = simulated
    late = events.assign(onset=[*events["onset"][:-1], N * TR + 5])
    with pytest.raises(DataError, match="run-1: no volume shows the response to the event at 245 s"):
        weights(tree, "lss", late, confounds)
    twice = events.assign(onset=[*events["onset"][:-1], events["onset"][3]])
    with pytest.raises(DataError, match="30 trials cannot be told apart in 160 volumes with 8 regressors"):
        weights(tree, "lsa", twice, confounds)
    assert np.isfinite(weights(tree, "lss", twice, confounds)).all()
    with pytest.raises(DataError, match="run-1: no events to estimate"):
        weights(tree, "lss", events.iloc[:0], confounds)


@pytest.fixture
def recorded(tree, simulated):
    """A run of fMRIPrep's, with events whose words are the trials."""
    events, confounds, truth, data = simulated
    path = tree.events("01", "1", [f"w{n}" for n in range(len(events))])
    events.assign(word=[f"w{n}" for n in range(len(events))]).to_csv(path, sep="\t", index=False)
    image = np.zeros((*SHAPE, N), np.float32)
    image.reshape(-1, N)[:8] = data.T
    bold = tree.volumes("01", "1", image, np.ones(SHAPE), tr=TR)
    tree.write(
        bold.with_name(bold.name.replace(".nii.gz", ".json")), {"RepetitionTime": TR, "StartTime": START}
    )
    tree.confounds("01", "1", pd.DataFrame(confounds, columns=["trans_x", "trans_y", "trans_z"]))
    return tree, bold, truth


def study(tree, glm, **responses):
    asked = {"samples": "trials", "glm": glm, "confounds": ["trans_*"], "standardize": False, **responses}
    return tree.study("volume", responses=asked, output=str(tree.root.parent / "out"))


def responses_of(asked):
    stages.index(asked)
    stages.stimuli(asked)
    stages.responses(asked, "01")
    return arrays.open_arrays(f"{asked.output}/{layout.RESPONSES.format(subject='01')}")


def test_equal_to_the_model_of_nilearn(recorded):
    tree, bold, truth = recorded
    asked = study(tree, "lsa")
    assert problems(asked) == []
    found = responses_of(asked)
    assert found.sizes["sample"] == len(truth)
    assert list(found["time_s"].to_numpy()) == list(range(len(truth)))
    assert (found.attrs["samples"], found.attrs["high_pass_hz"]) == ("trials", 0)
    assert found.attrs["n_excluded"] == 4
    assert "all trials in one model" in found.attrs["cleaning"]
    table = pd.read_csv(
        bold.with_name(bold.name.split("_space")[0] + "_desc-confounds_timeseries.tsv"), sep="\t"
    )
    events = pd.read_csv(tree.folder("01", raw=True) / "sub-01_task-story_run-1_events.tsv", sep="\t")
    model = FirstLevelModel(
        t_r=TR,
        slice_time_ref=START / TR,
        hrf_model="glover",
        drift_model="cosine",
        high_pass=0.01,
        noise_model="ols",
        mask_img=nib.Nifti1Image((np.arange(12) < 8).reshape(SHAPE).astype(np.uint8), tree.affine),
        signal_scaling=False,
        standardize=None,
        minimize_memory=False,
    )
    model.fit(str(bold), events=events.rename(columns={"word": "trial_type"}), confounds=table)
    voxels = tuple(found[axis].to_numpy()[:8] for axis in "ijk")
    for trial in (0, 11, 29):
        effect = model.compute_contrast(f"w{trial}", output_type="effect_size").get_fdata()
        np.testing.assert_allclose(found["response"][trial, :8], effect[voxels], rtol=2e-3, atol=2e-3)


def test_z_scored_by_default(recorded):
    found = responses_of(study(recorded[0], "lss", standardize=True))
    np.testing.assert_allclose(found["response"][:, :8].std(axis=0), 1, atol=1e-4)
    assert "each trial in a model of its own" in found.attrs["cleaning"]
    assert found.attrs["cleaning"].endswith("z-scored over trials.")


def test_check_looks_at_time_series(recorded):
    tree, bold, _ = recorded
    tree.volumes("01", "1", np.zeros((*SHAPE, 25), np.float32), np.ones(SHAPE), tr=TR)
    found = problems(study(tree, "lsa"))
    assert len(found) == 2
    assert f"{bold}: 25 volumes do not tell 30 trials apart; set responses.glm to lss" in found
    assert any("160 rows for 25 volumes" in line for line in found)


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        ({"samples": "time", "glm": "lss"}, "glm: lss estimates responses to trials; set samples: trials"),
        ({"samples": "trials", "glm": "lss", "trim_s": [4, 0]}, "trim_s does not go with glm"),
        ({"samples": "trials", "glm": "lsb"}, "did you mean 'ls"),
        ({"kind": "nsd", "glm": "lss"}, "glm does not go with kind nsd"),
    ],
)
def test_settings_that_do_not_fit(tree, responses, said):
    with pytest.raises(ConfigError) as caught:
        tree.study(responses.pop("kind", "volume"), responses=responses)
    assert said in str(caught.value)


def test_time_series_are_read_for_a_model(tree):
    assert settings(tree, "lss").file_suffix is None
    assert settings(tree, "lss").high_pass_hz == 0.01
