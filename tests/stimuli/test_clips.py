"""Files cut into steps: items, and the events of every presentation."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError
from neuroalign.planning import preflight
from neuroalign.settings import config, configfile
from neuroalign.stimuli.clips import steps
from neuroalign.stimuli.events import read_stimuli
from neuroalign.stimuli.recorded import check_recorded


@pytest.fixture
def heard(tmp_path, write_wav, rng):
    """Two subjects; story a lasts 1.7 s, b 1 s, and c is a under another name."""
    (tmp_path / "stimuli").mkdir()
    for name, seconds in (("a", 1.7), ("b", 1.0)):
        write_wav(tmp_path / "stimuli" / f"{name}.wav", rng.uniform(-0.5, 0.5, int(8000 * seconds)), 8000)
    shutil.copy(tmp_path / "stimuli" / "a.wav", tmp_path / "stimuli" / "c.wav")
    events(tmp_path, "01", "1", [(3.0, "n/a", "a.wav"), (10.0, "n/a", "b.wav")])
    events(tmp_path, "02", "1", [(1.0, 1.2, "c.wav"), (5.0, 0.0, "a.wav")])
    (tmp_path / "derivatives" / "fmriprep").mkdir(parents=True)
    return tmp_path


def events(root, subject, run, rows):
    folder = root / f"sub-{subject}" / "func"
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, columns=["onset", "duration", "stim_file"])
    table.to_csv(folder / f"sub-{subject}_task-hear_run-{run}_events.tsv", sep="\t", index=False)


def read(root, subjects=("01", "02"), look=None, **given):
    dataset = config.Dataset(path=str(root), task="hear")
    source = config.StimulusSource(modality=given.pop("modality", "audio"), **given)
    table = bids.index_dataset(root, dataset.derivatives, "hear")
    return read_stimuli(table, dataset, source, list(subjects), look)


def test_every_step_of_every_file_is_an_item(heard):
    items, _ = read(heard)
    assert list(items["item"]) == list(range(len(items)))
    of_a = items[items["uri"].str.endswith("a.wav")]
    np.testing.assert_allclose(of_a["start_s"], [0, 0.5, 1.0, 1.5])
    np.testing.assert_allclose(of_a["stop_s"], [0.5, 1.0, 1.5, 1.7])
    assert list(of_a["position"]) == [0, 1, 2, 3]
    assert list(of_a["passage"]) == [0] * 4
    assert items["passage"].nunique() == 3
    assert set(items["modality"]) == {"audio"}


def test_equal_steps_of_equal_files_are_equal(heard):
    items, shown = read(heard)
    a, c = (items[items["uri"].str.endswith(f"{name}.wav")] for name in "ac")
    assert list(a["digest"]) == list(c["digest"])
    assert items["digest"].nunique() == 6
    content = shown.groupby("item")["content"].first()
    assert content[a["item"].iloc[1]] == content[c["item"].iloc[1]] != content[a["item"].iloc[2]]


def test_events_follow_the_presentations(heard):
    items, shown = read(heard, ["01"])
    np.testing.assert_allclose(shown["onset"], [3, 3.5, 4, 4.5, 10, 10.5])
    np.testing.assert_allclose(shown["duration"], [0.5, 0.5, 0.5, 0.2, 0.5, 0.5])
    names = items["uri"].str[-5][shown["item"]]
    assert "".join(names) == "aaaabb"


def test_a_shorter_presentation_ends_where_the_events_say(heard, caplog):
    _, shown = read(heard, ["02"])
    np.testing.assert_allclose(shown["onset"], [1, 1.5, 2, 5, 5.5, 6, 6.5])
    np.testing.assert_allclose(shown["duration"], [0.5, 0.5, 0.2, 0.5, 0.5, 0.5, 0.2])
    assert "shown for 1.2 s of its 1.7 s in run-1 of sub-02" in caplog.text


def test_whole_files(heard):
    items, shown = read(heard, ["01"], step_s="whole")
    np.testing.assert_allclose(items["stop_s"], [1.7, 1.0])
    np.testing.assert_allclose(shown["duration"], [1.7, 1.0])
    assert list(shown["item"]) == [0, 1]


def test_steps_cover_a_file_without_gap_or_overlap(rng):
    for length, step in rng.uniform(0.05, 20, (200, 2)):
        cut = steps(length, step)
        assert cut[0, 0] == 0
        assert cut[-1, 1] == pytest.approx(length, abs=1e-3)
        np.testing.assert_array_equal(cut[1:, 0], cut[:-1, 1])
        assert (np.diff(cut, axis=1) > 0).all()
    assert len(steps(3.0000001, 0.5)) == 6


def test_a_quick_look_reads_no_content_but_finds_what_is_wrong(heard):
    items, _ = read(heard, look=check_recorded)
    assert set(items["digest"]) == {""}
    path = heard / "stimuli" / "b.wav"
    path.write_bytes(path.read_bytes()[:5000])
    (heard / "stimuli" / "c.wav").unlink()
    with pytest.raises(DataError, match=r"b\.wav: its header says.*and 1 more files like it") as caught:
        read(heard, look=check_recorded)
    assert "\n" not in str(caught.value)


def study(root, **sections):
    return configfile.parse(
        {
            "dataset": {"path": str(root), "task": "hear", "subjects": ["01"]},
            "stimuli": {"modality": "audio", **sections.pop("stimuli", {})},
            "networks": {"net": {"source": "nowhere"}},
            "responses": {"kind": "parcels", **sections.pop("responses", {})},
            **sections,
        }
    )


def test_a_trial_is_a_whole_file_and_steps_are_no_words(heard):
    in_time = study(heard)
    assert (in_time.stimuli.step_s, in_time.design.nuisance.word_rate) == (0.5, False)
    trials = study(heard, responses={"samples": "trials"})
    assert trials.stimuli.step_s == "whole"
    assert configfile.parse(trials.model_dump(mode="json")) == trials
    with pytest.raises(ConfigError, match=r"step_s is 0\.5, but responses\.samples is trials"):
        study(heard, responses={"samples": "trials"}, stimuli={"step_s": 0.5})
    with pytest.raises(ConfigError, match="a TextGrid holds words, no files"):
        study(heard, stimuli={"source": "textgrid", "path": "a.TextGrid"})


def test_check_tells_of_damaged_files(heard):
    folder = heard / "derivatives" / "fmriprep" / "sub-01" / "func"
    folder.mkdir(parents=True)
    values = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    values.to_csv(folder / "sub-01_task-hear_run-1_atlas-six_timeseries.tsv", sep="\t", index=False)
    (folder / "sub-01_task-hear_run-1_atlas-six_timeseries.json").write_text('{"RepetitionTime": 2.0}')
    assert "stimuli: 6, shown 6 times in all" in preflight.check(study(heard))[1]
    (heard / "stimuli" / "b.wav").write_text("no sound")
    problems, _ = preflight.check(study(heard))
    assert any("b.wav: not sound or video" in problem for problem in problems)
