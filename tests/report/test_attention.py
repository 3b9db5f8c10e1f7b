"""Encoders side by side, layers that count and learned delays: what the summaries say is what is shown."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.report.attention import learned
from neuroalign.report.attention.learned import attending, attention_pictures, attention_sentence
from neuroalign.report.brain.canvas import open_canvas
from neuroalign.report.comparisons import densities
from neuroalign.report.comparisons.rivals import pairs, rival_pictures, rival_sentence
from neuroalign.report.figures import alpha_picture, penalised
from neuroalign.report.numbers.tables import subject_table
from neuroalign.report.page import write_report
from neuroalign.report.parcels import parcel_pictures
from neuroalign.report.wording.findings import findings
from neuroalign.report.wording.methods import methods, references

BOTH = ["ridge", "cross_attention"]
ALL_THREE = [*BOTH, "stack"]
MODEL = ("minilm", "cross_attention")
PAIR = ("minilm", "cross_attention", "ridge")


def test_only_encoders_that_look_at_all_layers_have_the_section(make_evidence) -> None:
    assert attending(make_evidence("parcels", 2)) == []
    evidence = make_evidence("parcels", 2, encoders=ALL_THREE)
    assert attending(evidence) == [MODEL]
    assert evidence.layered() == [("minilm", "ridge")]
    assert penalised(evidence) == [("minilm", "ridge")]
    assert alpha_picture(evidence).source


def test_importance_and_delays_are_means_over_regions_and_subjects(make_evidence) -> None:
    evidence = make_evidence("volume", 3, encoders=BOTH)
    people = learned._scored(evidence, *MODEL)
    panels = learned._importance(evidence, people, "minilm", "ridge")
    panel = next(each for each in panels if each.region == "temporal")
    each = [
        np.nanmean(d["importance"].values[:, d["roi"].values == "temporal"].astype(float), axis=1)
        for d in people.values()
    ]
    np.testing.assert_allclose(panel.mean, np.mean(each, axis=0), atol=1e-6)
    ridge = [evidence.summaries[s, "minilm", "ridge"] for s in people]
    depth = [np.nanmean(d["best_depth"].values[d["roi"].values == "temporal"]) for d in ridge]
    assert panel.mark == pytest.approx(np.mean(depth))
    delay = next(each for each in learned._delays(evidence, people) if each.region == "temporal")
    assert delay.mark == 5
    step = delay.across[1] - delay.across[0]
    assert (delay.mean * step).sum() == pytest.approx(1, abs=0.03), "a density over seconds"


@pytest.mark.parametrize(("kind", "subjects"), [("parcels", 1), ("parcels", 3), ("volume", 2)])
def test_the_pictures_are_drawn(make_evidence, kind, subjects) -> None:
    evidence = make_evidence(kind, subjects, encoders=ALL_THREE)
    canvas = open_canvas(evidence.any_summary, None)
    layers, *mapped, delays = attention_pictures(evidence, *MODEL, canvas)
    assert len(mapped) == (canvas is not None)
    assert "mean depth of the layers that ridge chose" in layers.caption
    assert "by how long ago they began" in delays.caption
    assert pairs(evidence) == [PAIR, ("minilm", "stack", "ridge")]
    for pair in pairs(evidence):
        density, gain = rival_pictures(evidence, pair, canvas)
        assert f"{pair[1]} against ridge, target by target" in density.title
        assert f"r with {pair[1]} less r with ridge" in gain.title
    if kind == "parcels":
        (bars,) = parcel_pictures(evidence, *MODEL)
        assert "One score for all layers" in bars.caption


def test_encoders_that_score_layers_are_compared_by_depth_too(make_evidence) -> None:
    evidence = make_evidence("parcels", 3, encoders=["ridge", "banded_ridge"])
    assert len(rival_pictures(evidence, ("minilm", "banded_ridge", "ridge"), None)) == 3


@pytest.mark.parametrize("count", [0, 5, 2 * densities.ENOUGH])
def test_few_targets_are_dots_and_many_a_density(count, rng) -> None:
    x = rng.normal(0.1, 0.1, count)
    x[:1] = np.nan
    picture = densities.density(x, x + 0.02, ("ridge", "cross_attention"))
    assert picture.startswith("data:image/svg+xml")


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (-0.03, "ridge is better in 100 % of targets. ridge predicts better than cross_attention, in 3 of 3"),
        (0.03, "cross_attention is better in 100 % of targets. cross_attention predicts better than ridge"),
    ],
)
def test_where_ridge_is_better_the_report_says_so(make_evidence, gain, said) -> None:
    evidence = make_evidence("parcels", 3, encoders=BOTH, gain=gain)
    sentence = rival_sentence(evidence, PAIR)
    r = [
        np.mean([np.nanmean(evidence.summaries[s, "minilm", e]["chosen_r"]) for s in ("01", "02", "03")])
        for e in PAIR[1:]
    ]
    assert said in sentence
    assert f"mean r is {r[0]:.3f} with cross_attention and {r[1]:.3f} with ridge" in sentence
    assert "95 % CI" in sentence


def test_the_findings_name_the_layer_that_counts_and_no_layer_chosen(make_evidence) -> None:
    evidence = make_evidence("parcels", 3, encoders=BOTH)
    ridge, attended = findings(evidence, subject_table(evidence))
    assert any("training folds chose most often" in sentence for sentence in ridge)
    assert not any("chose most often" in sentence for sentence in attended)
    assert attention_sentence(evidence, *MODEL) in attended
    assert "counts most: without it r is lower by 0.0" in attention_sentence(evidence, *MODEL)
    assert "words 5.0 s ago" in attention_sentence(evidence, *MODEL)
    for dataset in evidence.summaries.values():
        if "importance" in dataset:
            dataset["importance"][:] = -0.01
    assert "none of them counts by itself" in attention_sentence(evidence, *MODEL)


def test_the_methods_say_how_attention_learns(make_evidence) -> None:
    text = methods(make_evidence("parcels", 3, encoders=ALL_THREE))
    assert "the words that began in the 10 s before a sample answer" in text
    assert "Nuisance features were fitted first" in text
    assert "Ridge regression and cross-attention were stacked" in text
    cited = " ".join(references(make_evidence("parcels", 3, encoders=ALL_THREE)))
    assert "universal brain encoder" in cited
    assert "Stacked regressions" in cited
    assert "attention" not in methods(make_evidence("parcels", 3))


@pytest.mark.parametrize(
    ("kind", "options"), [("parcels", {"average": True}), ("volume", {}), ("surface", {})]
)
def test_the_page_shows_all_encoders(make_study, kind, options) -> None:
    study = make_study(kind, 2, encoders=ALL_THREE, truth=kind == "surface", **options)
    text = write_report(study).read_text(encoding="utf-8")
    for said in (
        "Layers and delays",
        "learned delays",
        "against ridge, target by target",
        "Encoders compared",
    ):
        assert said in text


def test_attention_alone_has_no_penalties(make_study) -> None:
    text = write_report(make_study("parcels", 2, encoders=["cross_attention"])).read_text(encoding="utf-8")
    assert "Chosen penalties" not in text
    assert "Layer profiles" not in text
    assert "r of the chosen layer" not in text
