"""Features with times of their own: the same as by stimuli, as nilearn's regressors, and what is refused."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from nilearn.glm.first_level import compute_regressor

from neuroalign.activations import extract
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.evaluation.held_out import held_out
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.artefacts.arrays import build_responses, open_activations
from neuroalign.design.features import design_subject
from neuroalign.errors import ConfigError, DataError, NetworkError
from neuroalign.networks.own.courses import open_course
from neuroalign.networks.own.timed_features import course_problems
from neuroalign.planning.preflight import check
from neuroalign.settings.configfile import parse
from neuroalign.settings.design import Design, Lags, Nuisance
from neuroalign.settings.features import Features

RUNS, N, TR, WORDS, UNITS = ("run-1", "run-2"), 80, 1.5, 50, 3
PLAIN = Design(nuisance=Nuisance(word_rate=False))


@pytest.fixture
def words(rng):
    """Words of two runs with a vector each: events of a study, and the vectors (item, unit)."""
    onsets = np.sort(rng.uniform(2, N * TR - 10, (2, WORDS)), axis=1).round(3)
    events = pd.DataFrame(
        {
            "subject": "01",
            "session": "",
            "task": "story",
            "run": np.repeat(RUNS, WORDS),
            "onset": onsets.ravel(),
            "duration": rng.uniform(0.1, 0.6, 2 * WORDS).round(3),
            "item": np.arange(2 * WORDS),
        }
    )
    return events, rng.standard_normal((2 * WORDS, UNITS)).round(6)


def recorded(data, **about):
    """Responses (sample, target) of two runs."""
    samples = pd.DataFrame({"run": np.repeat(RUNS, N), "time_s": np.tile(np.arange(N) * TR, 2)})
    names = pd.DataFrame({"name": [f"t{place}" for place in range(data.shape[1])]})
    made = build_responses(
        data, samples, names, subject="01", kind="parcels", tr=TR, high_pass_hz=0.01, **about
    )
    made["confound_value"] = (("sample", "confound"), np.empty((len(data), 0), np.float32))
    return made


def save(path, onsets, values, durations=None):
    """Write one run in the format that the path's ending says."""
    table = pd.DataFrame(values, columns=[f"f{unit}" for unit in range(values.shape[1])])
    given = {} if onsets is None else {"onset": np.asarray(onsets)}
    given |= {} if durations is None else {"duration": np.asarray(durations)}
    kind = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if kind == ".tsv.gz":
        table.to_csv(path, sep="\t", index=False, header=False)
    elif kind in (".tsv", ".csv"):
        table.assign(**given).to_csv(path, sep="\t" if kind == ".tsv" else ",", index=False)
    elif kind == ".parquet":
        table.assign(**given).to_parquet(path)
    elif kind == ".npz":
        np.savez(path, features=values, **given)
    elif kind == ".npy":
        np.save(path, values)
    elif kind == ".h5":
        with h5py.File(path, "w") as file:
            file.update({"features": values, **given})
    else:
        group = zarr.open_group(path, mode="w")
        for name, array in {"features": values, **given}.items():
            group.create_array(name, data=np.asarray(array))
    return str(path)


def store(folder, settings, events, name="own"):
    items = pd.DataFrame({"item": [0], "modality": ["text"]})
    extract(settings, name, items, folder / f"{name}.activations.zarr", events=events)
    return open_activations(folder / f"{name}.activations.zarr")


def by_time(folder, events, values, ending="tsv"):
    """The same words as features over time: a file for every run, found by its label."""
    for place, run in enumerate(RUNS):
        rows = slice(place * WORDS, (place + 1) * WORDS)
        part = events.iloc[rows]
        save(folder / f"{run}.{ending}", part["onset"], values[rows], part["duration"])
    keys = {"duration": "duration"} if ending in ("npz", "h5", "zarr") else {}
    settings = Features(path=str(folder / f"run-{{run}}.{ending}"), onset="onset", **keys)
    return store(folder, settings, events)


@pytest.mark.parametrize("ending", ["tsv", "csv", "parquet", "npz", "h5", "zarr"])
def test_words_with_times_are_words_by_item(tmp_path, rng, words, ending):
    events, values = words
    network, responses = by_time(tmp_path, events, values, ending), recorded(rng.standard_normal((2 * N, 2)))
    for settings in (PLAIN, PLAIN.model_copy(update={"resample": "hrf"})):
        by_item = design_subject(responses, events, settings).features(values)
        found = design_subject(responses, events, settings, network=network).features(network.read(0))
        np.testing.assert_allclose(found, by_item, atol=1e-5)
        beside = design_subject(responses, events, settings, beside=[network])
        np.testing.assert_array_equal(beside.nuisance, found)
        assert beside.nuisance_names[0] == "own:features:0"


@pytest.mark.parametrize("features", ["impulse", "hold"])
def test_so_they_are_at_lags(tmp_path, rng, words, features):
    events, values = words
    settings = PLAIN.model_copy(update={"lags": Lags(features=features)})
    network, responses = by_time(tmp_path, events, values), recorded(rng.standard_normal((2 * N, 2)))
    by_item = design_subject(responses, events, settings).features(values)
    found = design_subject(responses, events, settings, network=network).features(network.read(0))
    np.testing.assert_allclose(found, by_item, atol=1e-6)


def test_word_rate_stays_that_of_the_words(tmp_path, rng, words):
    events, values = words
    network, responses = (
        by_time(tmp_path, events.iloc[::-1].sort_index(), values),
        recorded(rng.standard_normal((2 * N, 2))),
    )
    thinned = events[events.index % 2 == 0]
    alone = design_subject(responses, thinned, Design())
    beside = design_subject(responses, thinned, Design(), network=network)
    np.testing.assert_array_equal(beside.nuisance, alone.nuisance)
    assert beside.shown.runs[0].weights[0].shape == (N, WORDS)


def test_a_sine_at_a_rate_is_nilearns_regressor(tmp_path, rng, words):
    """20 rows a second, 2 s after the first volume: boxcars of 0.05 s whose heights are the sine."""
    rate, start = 20.0, 2.0
    times = start + np.arange(int((N * TR - 5) * rate)) / rate
    sine = np.sin(2 * np.pi * 0.04 * times)
    save(tmp_path / "both.npy", None, sine[:, None])
    settings = Features(path=str(tmp_path / "both.npy"), sampling_frequency_hz=rate, start_s=start)
    network = store(tmp_path, settings, words[0])
    design = Design(resample="hrf", filter=False, nuisance=Nuisance(word_rate=False))
    responses = recorded(rng.standard_normal((2 * N, 2)))
    found = design_subject(responses, words[0], design, network=network).features(network.read(0))[:N, 0]
    boxcars = np.stack([times, np.full(len(times), 1 / rate), sine])
    expected, _ = compute_regressor(boxcars, "glover", np.arange(N) * TR, oversampling=300)
    assert np.corrcoef(found, expected[:, 0])[0, 1] > 0.9995
    assert np.abs(found - expected[:, 0]).max() < 0.06 * np.abs(expected).max()


def test_a_planted_time_course_is_recovered_and_another_is_not(tmp_path, rng, words):
    events, _ = words
    courses = {}
    for name in ("heard", "other"):
        for place, _ in enumerate(RUNS):
            values = rng.standard_normal((int(N * TR * 2), 4))
            save(tmp_path / f"{name}_{place + 1}.npy", None, values)
        pattern = str(tmp_path / f"{name}_{{run}}.npy")
        courses[name] = store(tmp_path, Features(path=pattern, sampling_frequency_hz=2.0), events, name)
    blank = recorded(np.zeros((2 * N, 1)))
    signal = design_subject(blank, events, PLAIN, network=courses["heard"])
    signal = signal.features(courses["heard"].read(0)) @ rng.standard_normal((16, 6))
    responses = recorded(signal / signal.std(axis=0) + 0.5 * rng.standard_normal(signal.shape))
    r = {}
    for name, network in courses.items():
        scores, _ = evaluate(
            responses, events, network, PLAIN, FoldRidge(np.logspace(-2, 4, 7)), tmp_path / name, "same"
        )
        r[name] = float(scores["r"].mean())
    assert r["heard"] > 0.6
    assert abs(r["other"]) < 0.2


def test_one_file_with_a_column_of_runs(tmp_path, rng, words):
    events, values = words
    table = pd.DataFrame(values, columns=list("abc"))
    table = table.assign(time=events["onset"], last=events["duration"], run=events["run"].str[4:], kind="w")
    table.to_csv(tmp_path / "all.tsv", sep="\t", index=False)
    settings = Features(
        path=str(tmp_path / "all.tsv"), onset="time", duration="last", columns=("a", "[bc]"), start_s=-1.0
    )
    own = store(tmp_path, settings, events).own_events()
    np.testing.assert_allclose(own["onset"], events["onset"] - 1.0)
    np.testing.assert_array_equal(own["run"], events["run"])
    np.testing.assert_array_equal(own["item"], events["item"])
    with pytest.raises(NetworkError, match="no row of run-7 in its column 'run'"):
        store(tmp_path, settings, events.assign(run="run-7"))


def test_continuous_tables_of_bids_know_their_rate(tmp_path, rng, words):
    save(tmp_path / "a_stim.tsv.gz", None, rng.standard_normal((30, 2)))
    told = {"SamplingFrequency": 4, "StartTime": -1.5, "Columns": ["pitch", "power"]}
    (tmp_path / "a_stim.json").write_text(json.dumps(told))
    course = open_course(str(tmp_path / "a_stim.tsv.gz"), Features(path=str(tmp_path / "a_stim.tsv.gz")))
    np.testing.assert_allclose(course.onsets, -1.5 + np.arange(30) / 4)
    np.testing.assert_allclose(course.durations, 0.25)
    assert course.values.shape == (30, 2)
    one = Features(path=str(tmp_path / "a_stim.tsv.gz"), columns=("power",))
    assert open_course(one.path, one).values.shape == (30, 1)
    for wrong, said in (
        ({"SamplingFrequency": "often"}, "its rate is often"),
        ({"Columns": ["pitch"]}, "2 columns, but its sidecar"),
        ({"StartTime": None}, "its first row at None s"),
    ):
        (tmp_path / "a_stim.json").write_text(json.dumps(told | wrong))
        with pytest.raises(NetworkError, match=said):
            open_course(one.path, one)


def test_without_durations_rows_last_until_the_next_but_no_longer_than_words(tmp_path):
    save(tmp_path / "a.csv", [1.0, 1.5, 6.0], np.ones((3, 1)))
    course = open_course(str(tmp_path / "a.csv"), Features(path="a.csv", onset="onset"))
    np.testing.assert_allclose(course.durations, [0.5, 1.0, 1.0])


def test_the_same_file_in_two_runs_is_the_same_stimulus(tmp_path, rng, words):
    events, responses = words[0], recorded(rng.standard_normal((2 * N, 1)))
    values = rng.standard_normal((100, 2))
    for run in RUNS:
        save(tmp_path / f"{run}.npy", None, values)
    network = store(tmp_path, Features(path=str(tmp_path / "run-{run}.npy"), sampling_frequency_hz=1), events)
    with pytest.raises(DataError, match="all 2 runs share stimuli"):
        held_out(responses, events, network, PLAIN, 8.0)
    save(tmp_path / "run-2.npy", None, values + 1)
    network = store(tmp_path, Features(path=str(tmp_path / "run-{run}.npy"), sampling_frequency_hz=1), events)
    assert len(held_out(responses, events, network, PLAIN, 8.0)[0]) == 2


def test_rows_outside_the_recording_are_counted(tmp_path, rng, words):
    events, responses = words[0], recorded(rng.standard_normal((2 * N, 1)))
    for run in RUNS:
        save(tmp_path / f"{run}.tsv", [-30.0, -3.0, 5.0, N * TR + 5], rng.standard_normal((4, 2)))
    keys = {"path": str(tmp_path / "run-{run}.tsv"), "onset": "onset"}
    _, warnings = held_out(responses, events, store(tmp_path, Features(**keys), events), PLAIN, 8.0)
    assert [line.partition(";")[0] for line in warnings] == [
        "4 of 8 rows of the features own lie before or after the recording"
    ]
    late = store(tmp_path, Features(**keys, start_s=500), events, "late")
    with pytest.raises(DataError, match=r"all 4 rows of network late, from 470 to .* lie outside"):
        held_out(responses, events, late, PLAIN, 8.0)
    ends = {("01", run): N * TR for run in RUNS}
    assert course_problems(Features(**keys), events, ends) == []
    said = course_problems(Features(**keys, start_s=500), events, ends)
    assert len(said) == 2
    assert "run-1.tsv': all 4 rows, from 470 to" in said[0]


def test_the_average_subject_has_what_all_have(tmp_path, rng, words):
    events, responses = words[0], recorded(rng.standard_normal((2 * N, 1)))
    both = pd.concat([events, events.assign(subject="02")])
    for run in RUNS:
        for subject in ("01", "02"):
            save(tmp_path / f"{subject}_{run}.npy", None, rng.standard_normal((150, 2)))
    average = events.assign(subject="average")
    shared = Features(path=str(tmp_path / "01_run-{run}.npy"), sampling_frequency_hz=1)
    network = store(tmp_path, shared, both, "shared")
    assert design_subject(responses, average, PLAIN, network=network).features(network.read(0)).shape[1] == 8
    own = Features(path=str(tmp_path / "{subject}_run-{run}.npy"), sampling_frequency_hz=1)
    network = store(tmp_path, own, both, "each")
    with pytest.raises(DataError, match="features of sub-02 and sub-01 differ"):
        design_subject(responses, average, PLAIN, network=network)


TABLE = {"onset": [0.5, 1.0, 1.5], "duration": [0.1, 0.1, 0.1], "pitch": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    ("change", "keys", "said"),
    [
        ({"onset": [1.0, 0.5, 1.5]}, {}, "times do not ascend: row 2 is at 0.5 s, the one before at 1 s"),
        ({"onset": [0.5, "n/a", 1.5]}, {}, r"the time \('onset'\) of row 2 is not a finite number"),
        ({"onset": [0.5, "soon", 1.5]}, {}, "row 2 of column 'onset' is 'soon'"),
        ({"duration": [0.1, -2, 0.1]}, {}, "the duration of row 2 is -2 s; give 0 s or more"),
        ({"pitch": [1.0, "n/a", 3.0]}, {}, "row 2 of column 'pitch' is 'n/a'; features must be finite"),
        ({"word": ["a", "b", "c"]}, {}, "row 1 of column 'word' is 'a'; .*name the features in columns"),
        ({}, {"onset": "time"}, "no column 'time'; set onset, or sampling_frequency_hz"),
        ({}, {"duration": "lasts"}, "no column 'lasts'; set duration"),
        ({}, {"columns": ("pich",)}, "no column 'pich': did you mean 'pitch'"),
    ],
)
def test_tables_that_will_not_do_are_refused_in_one_line(tmp_path, words, change, keys, said):
    path = tmp_path / "run-1.tsv"
    pd.DataFrame(TABLE | change).to_csv(path, sep="\t", index=False)
    settings = Features(**{"path": str(path), "onset": "onset", **keys})
    for attempt in (lambda: open_course(str(path), settings), lambda: store(tmp_path, settings, words[0])):
        with pytest.raises(NetworkError, match=said) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert len(course_problems(settings, words[0], {})) == 1


def test_files_that_will_not_do_are_refused_in_one_line(tmp_path, rng, words):
    events = words[0]
    settings = Features(path=str(tmp_path / "run-{run}.npz"), onset="onset")
    save(tmp_path / "run-1.npz", np.arange(9.0), rng.standard_normal((9, 2)))
    said = course_problems(settings, events, {})
    assert said == [f"path: no file at '{tmp_path}/run-2.npz'; give an array (item, unit)"]
    save(tmp_path / "run-2.npz", np.arange(9.0), rng.standard_normal((9, 3)))
    assert "has 3 features" in course_problems(settings, events, {})[0]
    with pytest.raises(DataError, match=r"has 3 features, .* has 2; give the same ones in all runs"):
        store(tmp_path, settings, events)
    save(tmp_path / "run-2.npz", np.arange(8.0), rng.standard_normal((9, 2)))
    assert (
        "'onset' is float64 (8,); expected a time in seconds for each of 9"
        in course_problems(settings, events, {})[0]
    )
    save(tmp_path / "run-2.npz", np.arange(9.0), np.full((9, 2), np.nan))
    with pytest.raises(DataError, match="row 1 holds values that are not numbers"):
        store(tmp_path, settings, events)
    odd = Features(path=str(tmp_path / "{word}.npz"), onset="onset")
    assert "holds a field that is not known" in course_problems(odd, events, {})[0]


def test_the_config_says_what_goes_with_what():
    study = {"dataset": {"path": "x", "task": "t"}, "responses": {"kind": "parcels"}}

    def network(**keys):
        made = parse({**study, "networks": {"n": {"family": "features", **keys}}}).networks["n"]
        return made.onset, made.timed

    assert network(path="a_{run}.tsv") == ("onset", True)
    assert network(path="a_{run}.tsv", items="i.tsv") == (None, False)
    assert network(path="a_{run}.npy", sampling_frequency_hz=2) == (None, True)
    assert network(path="a_stim.tsv.gz") == (None, True)
    for keys, said in (
        ({"path": "a.npy"}, "sampling_frequency_hz or onset, which say when they are"),
        ({"path": "a.npy", "onset": "t"}, "holds one array without names"),
        ({"path": "a.npz", "onset": "t", "items": "i.tsv"}, "'items' says which stimulus a row is of"),
        ({"path": "a.npz", "onset": "t", "sampling_frequency_hz": 1}, "both say when rows are"),
        ({"path": "a.npz", "sampling_frequency_hz": 1, "duration": "d"}, "'duration' goes with 'onset'"),
        ({"path": "a.npz", "onset": "t", "columns": ["f"]}, "'columns' goes with a table"),
    ):
        with pytest.raises(ConfigError, match=said):
            network(**keys)
    trials = {**study, "responses": {"kind": "volume", "samples": "trials"}}
    timed = {"family": "features", "path": "a.npy", "sampling_frequency_hz": 2}
    with pytest.raises(ConfigError, match="features over time go with a time series"):
        parse({**trials, "networks": {"n": timed}})


def test_check_finds_what_is_wrong_before_anything_is_extracted(tree, rng):
    for subject in ("01", "02"):
        tree.events(subject)
        tree.parcels(subject, "1", pd.DataFrame(rng.standard_normal((20, 3)), columns=list("abc")))
    save(tree.root / "01.tsv", np.arange(30.0), rng.standard_normal((30, 2)))
    networks = {"own": {"family": "features", "path": str(tree.root / "{subject}.tsv")}}
    folds = {"folds": {"by": "block", "n": 2, "gap_s": 8}}
    study = tree.study(networks=networks, design=folds)
    problems, _ = check(study)
    assert problems == [f"networks.own: path: no file at '{tree.root}/02.tsv'; add it, or correct the path"]
    save(tree.root / "02.tsv", np.arange(30.0) + 41, rng.standard_normal((30, 2)))
    problems, _ = check(study)
    assert len(problems) == 1
    assert "all 30 rows, from 41 to 71 s, lie outside the recording of sub-02 run-1" in problems[0]
    assert "which ends at 40.5 s" in problems[0]
    save(tree.root / "02.tsv", np.arange(30.0), rng.standard_normal((30, 2)))
    problems, found = check(study)
    assert problems == []
    assert any("1 layers of" in line for line in found)
