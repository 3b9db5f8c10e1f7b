"""MEG and intracranial recordings: the same way from BIDS to responses."""

from __future__ import annotations

import warnings

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest

from neuroalign import bids
from neuroalign.recordings.check import problems
from neuroalign.recordings.meeg.responses import read_sensors
from neuroalign.settings import configfile
from neuroalign.stimuli.events import read_stimuli
from tests.recordings.meeg.conftest import EVERY_S, FIRST_S, RATE, WORDS, bump

TYPES = {"meg": ["mag", "grad", "grad", "eog"], "ieeg": ["seeg", "seeg", "ecog", "eog"]}


@pytest.fixture(params=["meg", "ieeg"])
def recorded(request, tmp_path):
    """A run whose second channel answers to every word; places are known."""
    kind, rng = request.param, np.random.default_rng(0)
    times = np.arange(round(RATE * (FIRST_S + EVERY_S * len(WORDS)))) / RATE
    data = 1e-13 * rng.standard_normal((4, len(times)))
    onsets = FIRST_S + EVERY_S * np.arange(len(WORDS))
    for number, onset in enumerate(onsets):
        data[1] += 1e-11 * (number + 1) * bump(times - onset)
    info = mne.create_info(["A1", "A2", "A3", "EOG"], RATE, TYPES[kind])
    with info._unlock():
        info["line_freq"] = 50
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.eye(4)) if kind == "meg" else None
        for number, channel in enumerate(info["chs"][:3]):
            channel["loc"][:12] = [0.03 * number, 0.02, 0.05, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    raw = mne.io.RawArray(data, info, verbose="error")
    path = mne_bids.BIDSPath(subject="01", task="read", run="1", root=tmp_path / "lab", datatype=kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "ieeg":
            places = {name: info["chs"][number]["loc"][:3] for number, name in enumerate(["A1", "A2", "A3"])}
            raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="mni_tal"), on_missing="ignore")
        wanted = "FIF" if kind == "meg" else "BrainVision"
        mne_bids.write_raw_bids(raw, path, format=wanted, allow_preload=True, overwrite=True, verbose="error")
    table = pd.DataFrame({"onset": onsets, "duration": 0.5, "trial_type": "word", "word": WORDS})
    stem = tmp_path / "lab" / "sub-01" / kind / "sub-01_task-read_run-1"
    table.to_csv(f"{stem}_events.tsv", sep="\t", index=False)
    return kind, tmp_path


def test_trials_are_read_with_types_and_places(recorded):
    kind, folder = recorded
    study = configfile.parse(
        {
            "output": str(folder / "out"),
            "dataset": {"path": str(folder / "lab"), "task": "read"},
            "responses": {
                "kind": kind,
                "standardize": False,
                "sensors": {"band_hz": [None, None], "resample_hz": None, "baseline_s": None},
            },
            "networks": {"net": {"source": "nowhere"}},
        }
    )
    assert problems(study) == []
    index = bids.index_study(study)
    _, events = read_stimuli(index, study.dataset, study.stimuli, ["01"])
    responses = read_sensors(index, study.dataset, study.responses, "01", events)
    n = responses.attrs["n_latencies"]
    assert responses["channel_type"].values[::n].tolist() == TYPES[kind][:3]
    values = responses["response"].values.reshape(len(WORDS), 3, n)
    latency = responses["latency"].values[:n]
    assert latency[values[-1, 1].argmax()] == pytest.approx(0.15, abs=0.011)
    size = values[:, 1].max(axis=1) / values[0, 1].max()
    np.testing.assert_allclose(size, np.arange(1, len(WORDS) + 1), rtol=0.05)
    assert np.isfinite(responses["x"].values).all()
    assert responses.attrs["montage"] == "digitised"
