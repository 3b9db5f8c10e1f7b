"""The stages of epochs on files: from fitted layers to the clusters and the timing of the group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from neuroalign import stages
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import ConfigError
from neuroalign.settings import configfile
from neuroalign.settings.config import Study
from neuroalign.stages import places

LATENCIES = np.arange(-3, 9) * 0.03
PEOPLE = ("01", "02", "03")
ITEMS, CHANNELS = 60, 10


def study_of(folder: Path, **inference: object) -> Study:
    raw = {
        "output": str(folder / "results"),
        "dataset": {"path": str(folder), "task": "look", "subjects": list(PEOPLE)},
        "networks": {"net": {"source": "nowhere", "untrained": False}},
        "responses": {"kind": "eeg", "samples": "trials"},
        "design": {"folds": {"n": 4}},
        "ridge": {"alphas": {"count": 7}},
        "inference": {"permutations": 199, "bootstraps": 50, **inference},
    }
    return configfile.parse(raw)


def at(study: Study, pattern: str, **wildcards: str) -> Path:
    return Path(study.output, pattern.format(**wildcards))


@pytest.fixture
def written(tmp_path, rng, epochs):
    """A study up to its activations: layer 1 is read from half of the channels after 100 ms."""

    def write(**inference: object) -> Study:
        study = study_of(tmp_path, **inference)
        values = rng.standard_normal((3, ITEMS, 4))
        profile = np.exp(-((LATENCIES - 0.12) ** 2) / (2 * 0.04**2))
        events = []
        for subject in PEOPLE:
            shown = rng.permutation(ITEMS)
            signal = np.zeros((ITEMS, CHANNELS))
            signal[:, :5] = values[1][shown] @ rng.standard_normal((4, 5)) / 2
            data = signal[:, :, None] * profile + rng.standard_normal((ITEMS, CHANNELS, len(LATENCIES)))
            made = epochs(data, LATENCIES, shown, subject).drop_vars("content")
            if subject == "01":
                made = made.assign_coords(x=made["x"].where(made["channel"] != made["channel"][-1]))
            arrays.save_arrays(made, at(study, layout.RESPONSES, subject=subject))
            table = pd.DataFrame({"run": "run-1", "onset": np.arange(ITEMS) * 2.0, "duration": 0.5})
            events.append(table.assign(subject=subject, item=shown, content=shown))
        arrays.save_table(pd.concat(events), at(study, layout.EVENTS))
        group = zarr.open_group(at(study, layout.ACTIVATIONS, network="net"), mode="w")
        about = {"layers": ["a", "b", "c"], "depth": [0.0, 0.5, 1.0], "complete": True}
        group.update_attributes(about)
        group.create_array("input", data=np.arange(ITEMS, dtype=np.uint64))
        for number, layer in enumerate(values):
            group.create_array(f"{arrays.layer_group(number)}/activation", data=layer)
        return study

    return write


def run(study: Study) -> None:
    made_for = {"network": "net", "encoder": "ridge"}
    stages.ceiling(study)
    for subject in PEOPLE:
        stages.fit(study, subject, **made_for)
        stages.inference(study, subject, **made_for)
        stages.summary(study, subject, **made_for)
        stages.timing(study, subject, **made_for)
    stages.group(study, **made_for)
    stages.timing_group(study, **made_for)


def test_from_fitted_layers_to_the_group(written):
    study = written(correction="cluster")
    run(study)
    made_for = {"network": "net", "encoder": "ridge"}
    group = arrays.open_arrays(at(study, layout.GROUP, **made_for))
    assert group.attrs["group_method"] == "stouffer"
    verdict = group["significant"].values.reshape(CHANNELS, -1)
    assert verdict[:5, 6:8].all()
    assert verdict[6:].mean() < 0.05
    assert "p_cluster" in group
    summary = arrays.open_arrays(at(study, layout.SUMMARY, subject="01", **made_for))
    assert "p_cluster" in summary
    assert not {"null_z", "score_z", "course", "course_boot"} & set(summary.variables)
    (said,) = np.atleast_1d(summary.attrs["warnings"])
    assert "1 of 10 channels of type eeg have no usable position" in said
    assert said in group.attrs["warnings"]
    assert {"channel", "channel_type", "latency"} <= set(summary.coords)
    timing = arrays.open_arrays(at(study, layout.TIMING_GROUP, **made_for))
    assert timing["peak"].values[1] == pytest.approx(0.12, abs=0.031)
    assert timing["identification_p"].values[6:8].max() < 0.05
    assert (timing.attrs["network"], timing.attrs["encoder"]) == ("net", "ridge")


def test_equal_studies_give_equal_timing(written, tmp_path):
    study = written()
    path = at(study, layout.TIMING, subject="01", network="net", encoder="ridge")
    made = []
    for _ in range(2):
        stages.fit(study, "01", "net", "ridge")
        stages.timing(study, "01", "net", "ridge")
        made.append(path.read_bytes())
    assert made[0] == made[1]


def test_epochs_alone_have_timing(tmp_path):
    study = study_of(tmp_path)
    files = places.timing_files(study)
    assert [path.name for path in files] == [
        *(f"sub-{subject}_network-net_encoder-ridge.nc" for subject in PEOPLE),
        "group_network-net_encoder-ridge.nc",
    ]
    volumes = study.model_copy(update={"responses": study.responses.model_copy(update={"kind": "volume"})})
    assert places.timing_files(volumes) == []


def test_clusters_of_volumes_are_refused_at_once(tmp_path):
    raw = study_of(tmp_path, correction="tfce").model_dump(mode="json")
    raw["responses"] = {"kind": "volume"}
    raw["design"] = {}
    with pytest.raises(ConfigError, match="tfce, which looks at neighbouring channels, but"):
        configfile.parse(raw)
