"""Sentences and warnings say what the numbers show."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.report.numbers.tables import estimate, subject_table
from neuroalign.report.wording.cautions import warnings
from neuroalign.report.wording.findings import findings


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"warnings": ["the moon was full", "so was the scanner"]},
            ["the moon was full", "so was the scanner"],
        ),
        ({"excluded": 2}, ["2 of 6 targets are constant or non-finite"]),
        ({"edge_low": 0.2}, ["20.0 % of alphas lie at the grid's lowest value: widen ridge.alphas.lowest"]),
        ({"dead_subject": "02"}, ["none of 6 targets could be scored", "sub-02"]),
        ({"ceiling": "none"}, ["no noise ceiling (one subject and no repeated run)"]),
        ({"twin": False}, ["no untrained twin was run"]),
        (
            {"strength": 0.05},
            ["is not better than the nuisance features", "is not better than its untrained twin"],
        ),
        ({}, ["3 subjects are too few for sign-flipping"]),
        ({"design": {"folds": {"shared_items": "allow"}}}, ["design.folds.shared_items is 'allow'"]),
    ],
)
def test_what_is_wrong_is_said(make_evidence, options, expected) -> None:
    evidence = make_evidence("parcels", 3, **options)
    told = warnings(evidence, subject_table(evidence))
    for text in expected:
        assert any(text in entry.text or text in entry.scope for entry in told), told


def test_one_subject_is_no_group(make_evidence) -> None:
    evidence = make_evidence("parcels", 1)
    told = warnings(evidence, subject_table(evidence))
    assert any("one subject: no group inference" in entry.text for entry in told)


def test_what_concerns_several_is_said_once(make_evidence) -> None:
    evidence = make_evidence("parcels", 3)
    told = warnings(evidence, subject_table(evidence))
    (entry,) = [entry for entry in told if "constant or non-finite" in entry.text]
    assert entry.scope == "sub-01, sub-02, sub-03"


def test_a_clear_advantage_draws_no_warning_about_controls(make_evidence) -> None:
    evidence = make_evidence("parcels", 3)
    told = " ".join(entry.text for entry in warnings(evidence, subject_table(evidence)))
    assert "better than" not in told


def test_the_best_layer_is_that_of_the_training_folds(make_evidence) -> None:
    evidence = make_evidence("parcels", 1)
    summary = evidence.summaries["01", "minilm", "ridge"]
    # Training folds prefer layer 2 everywhere; held-out scores stay as they were.
    summary["best_layer"][:] = 2
    (sentences,) = findings(evidence, subject_table(evidence))
    (sentence,) = [sentence for sentence in sentences if "layer that the training folds chose" in sentence]
    assert str(summary["layer"].values[2]) in sentence
    assert "100.0 %" in sentence


def test_the_layer_is_counted_over_all_subjects(make_evidence) -> None:
    evidence = make_evidence("volume", 2)
    for subject, shares in (("01", {1: 60, 4: 40}), ("02", {2: 55, 4: 45})):
        summary = evidence.summaries[subject, "minilm", "ridge"]
        summary["best_layer"][:] = -1
        summary["significant"][:] = False
        summary["best_layer"][100:200] = np.repeat(list(shares), list(shares.values()))
    (sentences,) = findings(evidence, subject_table(evidence))
    assert (
        "encoder.layer.3 (relative depth 0.67), for 42.5 % of targets (none is significant)" in sentences[1]
    )


def test_no_gain_is_called_no_gain(make_evidence) -> None:
    evidence = make_evidence("parcels", 3, strength=0.05)
    (sentences,) = findings(evidence, subject_table(evidence))
    assert any(s.startswith("It is not better than the nuisance features alone: Δr = −") for s in sentences)


BOTH = ["ridge", "banded_ridge"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unique": 0.5}, "unique to minilm, "),
        ({"unique": -0.5}, "On average nothing is unique to minilm."),
        ({"unique": 0.0}, "unique part"),
    ],
)
def test_what_is_unique_is_said_with_its_doubt(make_evidence, options, said) -> None:
    evidence = make_evidence("parcels", 3, encoders=BOTH, excluded=0, **options)
    subjects = subject_table(evidence)
    plain, parted = findings(evidence, subjects)
    assert not any("R²" in sentence for sentence in plain), "ridge parts nothing"
    (sentence,) = [sentence for sentence in parted if "held-out R²" in sentence]
    assert said in sentence or options["unique"] == 0.0
    rows = subjects[(subjects["encoder"] == "banded_ridge") & (subjects["network"] == "minilm")]
    unique = rows["unique_network"].to_numpy()
    assert f"{unique.mean():.3f}".replace("-", "−") in sentence
    low = estimate(unique).low
    assert ("nothing is unique" in sentence) == (unique.mean() <= 0)
    assert ("includes zero" in sentence) == (unique.mean() > 0 >= low)


def test_an_estimate_is_students() -> None:
    from scipy import stats

    values = np.array([0.1, 0.25, 0.2, np.nan, 0.4])
    found = estimate(values)
    kept = values[np.isfinite(values)]
    low, high = stats.t.interval(0.95, 3, loc=kept.mean(), scale=stats.sem(kept))
    assert (found.mean, found.sd, found.n) == pytest.approx((kept.mean(), kept.std(ddof=1), 4))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert estimate(np.array([np.nan])).n == 0
    assert np.isnan(estimate(np.array([0.3])).sd)
