"""Prompts on the page: shares are of significant targets, numbers are the comparisons' own."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neuroalign.artefacts.arrays import target_coordinates
from neuroalign.report.brain.canvas import VolumeCanvas
from neuroalign.report.comparisons.prompts import compared, prompt_pictures, prompt_sentence, prompt_table
from neuroalign.report.drawing.palette import CATEGORIES, Scale
from neuroalign.report.drawing.style import paint

PROMPTS = ("plain", "poem", "count")


def comparison(summary: xr.Dataset, owner: str, seed: int) -> xr.Dataset:
    """A comparison of three prompts over the targets of a summary."""
    rng = np.random.default_rng(seed)
    n = summary.sizes["target"]
    data = {
        name: (("prompt", "target"), rng.normal(0.01, 0.01, (3, n))) for name in ("unique", "r", "train_r")
    }
    data |= {name: ("target", rng.normal(0.1, 0.02, n)) for name in ("shared", "nuisance_r2", "r2", "margin")}
    data["preferred"] = ("target", rng.integers(0, 3, n).astype(np.int16))
    data["significant"] = ("target", rng.random(n) < 0.6)
    coordinates = {
        "prompt": np.array(PROMPTS, object),
        "text": ("prompt", np.array(["", "A poem:", "Count:"], object)),
    }
    attributes = {**summary.attrs, "subject": owner, "network": "minilm", "n_valid": n}
    return xr.Dataset(data, coordinates | target_coordinates(summary), attributes)


@pytest.fixture
def evidence(make_evidence):
    """Evidence of three subjects, with the prompts of the one network compared."""

    def make(kind: str = "parcels"):
        found = make_evidence(kind, 3)
        plain = found.summaries["01", "minilm", "ridge"]
        for seed, owner in enumerate(("01", "02", "03", "group")):
            found.prompts[owner, "minilm"] = comparison(plain, owner, seed)
        return found

    return make


def test_the_table_holds_the_means_of_the_comparisons(evidence) -> None:
    found = evidence("volume")
    table = prompt_table(found, "minilm").set_index(["region", "prompt"])
    people = [found.prompts[owner, "minilm"] for owner in ("01", "02", "03")]
    here = people[0]["roi"].values == "temporal"
    for place, prompt in enumerate(PROMPTS):
        row = table.loc["temporal", prompt]
        each = [float(one["unique"].values[place, here].mean()) for one in people]
        assert row["unique"] == pytest.approx(np.mean(each))
        half = 4.302652729696 * np.std(each, ddof=1) / np.sqrt(3)
        assert row["unique_ci_low"] == pytest.approx(np.mean(each) - half)
        passed = [here & one["significant"].values for one in people]
        share = [
            (one["preferred"].values[at] == place).mean() for one, at in zip(people, passed, strict=True)
        ]
        assert row["share_preferred"] == pytest.approx(np.mean(share))
    assert table["share_preferred"].groupby("region").sum().to_numpy() == pytest.approx(1)
    assert table.loc[("all targets", "poem"), "text"] == "A poem:"


def test_what_is_not_significant_prefers_nothing(evidence) -> None:
    found = evidence()
    for owner in ("01", "02", "03"):
        found.prompts[owner, "minilm"]["significant"][:] = False
    assert prompt_table(found, "minilm")["share_preferred"].isna().all()
    assert "minilm under 3 prompts: no target is significant." in prompt_sentence(found, "minilm")


def test_the_sentence_names_all_prompts_with_chance(evidence) -> None:
    said = prompt_sentence(evidence(), "minilm")
    assert "of significant targets of 3 subjects" in said
    assert "(by chance 33.3 % each)" in said
    assert all(prompt in said for prompt in PROMPTS)


def test_prompts_are_painted_apart() -> None:
    scale = Scale("categories", 0.5, 3.5, "", PROMPTS)
    painted = paint(np.array([1.0, 2.0, 3.0, np.nan]), scale)
    expected = [[int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for colour in CATEGORIES[:3]]
    np.testing.assert_allclose(painted[:3], expected, atol=1e-6)
    assert np.isnan(painted[3]).all()
    many = Scale("categories", 0.5, 12.5, "", tuple("abcdefghijkl"))
    assert len(np.unique(paint(np.arange(1.0, 13), many), axis=0)) == 12


def test_pictures_with_and_without_a_canvas(evidence) -> None:
    found = evidence("volume")
    canvas = VolumeCanvas(found.any_summary)
    titles = [picture.title for picture in prompt_pictures(found, "minilm", canvas)]
    assert titles == [
        "minilm: the prompt preferred",
        "minilm: R² unique to each prompt, group",
        "minilm: R² unique to each prompt, by region",
    ]
    assert len(prompt_pictures(evidence("parcels"), "minilm", None)) == 1


def test_a_study_without_prompts_has_no_such_section(make_evidence, evidence) -> None:
    assert compared(make_evidence("parcels", 3)) == []
    assert compared(evidence()) == ["minilm"]
