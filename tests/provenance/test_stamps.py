"""What an artefact says of the files it was made from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from neuroalign.artefacts import layout
from neuroalign.cli import main
from neuroalign.provenance.stamps import file_digest, read_stamp


def study(tree, tmp_path, **more):
    """A config of one person who heard a story in three runs."""
    rng = np.random.default_rng(0)
    for run in ("1", "2", "3"):
        tree.events("01", run, words=[f"w{run}{n}" for n in range(20)])
        tree.parcels("01", run, pd.DataFrame(rng.standard_normal((40, 3))))
    raw = {
        "output": str(tmp_path / "out"),
        "dataset": {"path": str(tree.root), "task": "story"},
        "responses": {"kind": "parcels"},
        "networks": {"net": {"source": "nowhere"}},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw | more))
    return str(path)


def test_responses_name_what_their_job_waits_for_and_nothing_else(tree, tmp_path):
    """Of time series these are the files of the dataset; whether words are there by then is chance."""
    config = study(tree, tmp_path)
    found = []
    for stages in (["index"], ["stimuli"]):
        assert main([*stages, config]) == 0
        assert main(["responses", config, "--subject", "01"]) == 0
        made = tmp_path / "out" / layout.RESPONSES.format(subject="01")
        found.append((read_stamp(made)["inputs"], made.read_bytes()))
    assert found[0] == found[1]
    assert found[0][0] == {layout.INDEX: file_digest(tmp_path / "out" / layout.INDEX)}


def test_what_controls_a_stack_is_fitted_anew_and_mixes_nothing(tree, tmp_path):
    config = study(tree, tmp_path, encoders=["ridge", "cross_attention", "stack"])
    fit = ["fit", config, "--subject", "01", "--network", layout.NUISANCE, "--encoder", "stack"]
    for command in (["index", config], ["stimuli", config], ["responses", config, "--subject", "01"], fit):
        assert main(command) == 0
    made_for = {"subject": "01", "network": layout.NUISANCE, "encoder": "stack"}
    made = read_stamp(tmp_path / "out" / layout.SCORES.format(**made_for))
    assert set(made["inputs"]) == {layout.RESPONSES.format(subject="01"), layout.EVENTS}


def test_a_file_that_is_not_there_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "nothing.nc")
