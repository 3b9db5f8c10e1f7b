"""The stages of cross-attention and of the stack on files: what one writes the next reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from neuroalign import stages
from neuroalign.artefacts import arrays, layout
from neuroalign.settings import configfile
from neuroalign.settings.config import Study

ENCODERS = ["ridge", "cross_attention", "stack"]
PEOPLE = ("01", "02")

pytestmark = pytest.mark.usefixtures("one_thread")


def written(folder: Path, heard, **attention: object) -> Study:
    """A study of two listeners up to its activations, with few training steps."""
    quick = {"window_s": 8, "width": 8, "embedding": 8, "steps": 20, "layers": ["block.1"], **attention}
    study = configfile.parse(
        {
            "output": str(folder / "results"),
            "dataset": {"path": str(folder), "task": "story", "subjects": list(PEOPLE)},
            "networks": {"net": {"source": "nowhere", "untrained": False}},
            "responses": {"kind": "parcels"},
            "ridge": {"alphas": {"count": 5}},
            "encoders": ENCODERS,
            "cross_attention": quick,
            "inference": {"permutations": 99},
        }
    )
    people = {name: heard(seed, name) for seed, name in enumerate(PEOPLE)}
    for name, each in people.items():
        arrays.save_arrays(each.responses, at(study, layout.RESPONSES, subject=name))
    arrays.save_table(pd.concat([each.events for each in people.values()]), at(study, layout.EVENTS))
    first = people["01"].activations
    group = zarr.open_group(at(study, layout.ACTIVATIONS, network="net"), mode="w")
    group.update_attributes({"layers": list(first.layers), "depth": first.depth.tolist(), "complete": True})
    for name, values in [
        ("input", first.inputs),
        *((f"{arrays.layer_group(n)}/activation", v) for n, v in enumerate(first.values)),
    ]:
        group.create_array(name, data=values)
    return study


def at(study: Study, pattern: str, **wildcards: str) -> Path:
    return Path(study.output, pattern.format(**wildcards))


def scores_of(study: Study, subject: str, encoder: str) -> xr.Dataset:
    return arrays.open_arrays(at(study, layout.SCORES, subject=subject, network="net", encoder=encoder))


def test_three_encoders_from_fit_to_group(heard, tmp_path):
    study = written(tmp_path, heard)
    for encoder in ENCODERS:
        for subject in PEOPLE:
            for network in ("nuisance", "net"):
                stages.fit(study, subject, network, encoder)
            stages.inference(study, subject, "net", encoder)
    stages.ceiling(study)
    for encoder in ENCODERS:
        for subject in PEOPLE:
            stages.summary(study, subject, "net", encoder)
        stages.group(study, "net", encoder)
        group = arrays.open_arrays(at(study, layout.GROUP, network="net", encoder=encoder))
        assert np.isfinite(group["chosen_r"].values).all()
        assert ("alpha" in group.coords) == (encoder == "ridge")
    attended, mixed = (scores_of(study, "01", encoder) for encoder in ENCODERS[1:])
    assert attended["source_layer"].values.tolist() == ["block.1"]
    assert (attended.attrs["encoder"], mixed.attrs["encoder"]) == ("cross_attention", "stack")
    assert attended["fold"].values.tolist() == scores_of(study, "01", "ridge")["fold"].values.tolist()
    assert not list(Path(study.output, "scores").glob("*.partial")), "nothing is left behind"


def test_one_network_writes_the_scores_of_all(heard, tmp_path):
    study = written(tmp_path, heard, universal=True)
    stages.joint(study, "net", "cross_attention")
    for subject in PEOPLE:
        scores = scores_of(study, subject, "cross_attention")
        assert (scores.attrs["subject"], scores.attrs["universal"]) == (subject, 1)
        assert np.isfinite(scores["chosen_r"].values).all()
    assert not list(Path(study.output, "scores").glob("*.partial"))


def test_equal_studies_give_equal_bytes(heard, tmp_path):
    made = []
    for name in ("one", "two"):
        study = written(tmp_path / name, heard)
        stages.fit(study, "01", "net", "cross_attention")
        found = at(study, layout.SCORES, subject="01", network="net", encoder="cross_attention")
        made.append(found.read_bytes())
    assert made[0] == made[1]
