"""Which settings and sources make a stage run again."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from neuroalign import configfile, triggers

STUDY: dict[str, Any] = {
    "simulate": {"subjects": 2},
    "dataset": {"path": "bids", "task": "story"},
    "networks": {"a": {"source": "folder"}, "b": {"source": "other"}},
    "responses": {"kind": "surface", "space": "fsaverage5"},
}


def changed(key: str, value: object) -> set[str]:
    """Stages whose settings digest differs once one dotted key of the study is set."""
    raw = copy.deepcopy(STUDY)
    *path, last = key.split(".")
    section = raw
    for part in path:
        section = section.setdefault(part, {})
    section[last] = value
    before, after = configfile.parse(STUDY), configfile.parse(raw)
    return {
        f"{stage} {network}" if network else stage
        for stage in triggers.READS
        for network in (before.all_networks() if stage == "activations" else [None])
        if triggers.settings_digest(before, stage, network) != triggers.settings_digest(after, stage, network)
    } - {"report"}


EXTRACTIONS = {"activations a", "activations auntrained", "activations b", "activations buntrained"}


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("design.delays", [2, 4], {"fit"}),
        ("design.folds.by", "run", set()),
        ("ridge.alphas.count", 5, {"fit"}),
        ("ceiling.bootstraps", 100, {"ceiling"}),
        ("inference.permutations", 100, {"inference", "group"}),
        ("responses.high_pass_hz", 0.02, {"responses"}),
        ("responses.average", True, set()),
        ("dataset.subjects", ["01"], {"stimuli"}),
        ("dataset.task", "other", {"simulate", "index", "stimuli", "responses"}),
        ("stimuli.passage", "sentence", {"stimuli"}),
        ("networks.a.context", 8, {"simulate", "activations a", "activations auntrained"}),
        ("networks.a.layers", ["embeddings"], {"activations a", "activations auntrained"}),
        ("networks.b.context", 8, {"activations b", "activations buntrained"}),
        ("networks.a.sha256", "53aa", {"simulate", "activations a"}),
        ("simulate.noise", [1.0], {"simulate"}),
        ("seed", 1, {"simulate", "fit", "ceiling", "inference", "group"} | EXTRACTIONS),
        ("title", "another", {"maps"}),
        ("output", "elsewhere", set()),
    ],
)
def test_a_key_changes_the_digests_of_the_stages_that_read_it(
    key: str, value: object, stages: set[str]
) -> None:
    assert changed(key, value) == stages


def test_the_report_reads_everything_but_its_own_place() -> None:
    for key, value in (("title", "x"), ("inference", {"level": 0.01}), ("networks", {"c": {"source": "d"}})):
        before, after = configfile.parse(STUDY), configfile.parse({**STUDY, key: value})
        assert triggers.settings_digest(before, "report") != triggers.settings_digest(after, "report")


def test_dropping_the_twin_does_not_extract_the_network_again() -> None:
    raw = copy.deepcopy(STUDY)
    raw["networks"]["a"]["untrained"] = False
    one, two = configfile.parse(STUDY), configfile.parse(raw)
    assert triggers.settings_digest(one, "activations", "a") == triggers.settings_digest(
        two, "activations", "a"
    )


@pytest.mark.parametrize("stage", triggers.READS)
def test_every_stage_names_modules_that_exist(stage: str) -> None:
    assert len(triggers.code_digest(stage)) == 12


def test_no_stage_depends_on_what_comes_after_it() -> None:
    """A change of the report or of the maps never extracts or fits again."""
    from neuroalign.provenance import closure

    for stage in ("stimuli", "activations", "responses", "fit"):
        found = closure(triggers.READS[stage].modules)
        assert not any(name.startswith(("neuroalign.report", "neuroalign.maps")) for name in found)
    assert not any(
        "alignment" in name or "design" in name for name in closure(triggers.READS["activations"].modules)
    )
