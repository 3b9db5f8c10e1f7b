"""The configuration: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

import copy
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from neuroalign.errors import ConfigError
from neuroalign.settings import config, configfile
from neuroalign.settings.encoders import Alphas
from neuroalign.settings.families import FAMILIES
from neuroalign.settings.simulation import SIMULATIONS

ROOT = Path(__file__).parents[2]

STUDY: dict[str, Any] = {
    "dataset": {"path": "bids", "task": "story"},
    "networks": {"tiny": {"source": "folder"}},
    "responses": {"kind": "parcels"},
}


def changed(**keys: Any) -> dict[str, Any]:
    """The small study with dotted keys (written with __) set."""
    study = copy.deepcopy(STUDY)
    for key, value in keys.items():
        *path, last = key.split("__")
        section = study
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return study


def message(raw: object) -> str:
    with pytest.raises(ConfigError) as caught:
        configfile.parse(raw)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/**/*.yaml")), ids=lambda path: path.name)
def test_the_shipped_configs_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROALIGN_DATA", "/data")
    assert configfile.load(path).encoders[0] == "ridge"


def test_the_readme_lists_every_key_with_its_default() -> None:
    """A key that is added without a word in config/README.md fails here."""
    text = (ROOT / "config/README.md").read_text()

    def check(model: type[BaseModel], prefix: str) -> None:
        for name, field in model.model_fields.items():
            nested = field.annotation
            if isinstance(nested, type) and issubclass(nested, config.Section):
                check(nested, f"{prefix}{name}.")
                continue
            row = re.search(rf"^\| `{re.escape(prefix + name)}` \| (.*?) \|", section_text, re.MULTILINE)
            assert row, f"{prefix}{name} is not in config/README.md"
            assert (row[1] == "*required*") == field.is_required(), prefix + name

    sections = {
        "dataset": config.Dataset,
        "stimuli": config.StimulusSource,
        "responses": config.Responses,
        "design": config.Design,
        "ridge": config.Ridge,
        "banded_ridge": config.BandedRidge,
        "cross_attention": config.CrossAttention,
        "ceiling": config.Ceiling,
        "inference": config.Inference,
        "resources": config.Resources,
    }
    for section, model in sections.items():
        section_text = text.split(f"## `{section}`", 1)[1].split("\n## ", 1)[0]
        check(model, "")
    for family, model in FAMILIES.items():
        section_text = text.split(f"### `family: {family}`", 1)[1].split("\n##", 1)[0]
        check(model, "")
    for kind, model in SIMULATIONS.items():
        section_text = text.split(f"### `kind: {kind}`", 1)[1].split("\n##", 1)[0]
        check(model, "")
    others = {"title", "output", "seed", "encoders", "group", "networks", "simulate"}
    assert set(sections) | others == set(config.Study.model_fields)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (changed(desing={}), "unknown key 'desing': did you mean 'design'?"),
        (changed(design__delay=[2]), "unknown key 'design.delay': did you mean 'delays'?"),
        (changed(design__folds__bye="run"), "unknown key 'design.folds.bye': did you mean 'by'?"),
        (changed(networks__tiny__contxt=3), "unknown key 'networks.tiny.contxt': did you mean 'context'?"),
        (changed(simulate={"subject": 3}), "unknown key 'simulate.subject': did you mean 'subjects'?"),
        (changed(simulate={"kind": "stories"}), "simulate.kind is 'stories': did you mean 'story'?"),
        (
            changed(simulate={"kind": "images", "tr": 2}),
            "unknown key 'simulate.tr': (choices: kind, subjects",
        ),
        (changed(simulate={"images": 9}), "unknown key 'simulate.images'"),
        (changed(simulate="images"), "simulate is 'images'"),
        (
            changed(simulate={"kind": "images", "images": 10, "shared": 11}),
            "'shared' is 11 but each subject sees 10 images",
        ),
        (
            changed(simulate={"kind": "images", "images": 10, "repeats": 1, "shared": 5}),
            "10 presentations are too few for 6 runs",
        ),
        (changed(simulate={"kind": "images"}), "put one of images first and set tokens: true"),
        (
            changed(simulate={"kind": "eeg"}),
            "the first network, 'tiny', is planted in the EEG of people who look at images, but its family "
            "is 'text'",
        ),
        (
            changed(simulate={"kind": "eeg", "images": 10, "repeats": 1, "runs": 6}),
            "10 presentations are too few for 6 runs",
        ),
        (changed(simulate={"kind": "eeg", "sampling_hz": 10}), "simulate.sampling_hz is 10"),
        (changed(simulate={"kind": "eeg", "shared": 3}), "unknown key 'simulate.shared'"),
        (
            changed(simulate={}, networks={"lum": {"family": "handmade", "features": ["luminance"]}}),
            "the first network, 'lum', is planted in listeners of a story, but its family is 'handmade'",
        ),
        (changed(networks__tiny="folder"), "networks.tiny is 'folder'"),
        (changed(networks__tiny__family=3), "networks.tiny.family is '3'"),
        (
            changed(networks__tiny__family="visoin"),
            "networks.tiny.family is 'visoin': did you mean 'vision'?",
        ),
        (
            changed(networks__tiny={"family": "vision", "source": "x", "contxt": 3}),
            "unknown key 'networks.tiny.contxt'",
        ),
        (changed(networks__tiny__taps=["atention"]), "did you mean 'attention'?"),
        (changed(responses__kind="surfaces"), "responses.kind is 'surfaces': did you mean 'surface'?"),
        (changed(encoders=["rige"]), "did you mean 'ridge'?"),
        (changed(encoders=["ridge", "bandedridge"]), "did you mean 'banded_ridge'?"),
        (changed(encoders=["ridge", "ridge"]), "encoders names 'ridge' twice"),
        (changed(encoders=[]), "encoders"),
        (
            changed(encoders=["banded_ridge"], design__nuisance={"word_rate": False}),
            "design.nuisance has none; set word_rate: true, name columns, or leave banded_ridge out",
        ),
        (
            changed(banded_ridge__candidate=9),
            "unknown key 'banded_ridge.candidate': did you mean 'candidates'?",
        ),
        (changed(banded_ridge__candidates=1), "banded_ridge.candidates is 1"),
        (changed(encoders=["ridge", "attention"]), "did you mean 'cross_attention'?"),
        (
            changed(encoders=["ridge", "stack"]),
            "but cross_attention is not there; set [ridge, cross_attention",
        ),
        (changed(encoders=["stack"]), "but ridge and cross_attention are not there"),
        (
            changed(cross_attention__window_s=0),
            "cross_attention.window_s is 0: input should be greater than 0",
        ),
        (changed(cross_attention__window_s=-4.0), "cross_attention.window_s is -4.0"),
        (changed(cross_attention__windows=8), "did you mean 'window_s'?"),
        (changed(cross_attention__layers=[]), "cross_attention.layers"),
        (changed(cross_attention__queries="voxels"), "did you mean 'voxel'?"),
        (changed(cross_attention__steps=0), "cross_attention.steps is 0"),
        (
            changed(
                encoders=["ridge", "cross_attention"],
                cross_attention={"window_s": 12},
                design={"folds": {"by": "block", "gap_s": 10}},
            ),
            "cross_attention.window_s is 12 s but design.folds.gap_s is 10 s",
        ),
        (changed(design__delays=[]), "'delays' is empty"),
        (changed(design__folds={"by": "block", "gap_s": 2}), "set gap_s to at least 8"),
        (changed(design={"resample": "hrf", "folds": {"by": "block"}}), "set gap_s to at least 12"),
        (changed(stimuli__source="textgrid"), "'path' goes with source textgrid or table"),
        (changed(stimuli__path="a.tsv"), "'path' goes with source textgrid or table"),
        (changed(ridge__alphas={"lowest": 10, "highest": 1}), "highest (1) must exceed lowest (10)"),
        (changed(networks__tinyuntrained={"source": "x"}), "is the name of tiny's untrained twin"),
        (
            changed(networks={"n": {"source": "a", "prompts": {"b": "B"}}, "nB": {"source": "x"}}),
            "networks.nB is the name of n under one of its prompts; rename it",
        ),
        (
            changed(networks__tiny__prompts={"b": "one", "B": "two"}),
            "networks.tiny.prompts: two prompts would be called 'tinyB'; rename one",
        ),
        (changed(networks__tiny__prompts={"b": "one", "c": "one"}), "says 'one' more than once"),
        (changed(networks__tiny__prompts={"b-c": "one"}), "networks.tiny.prompts.b-c.[key] is 'b-c'"),
        (
            changed(networks__tiny={"source": "a", "prompt": "p", "prompts": {"b": "one"}}),
            "'prompt' is one text and 'prompts' are several",
        ),
        (
            changed(networks__n={"source": "a", "prompts": {"b": "B"}}, design__nuisance={"networks": ["n"]}),
            "design.nuisance.networks names 'n': did you mean 'nB'",
        ),
        (changed(networks={}), "networks"),
        (changed(networks={"my-net": {"source": "x"}}), "my-net"),
        (changed(inference__permutations=10), "inference.permutations is 10"),
        (changed(seed=-1), "seed is -1"),
        (
            changed(dataset__path="${NEUROALIGN_NOT_SET}/x"),
            "environment variable NEUROALIGN_NOT_SET is not set",
        ),
        ({key: value for key, value in STUDY.items() if key != "dataset"}, "'dataset' is missing"),
        (changed(responses={}), "'responses.kind' is missing"),
        (["a list"], "expected a mapping of sections, got list"),
        (None, "expected a mapping of sections, got NoneType"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(raw: object, said: str) -> None:
    assert said in message(raw)


def test_all_problems_are_said_at_once() -> None:
    said = message(changed(desing={}, responses__kind="surfaces", seed="many"))
    assert "desing" in said
    assert "surfaces" in said
    assert "seed" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("networks: [a: b", "not valid YAML"),
        ("", "expected a mapping"),
        ("- a\n- b\n", "expected a mapping"),
    ],
)
def test_a_file_that_is_no_config_is_said_so(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        configfile.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such config file"):
        configfile.load(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        configfile.load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"title: \xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        configfile.load(tmp_path / "latin.yaml")


def test_variables_and_home_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROALIGN_DATA", "/data")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert configfile.parse(changed(dataset__path="${NEUROALIGN_DATA}/alice")).dataset.path == "/data/alice"
    assert configfile.parse(changed(dataset__path="~/alice")).dataset.path == "/home/somebody/alice"


def test_labels_may_be_written_with_their_entity() -> None:
    study = configfile.parse(changed(dataset__subjects=["sub-01", "02"], dataset__runs=["run-1"]))
    assert study.dataset.subjects == ("01", "02")
    assert study.dataset.runs == ("1",)


def test_subjects_come_from_the_folders(tmp_path: Path) -> None:
    for name in ("sub-02", "sub-01", "derivatives"):
        (tmp_path / name).mkdir()
    (tmp_path / "sub-03.txt").touch()
    assert configfile.parse(changed(dataset__path=str(tmp_path))).subjects() == ["01", "02"]


def test_a_dataset_without_subjects_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no folder sub-\*"):
        configfile.parse(changed(dataset__path=str(tmp_path))).subjects()
    with pytest.raises(ConfigError, match="no folder at"):
        configfile.parse(changed(dataset__path=str(tmp_path / "gone"))).subjects()


def test_a_simulated_study_knows_its_subjects() -> None:
    assert configfile.parse(changed(simulate={"subjects": 2})).subjects() == ["01", "02"]
    assert configfile.parse(changed(simulate={})).subjects() == ["01", "02", "03"]
    assert configfile.parse(changed(simulate={}, dataset__subjects=["02"])).subjects() == ["02"]


def test_twins() -> None:
    study = configfile.parse(
        changed(
            networks={
                "one": {"source": "a", "sha256": "00ff"},
                "two": {"source": "b", "untrained": False},
                "three": {"source": "c", "weights": "random"},
            }
        )
    )
    found = study.all_networks()
    assert list(found) == ["one", "oneuntrained", "two", "three"]
    twin = found["oneuntrained"]
    assert (twin.weights, twin.sha256, twin.source) == ("random", None, "a")


def test_prompts_are_networks_that_share_a_twin() -> None:
    prompts = {"none": "", "describe": "Describe it:", "2nd": "Count:"}
    networks = {"one": {"source": "a", "context": 4, "prompts": prompts}, "two": {"source": "b"}}
    found = configfile.parse(changed(networks=networks))
    assert configfile.parse(found.model_dump(mode="json")) == found
    assert list(found.conditions()) == ["oneNone", "oneDescribe", "one2nd", "two"]
    names = ["oneNone", "oneDescribe", "one2nd", "oneuntrained", "two", "twountrained"]
    assert list(found.all_networks()) == list(found.fitted_networks()) == names
    described = found.all_networks()["oneDescribe"]
    assert (described.prompt, described.prompts, described.context) == ("Describe it:", {}, 4)
    twin = found.all_networks()["oneuntrained"]
    assert (twin.prompt, twin.weights) == ("", "random")
    assert found.origin("one2nd") == "one"
    assert found.origin("two") == "two"
    compared = {"one": {"none": "oneNone", "describe": "oneDescribe", "2nd": "one2nd"}}
    assert found.compared_prompts() == compared
    beside = changed(networks=networks, design__nuisance={"networks": ["oneNone"]})
    fitted = configfile.parse(beside)
    assert fitted.compared_prompts() == {"one": {"describe": "oneDescribe", "2nd": "one2nd"}}
    assert "oneuntrained" in fitted.fitted_networks()
    assert "oneNone" not in fitted.fitted_networks()


def test_digests_change_with_their_sections_only() -> None:
    one, two = configfile.parse(STUDY), configfile.parse(changed(design__delays=[2]))
    assert one.digest("ridge", "seed") == two.digest("ridge", "seed")
    assert one.digest("design") != two.digest("design")
    assert one.digest("design.folds") == two.digest("design.folds")
    assert re.fullmatch("[0-9a-f]{12}", one.digest("design"))


@given(lowest=st.floats(1e-6, 1e3), factor=st.floats(1.5, 1e6), count=st.integers(2, 50))
def test_the_alpha_grid_is_logarithmic(lowest: float, factor: float, count: int) -> None:
    grid = Alphas(lowest=lowest, highest=lowest * factor, count=count).values()
    assert len(grid) == count
    assert grid[0] == pytest.approx(lowest)
    assert grid[-1] == pytest.approx(lowest * factor)
    ratios = [after / before for before, after in pairwise(grid)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))


def test_a_single_alpha() -> None:
    assert Alphas(lowest=3, highest=1, count=1).values() == [3]


@given(
    delays=st.lists(st.floats(0, 20), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    title=st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20),
)
def test_what_was_understood_reads_back_the_same(delays: list[float], seed: int, title: str) -> None:
    study = configfile.parse(changed(design__delays=delays, seed=seed, title=title))
    again = yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    assert configfile.parse(again) == study


def test_values_from_the_command_line_are_text() -> None:
    """Snakemake's --config gives nested values as strings."""
    keys = {"design__delays": ["2", "4"], "simulate": {"subjects": "2"}, "responses__average": "true"}
    study = configfile.parse(changed(**keys))
    assert study.design.delays == (2.0, 4.0)
    assert study.responses.average is True
    assert study.subjects() == ["01", "02"]


def test_a_network_may_not_be_called_like_a_control() -> None:
    assert "nuisance" in message(changed(networks={"nuisance": {"source": "x"}}))


def test_values_cannot_change_once_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        configfile.parse(STUDY).seed = 3  # type: ignore[misc]


def test_the_schema_knows_every_section_and_refuses_others() -> None:
    schema = configfile.json_schema()
    assert set(schema["properties"]) == set(config.Study.model_fields)
    assert schema["additionalProperties"] is False


def test_the_readme_of_the_repository_shows_a_valid_config() -> None:
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert shown
    assert len(shown[1].splitlines()) <= 10
    configfile.parse(yaml.safe_load(shown[1]))


TRIALS = {"responses": {"kind": "volume", "samples": "trials"}}


def test_trials_are_held_out_by_item_and_have_no_word_rate() -> None:
    found = configfile.parse(changed(**TRIALS))
    assert found.design.folds.by == "item"
    assert not found.design.nuisance.word_rate
    assert found.responses.high_pass_hz is None
    again = configfile.parse(found.model_dump(mode="json"))
    assert again == found


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (changed(**TRIALS, design__delays=[1]), "design.delays goes with a time series"),
        (changed(**TRIALS, design__folds={"by": "block", "gap_s": 10}), "design.folds.by: block goes with a"),
        (
            changed(**TRIALS, design__nuisance={"word_rate": True}),
            "design.nuisance.word_rate goes with a",
        ),
        (changed(design__folds={"by": "item"}), "design.folds.by: item goes with responses.samples: trials"),
        (changed(design__repeats="average"), "design.repeats goes with responses.samples: trials"),
        (changed(design__nuisance={"networks": ["tyni"]}), "names 'tyni': did you mean 'tiny'?"),
        (changed(design__nuisance={"networks": ["tiny"]}), "all networks are nuisance"),
        (changed(stimuli={"modality": "image", "source": "textgrid", "path": "a"}), "a TextGrid holds words"),
    ],
)
def test_what_does_not_go_with_the_samples_is_refused(raw: object, said: str) -> None:
    assert said in message(raw)


def test_many_targets_ask_by_prototypes_where_it_is_left_open() -> None:
    given = configfile.parse(changed(encoders=["ridge", "cross_attention"])).cross_attention
    assert [given.asking(n).queries for n in (6, 299, 300)] == ["voxel", "voxel", "prototype"]
    chosen = given.model_copy(update={"queries": "voxel"})
    assert chosen.asking(10_000).queries == "voxel"


def test_stimuli_that_no_stage_would_read_are_refused():
    responses = {"kind": "array", "path": "b_{subject}.npy", "items": "t_{subject}.tsv"}
    network = {"n": {"family": "handmade", "features": ["luminance"]}}
    study = {"dataset": {"path": "x", "task": "t"}, "responses": responses, "networks": network}
    assert configfile.parse({**study, "stimuli": {"modality": "image"}}).stimuli.root == "stimuli"
    for keys in ({"root": "images"}, {"column": "image"}):
        with pytest.raises(ConfigError, match=r"is not read with responses\.kind array"):
            configfile.parse({**study, "stimuli": {"modality": "image", **keys}})
