"""The stages that compare prompts, on files: what one writes maps and the workflow find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from neuroalign import stages
from neuroalign.alignment.prompts.partition import KeptLayers
from neuroalign.artefacts import arrays, layout
from neuroalign.errors import ConfigError
from neuroalign.settings import configfile
from neuroalign.settings.config import Study
from neuroalign.stages import asked, places

PEOPLE = ("01", "02")
PROMPTS = {"plain": "", "poem": "A poem:"}


@pytest.fixture(scope="module")
def study(heard, tmp_path_factory) -> Study:
    """Two listeners up to the comparison of two prompts; the second prompt's units say nothing."""
    folder = tmp_path_factory.mktemp("study")
    made = configfile.parse(
        {
            "output": str(folder / "results"),
            "dataset": {"path": str(folder), "task": "story", "subjects": list(PEOPLE)},
            "networks": {"net": {"source": "nowhere", "untrained": False, "prompts": PROMPTS}},
            "responses": {"kind": "parcels"},
            "ridge": {"alphas": {"count": 5}},
            "inference": {"permutations": 99},
        }
    )
    people = {name: heard(seed, name) for seed, name in enumerate(PEOPLE)}
    for name, each in people.items():
        arrays.save_arrays(each.responses, at(made, layout.RESPONSES, subject=name))
    arrays.save_table(pd.concat([each.events for each in people.values()]), at(made, layout.EVENTS))
    first, rng = people["01"].activations, np.random.default_rng(3)
    for name in ("netPlain", "netPoem"):
        group = zarr.open_group(at(made, layout.ACTIVATIONS, network=name), mode="w")
        group.update_attributes(
            {"layers": list(first.layers), "depth": first.depth.tolist(), "complete": True}
        )
        group.create_array("input", data=first.inputs)
        for number, values in enumerate(first.values):
            said = values if name == "netPlain" else rng.permuted(values, axis=0)
            group.create_array(f"{arrays.layer_group(number)}/activation", data=said)
        for subject in PEOPLE:
            stages.fit(made, subject, name, "ridge")
    for subject in PEOPLE:
        stages.prompts(made, subject, "net")
    stages.prompts_group(made, "net")
    return made


def at(study: Study, pattern: str, **wildcards: str) -> Path:
    return Path(study.output, pattern.format(**wildcards))


def test_files_are_where_the_workflow_expects_them(study):
    assert asked.prompted_networks(study) == ["net"]
    files = places.prompt_files(study)
    assert [path.name for path in files] == [
        "sub-01_network-net_encoder-ridge.nc",
        "sub-02_network-net_encoder-ridge.nc",
        "group_network-net_encoder-ridge.nc",
    ]
    assert all(path.is_file() for path in files)
    for path in files:
        found = arrays.open_arrays(path)
        driven = np.char.startswith(found["name"].values.astype(str), "block")
        assert (found["preferred"].values[driven] == 0).all()
        assert found["significant"].values[driven].mean() > 0.8
        assert (found["unique"].values[0, driven] > found["unique"].values[1, driven] + 0.1).all()


def test_maps_are_derivatives_with_levels(study):
    from neuroalign.maps.derivatives import write_maps

    comparisons = [arrays.open_arrays(path) for path in places.prompt_files(study)]
    folder = at(study, layout.MAPS)
    written = write_maps(comparisons, folder, "prompts")
    assert len(written) == 3
    assert (
        str(written[0].relative_to(folder))
        == "sub-01/func/sub-01_task-story_stat-prompts_desc-net_statmap.tsv"
    )
    table = pd.read_csv(written[0], sep="\t", na_values="n/a")
    sidecar = json.loads(written[0].with_suffix(".json").read_text())
    assert sidecar["preferredPrompt"]["Levels"] == {"1": "plain: ", "2": "poem: A poem:"}
    assert sidecar["Prompts"] == PROMPTS
    assert sidecar["Sources"] == ["bids:study:prompts/sub-01_network-net_encoder-ridge.nc"]
    np.testing.assert_allclose(
        table["uniqueR2ByPrompt:poem"], comparisons[0]["unique"].values[1], rtol=1e-4, atol=1e-6
    )
    shown = comparisons[0]["significant"].values
    np.testing.assert_array_equal(table["preferredPrompt"].notna(), shown)
    np.testing.assert_array_equal(
        table["preferredPrompt"][shown], comparisons[0]["preferred"].values[shown] + 1
    )


def test_equal_studies_give_equal_bytes(study):
    path = places.prompt_files(study)[0]
    before = path.read_bytes()
    stages.prompts(study, "01", "net")
    assert path.read_bytes() == before


class Stop(Exception):
    """The job is cut short."""


def test_a_killed_comparison_goes_on_with_the_next_layer(study, monkeypatch):
    path = places.prompt_files(study)[0]
    before, write = path.read_bytes(), KeptLayers.write
    written, most = [], [1000]

    def counted(self, layer, r2):
        if len(written) == most[0]:
            raise Stop
        written.append(layer)
        write(self, layer, r2)

    monkeypatch.setattr(KeptLayers, "write", counted)
    stages.prompts(study, "01", "net")
    layers = list(written)
    assert len(layers) > 1
    path.unlink()
    written.clear()
    most[0] = 1
    with pytest.raises(Stop):
        stages.prompts(study, "01", "net")
    partial = path.with_suffix(".partial")
    assert [one.name for one in partial.iterdir()] == [f"layer-{layers[0]:03d}.nc"]
    assert not path.exists()
    written.clear()
    most[0] = 1000
    stages.prompts(study, "01", "net")
    assert written == layers[1:], "the first layer is not fitted again"
    assert path.read_bytes() == before
    assert not partial.exists()


def test_layers_of_other_settings_are_fitted_again(tmp_path):
    r2 = np.arange(12.0).reshape(3, 2, 2)
    KeptLayers(tmp_path, "one").write(3, r2)
    np.testing.assert_array_equal(KeptLayers(tmp_path, "one").read(3), r2)
    assert KeptLayers(tmp_path, "two").read(3) is None
    assert KeptLayers(tmp_path, "one").read(4) is None


def test_a_network_without_prompts_is_refused(study):
    with pytest.raises(ConfigError, match="no network with several prompts 'netPlain'"):
        stages.prompts(study, "01", "netPlain")
    assert asked.prompted_networks(study.model_copy(update={"encoders": ("banded_ridge",)})) == []
