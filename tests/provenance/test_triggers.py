"""Which settings and sources make a stage run again."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from neuroalign.provenance import triggers
from neuroalign.settings import configfile

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
    found = set()
    for stage in triggers.READS:
        for network in before.all_networks() if stage == "activations" else [None]:
            for encoder in triggers.FITS_WITH if stage == "fit" else [None]:
                of = {"network": network, "encoder": encoder}
                one, two = (triggers.settings_digest(study, stage, **of) for study in (before, after))
                if one != two:
                    found.add(" ".join([stage, *filter(None, of.values())]))
    return found - {"report"}


PROMPTS = {"prompts", "prompts_group"}
TIMING = {"timing", "timing_group"}
FITS = {"fit ridge", "fit banded_ridge", "fit cross_attention", "fit stack"}
EXTRACTIONS = {"activations a", "activations auntrained", "activations b", "activations buntrained"}


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        ("design.delays", [2, 4], FITS | {"prompts", "reconstruction"}),
        ("design.folds.by", "run", set()),
        ("ridge.alphas.count", 5, FITS | {"prompts", "reconstruction"}),
        ("banded_ridge.candidates", 5, {"fit banded_ridge", "prompts"}),
        ("cross_attention.steps", 5, {"fit cross_attention", "fit stack"}),
        ("encoders", ["ridge", "banded_ridge"], set()),
        ("encoders", ["ridge", "cross_attention", "stack"], set()),
        ("ceiling.bootstraps", 100, {"ceiling"}),
        ("inference.permutations", 100, {"inference", "group", "timing_group"} | PROMPTS),
        ("inference.bootstraps", 100, {"fit ridge", "fit banded_ridge"} | TIMING),
        ("inference.cluster_level", 0.02, {"inference", "group"} | PROMPTS),
        ("responses.high_pass_hz", 0.02, {"responses"}),
        ("responses.suffix", "boldmean", {"index", "responses"}),
        ("responses.average", True, set()),
        ("dataset.subjects", ["01"], {"stimuli"}),
        ("dataset.task", "other", {"simulate", "index", "stimuli", "responses"}),
        ("stimuli.passage", "sentence", {"stimuli"}),
        ("networks.a.context", 8, {"simulate", "activations a", "activations auntrained"}),
        ("networks.a.layers", ["embeddings"], {"activations a", "activations auntrained"}),
        ("networks.b.context", 8, {"activations b", "activations buntrained"}),
        ("networks.a.sha256", "53aa", {"simulate", "activations a"}),
        ("simulate.noise", [1.0], {"simulate"}),
        ("seed", 1, {"simulate", "ceiling", "inference", "group"} | FITS | EXTRACTIONS | PROMPTS | TIMING),
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


@pytest.mark.parametrize("encoder", triggers.FITS_WITH)
def test_a_fit_depends_on_its_own_encoder_alone(encoder: str) -> None:
    """A change of one encoder leaves the scores of another as they are."""
    from neuroalign.provenance.sources import closure

    read = [*triggers.READS["fit"].modules, *triggers.FITS_WITH[encoder].modules]
    found = closure(read)
    assert "neuroalign.encoders.ridge" in found, "all fit plain ridge"
    assert ("neuroalign.encoders.banded" in found) == (encoder == "banded_ridge")
    assert ("neuroalign.encoders.cross_attention" in found) == (encoder == "cross_attention")
    assert ("neuroalign.alignment.evaluation.stack" in found) == (encoder == "stack")
    assert triggers.code_digest("fit", encoder) != triggers.code_digest("fit")


def test_every_encoder_of_the_config_says_what_it_reads() -> None:
    from typing import get_args

    from neuroalign.settings.encoders import Encoder

    assert set(triggers.FITS_WITH) == set(get_args(Encoder))


def test_no_stage_depends_on_what_comes_after_it() -> None:
    """A change of the report or of the maps never extracts or fits again."""
    from neuroalign.provenance.sources import closure

    for stage in ("stimuli", "activations", "responses", "fit"):
        found = closure(triggers.READS[stage].modules)
        assert not any(name.startswith(("neuroalign.report", "neuroalign.maps")) for name in found)
    assert not any(
        "alignment" in name or "design" in name for name in closure(triggers.READS["activations"].modules)
    )


def test_a_simulation_depends_on_its_own_kind_and_on_the_family_it_plants() -> None:
    from neuroalign.provenance.sources import closure

    story, images = (triggers.SIMULATES_WITH[kind].modules for kind in ("story", "images"))
    assert "neuroalign.recordings.simulated.narration" in closure(story) - closure(images)
    assert "neuroalign.recordings.simulated.pictures" in closure(images) - closure(story)
    eeg = triggers.SIMULATES_WITH["eeg"].modules
    assert "neuroalign.recordings.simulated.ongoing" in closure(eeg) - closure(images)
    digests = {
        triggers.code_digest("simulate", family=family, kind=kind)
        for family, kind in (
            ("text", "story"),
            ("handmade", "images"),
            ("vision", "images"),
            ("vision", "eeg"),
        )
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"grid": 4}, True),
        ({"features": ["gabor", "colour"]}, True),
        ({"layers": ["gabor"]}, False),
        ({"dtype": "float16"}, False),
    ],
)
def test_only_what_decides_its_answers_makes_a_network_be_planted_anew(
    change: dict[str, Any], anew: bool
) -> None:
    network = {"family": "handmade", "features": ["gabor", "contrast"], "tokens": True}
    responses = {"kind": "volume", "samples": "trials"}
    raw = {**STUDY, "simulate": {"kind": "images"}, "responses": responses}
    before, after = (
        triggers.settings_digest(configfile.parse({**raw, "networks": {"a": planted}}), "simulate")
        for planted in (network, network | change)
    )
    assert (before != after) == anew
