from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neuroalign import bids, stages
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import ConfigError, DataError
from neuroalign.planning import preflight
from neuroalign.recordings.check import problems
from neuroalign.recordings.fmri import read_responses
from neuroalign.recordings.formats import list_trials
from neuroalign.settings import configfile
from neuroalign.stages import starting

TRIALS, TARGETS = 7, 5


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "lab"
    (folder / "betas").mkdir(parents=True)
    for subject in ("01", "02"):
        for session in ("1", "2", "10"):
            save(folder, subject, session)
    return folder


def values(subject, session, n=TRIALS):
    return np.random.default_rng(100 * int(subject) + int(session)).standard_normal((n, TARGETS))


def save(folder, subject, session, data=None, **columns):
    stem = folder / "betas" / f"sub-{subject}_ses-{session}"
    data = values(subject, session) if data is None else data
    np.save(stem.with_suffix(".npy"), data)
    table = pd.DataFrame(columns or {"item": [f"images/{session}_{n}.png" for n in range(len(data))]})
    table.to_csv(stem.with_suffix(".tsv"), sep="\t", index=False)
    return stem


def study(root, dataset=None, **responses):
    pattern = "betas/sub-{subject}_ses-{session}"
    return configfile.parse(
        {
            "output": str(root.parent / "out"),
            "dataset": {
                "path": str(root),
                "task": "images",
                "subjects": ["01", "02"],
                **(dataset or {}),
            },
            "responses": {"kind": "array", "path": f"{pattern}.npy", "items": f"{pattern}.tsv", **responses},
            "networks": {"net": {"source": "nowhere"}},
        }
    )


def read(made, subject="01"):
    return read_responses(bids.index_study(made), made.dataset, made.responses, subject)


def test_sessions_are_runs_in_order(root):
    made = study(root, standardize=False)
    found = read(made)
    assert list(dict.fromkeys(found["run"].to_numpy())) == ["ses-1", "ses-2", "ses-10"]
    expected = np.concatenate([values("01", session) for session in ("1", "2", "10")])
    np.testing.assert_allclose(found["response"], expected, rtol=1e-6)
    assert list(found["name"].to_numpy()) == list("01234")
    assert (found.attrs["kind"], found.attrs["samples"], found.attrs["task"]) == (
        "parcels",
        "trials",
        "images",
    )
    trials = list_trials(made.dataset, made.responses, "01")
    assert list(trials["run"]) == list(found["run"].to_numpy())
    assert list(trials["trial"]) == list(found["time_s"].to_numpy())
    assert trials["uri"].iloc[TRIALS] == str(root / "images/2_0.png")


def test_sessions_can_be_chosen(root):
    assert set(read(study(root, {"session": "2"}))["run"].to_numpy()) == {"ses-2"}
    with pytest.raises(DataError, match=r"no file 'betas/sub-01_ses-\*\.npy' of session 5"):
        read(study(root, {"session": "5"}))


def test_a_table_divides_a_file_into_runs(root):
    runs = ["run-2", "2", "1", "2", "1", "1", "2"]
    for session in ("2", "10"):
        for ending in ("npy", "tsv"):
            (root / "betas" / f"sub-01_ses-{session}.{ending}").unlink()
    save(root, "01", "1", text=list("abcdefg"), run=runs)
    made = study(root, standardize=False)
    found = read(made)
    assert list(found["run"].to_numpy()) == ["ses-1_run-1"] * 3 + ["ses-1_run-2"] * 4
    np.testing.assert_allclose(found["response"], values("01", "1")[[2, 4, 5, 0, 1, 3, 6]], rtol=1e-6)
    trials = list_trials(made.dataset, made.responses, "01")
    assert "".join(trials["text"]) == "cefabdg"
    assert list(trials["trial"]) == [0, 1, 2, 0, 1, 2, 3]
    chosen = read(study(root, {"runs": ["02"]}))
    assert set(chosen["run"].to_numpy()) == {"ses-1_run-2"}


def test_tables_name_their_targets(root):
    for session in ("1", "2", "10"):
        table = pd.DataFrame(values("01", session), columns=list("vwxyz"))
        table.to_csv(root / f"ses-{session}.tsv", sep="\t", index=False)
    (root / "targets.tsv").write_text("name\troi\nz\tFFA\ny\tFFA\nx\tV1\nw\tV1\nv\t\n")
    found = read(study(root, path="ses-{session}.tsv", regions="targets.tsv"))
    assert list(found["name"].to_numpy()) == list("vwxyz")
    assert list(found["roi"].to_numpy()) == ["", "V1", "V1", "FFA", "FFA"]
    (root / "targets.tsv").write_text("name\troi\nz\tFFA\ny\tFFA\nx\tV1\nw\tV1\n")
    (line,) = problems(study(root, {"subjects": ["01"]}, path="ses-{session}.tsv", regions="targets.tsv"))
    assert line == f"{root}/targets.tsv: no row for target 'v' (1 lack one); add them"


def test_regions_in_order_name_the_targets_of_arrays(root):
    (root / "targets.tsv").write_text("name\troi\n" + "".join(f"v{n}\tV{n % 2}\n" for n in range(TARGETS)))
    found = read(study(root, regions="targets.tsv"))
    assert list(found["name"].to_numpy()) == ["v0", "v1", "v2", "v3", "v4"]
    assert list(found["roi"].to_numpy()) == ["V0", "V1", "V0", "V1", "V0"]
    (root / "targets.tsv").rename(root / "targets-02.tsv")
    own = read(study(root, regions="targets-{subject}.tsv"), "02")
    np.testing.assert_array_equal(own["roi"], found["roi"])


def test_stages_need_no_derivatives(root):
    made = study(root)
    assert problems(made) == []
    found, described = preflight.check(made)
    assert described[:3] == ["subjects: 2", "runs: 6", f"trials: {6 * TRIALS}"]
    images, network = found
    assert "images/10_0.png: no such file" in images
    assert "and 20 more" in images
    assert "nowhere" in network
    stages.index(made)
    stages.responses(made, "02")
    opened = arrays.open_arrays(root.parent / "out" / layout.RESPONSES.format(subject="02"))
    np.testing.assert_array_equal(opened["response"], read(made, "02")["response"])


def test_missing_images_are_named_beside_other_problems(root):
    save(root, "01", "1", values("01", "1")[:-1], item=[f"images/1_{n}.png" for n in range(TRIALS)])
    found, _ = preflight.check(study(root))
    assert any("6 trials, but its table of items lists 7" in line for line in found)
    assert any("images/10_0.png: no such file" in line and "and 20 more" in line for line in found)


def test_check_names_all_that_is_wrong(root):
    save(root, "01", "1", item=["a.png"] * (TRIALS - 1))
    save(root, "01", "2", np.array([{"betasmd": 1}], object))
    path = (root / "betas" / "sub-01_ses-10.npy").resolve()
    path.write_bytes(path.read_bytes()[:-8])
    save(root, "02", "1", values("02", "1")[:, 1:])
    (root / "betas" / "sub-02_ses-2.tsv").unlink()
    found = problems(study(root))
    assert len(found) == 4
    for part in [
        "sub-01_ses-2.npy: holds Python objects (pickle), which are never read",
        "sub-01_ses-10.npy: cannot be read",
        "sub-01_ses-1.npy: 7 trials, but its table of items lists 6",
        "sub-02 task-images ses-2: no file '",
    ]:
        assert sum(part in line for line in found) == 1, (part, found)
    save(root, "02", "2")
    assert any("targets, not those of 'sub-02_ses-1.npy' (4)" in line for line in problems(study(root)))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"image": ["a"] * TRIALS},
            "expected a column 'item' (image files) or 'text', one of them, got image",
        ),
        ({"item": ["a"] * TRIALS, "text": ["a"] * TRIALS}, "one of them, got item, text"),
        (
            {"item": ["a", " ", *"bcdef"], "run": ["1"] * TRIALS},
            "line 3: no item; say of every trial what was shown",
        ),
        ({"item": ["a"] * TRIALS, "run": ["1", *"1112", "a b", "2"]}, "line 7: run 'a b' is no label"),
    ],
)
def test_tables_that_do_not_say_what_was_shown(root, columns, said):
    stem = save(root, "01", "1", **columns)
    (line,) = problems(study(root, {"subjects": ["01"], "session": "1"}))
    assert line.startswith(f"{stem}.tsv: ")
    assert said in line


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        ({"path": None}, "kind array needs path: say where its files are"),
        ({"samples": "time"}, "an array does not say how many samples a second has"),
        ({"suffix": "bold"}, "suffix does not go with kind array, only with surface, volume, parcels"),
        ({"kind": "volume"}, "path does not go with kind volume, only with array, glmsingle"),
        ({"high_pass_hz": 0.02}, "high_pass_hz clean time series"),
    ],
)
def test_settings_that_do_not_fit(root, responses, said):
    with pytest.raises(ConfigError) as caught:
        study(root, **responses)
    assert said in str(caught.value)


def test_patterns_that_are_none(root):
    for pattern, said in [("{sub}.npy", "'{sub}' is not known: did you mean"), ("{run.npy", "is no pattern")]:
        (line,) = problems(study(root, {"subjects": ["01"]}, path=pattern))
        assert line.startswith("responses.path: ")
        assert said in line


def test_a_pattern_may_name_a_field_twice(root):
    for session, run, inside in [("1", "1", "1"), ("1", "02", "1"), ("2", "1", "2"), ("2", "1", "3")]:
        folder = root / f"ses-{session}"
        folder.mkdir(exist_ok=True)
        np.save(folder / f"[a] sub-01_ses-{inside}_run-{run}.npy", values("01", session)[: 2 + int(run)])
    np.save(root / "ses-1" / "[a] sub-01_ses-1_run-1_old.npy", values("01", "1"))
    (root / "all.tsv").write_text("text\na\nb\nc\n")
    pattern = "ses-{session}/[a] sub-{subject}_ses-{session}_run-{run}.npy"
    found = read(study(root, {"runs": ["01"]}, path=pattern, items="all.tsv"))
    assert list(found["run"].to_numpy()) == ["ses-1_run-1"] * 3 + ["ses-2_run-1"] * 3
    (line,) = problems(study(root, {"subjects": ["01"]}, path=pattern, items="all.tsv"))
    assert "ses-1/[a] sub-01_ses-1_run-02.npy: 4 trials, but its table of items lists 3" in line


def test_a_saved_config_reads_back(root):
    made = study(root)
    again = configfile.load(starting.save_config(made))
    assert again == made
