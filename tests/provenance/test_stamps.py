"""What an artefact says of the files it was made from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from neuroalign.artefacts import layout
from neuroalign.cli import main
from neuroalign.provenance.stamps import file_digest, read_stamp


def test_responses_name_what_their_job_waits_for_and_nothing_else(tree, tmp_path):
    """Of time series these are the files of the dataset; whether words are there by then is chance."""
    tree.events("01")
    tree.parcels("01", "1", pd.DataFrame(np.random.default_rng(0).standard_normal((40, 3))))
    config = tmp_path / "study.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "output": str(tmp_path / "out"),
                "dataset": {"path": str(tree.root), "task": "story"},
                "responses": {"kind": "parcels"},
                "networks": {"net": {"source": "nowhere"}},
            }
        )
    )
    found = []
    for stages in (["index"], ["stimuli"]):
        assert main([*stages, str(config)]) == 0
        assert main(["responses", str(config), "--subject", "01"]) == 0
        made = tmp_path / "out" / layout.RESPONSES.format(subject="01")
        found.append((read_stamp(made)["inputs"], made.read_bytes()))
    assert found[0] == found[1]
    assert found[0][0] == {layout.INDEX: file_digest(tmp_path / "out" / layout.INDEX)}


def test_a_file_that_is_not_there_has_no_digest(tmp_path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "nothing.nc")
