"""Stimuli predicted from recordings: planted ones come back, others do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neuroalign import stages
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import ConfigError
from neuroalign.settings import configfile
from neuroalign.stages import places

RATE, LENGTH = 32, 600


@pytest.fixture
def study(tmp_path):
    """Six channels that hear feature 0 five samples later, mixed with noise; feature 1 is heard by nobody."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal(6)
    for run in ("1", "2", "3"):
        features = rng.standard_normal((LENGTH, 2))
        features[1:] += features[:-1]
        heard = np.zeros(LENGTH)
        heard[5:] = features[:-5, 0]
        response = heard[:, None] * mixing + rng.standard_normal((LENGTH, 6))
        np.save(tmp_path / f"run-{run}_features.npy", features)
        np.save(tmp_path / f"sub-01_run-{run}.npy", response)
    return configfile.parse(
        {
            "output": str(tmp_path / "out"),
            "dataset": {"path": str(tmp_path), "task": "listen", "subjects": ["01"]},
            "networks": {"sound": {"family": "features", "path": str(tmp_path / "run-{run}_features.npy")}},
            "responses": {
                "kind": "array",
                "samples": "time",
                "path": "sub-{subject}_run-{run}.npy",
                "sensors": {"sampling_hz": RATE},
            },
            "design": {"lags": {"start_s": 0.0, "stop_s": 0.25, "backward": True, "components": None}},
            "group": False,
        }
    )


def prepared(study):
    stages.index(study)
    stages.stimuli(study)
    stages.activations(study, "sound")
    stages.responses(study, "01")


def test_what_was_heard_comes_back(study):
    prepared(study)
    stages.reconstruction(study, "01", "sound")
    place = layout.RECONSTRUCTION.format(subject="01", network="sound")
    found = arrays.open_arrays(f"{study.output}/{place}")
    r = found["r"].mean("fold").values[0]
    assert r[0] > 0.8
    assert abs(r[1]) < 0.1
    assert found.sizes["fold"] == 3


def test_it_is_refused_where_it_was_not_asked_for(study):
    raw = study.model_dump(mode="json")
    raw["design"]["lags"]["backward"] = False
    quiet = configfile.parse(raw)
    with pytest.raises(ConfigError, match="backward is not set"):
        stages.reconstruction(quiet, "01", "sound")
    assert places.reconstruction_files(quiet) == []


def test_the_table_of_events_is_one_per_sample(study):
    prepared(study)
    events = pd.read_parquet(f"{study.output}/{layout.EVENTS}")
    assert len(events) == 3 * LENGTH
    assert events["item"].is_unique
