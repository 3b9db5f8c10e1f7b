"""Two encoders beside each other: the difference is that of the summaries, and doubt is said."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.report.comparisons.rivals import pairs, rival_picture, rival_sentence, rival_table

BOTH = ["ridge", "banded_ridge"]
PAIR = ("minilm", "banded_ridge", "ridge")


def test_encoders_are_paired_with_the_first(make_evidence) -> None:
    assert pairs(make_evidence("parcels", 3)) == []
    assert pairs(make_evidence("parcels", 3, encoders=BOTH)) == [PAIR]
    assert pairs(make_evidence("parcels", 3, encoders=BOTH[::-1])) == [("minilm", "ridge", "banded_ridge")]
    assert pairs(make_evidence("parcels", 1, encoders=BOTH, dead_subject="01")) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gain": 0.03}, "banded_ridge predicts better than ridge, in 3 of 3 subjects."),
        ({"gain": -0.03}, "ridge predicts better than banded_ridge, in 3 of 3 subjects."),
        ({"gain": 0.0, "gain_sd": 0.05}, "Neither is shown to predict better: the interval includes zero"),
        ({"subjects": 1}, "One subject does not tell which of the two is better."),
    ],
)
def test_the_sentence_says_what_the_interval_allows(make_evidence, options, said) -> None:
    evidence = make_evidence("parcels", options.pop("subjects", 3), encoders=BOTH, **options)
    assert said in rival_sentence(evidence, PAIR)


def test_the_table_holds_differences_over_the_same_targets(make_evidence) -> None:
    evidence = make_evidence("volume", 3, encoders=BOTH, average=True)
    table = rival_table(evidence, PAIR).set_index(["whose", "region"])
    people = [
        [evidence.summaries[subject, "minilm", encoder]["chosen_r"].values for encoder in PAIR[1:]]
        for subject in ("01", "02", "03")
    ]
    each = [np.nanmean(one.astype(float) - other) for one, other in people]
    row = table.loc["subjects", "all targets"]
    assert row["difference"] == pytest.approx(np.mean(each), abs=1e-6)
    half = 4.302652729696 * np.std(each, ddof=1) / np.sqrt(3)
    assert row["difference_ci_high"] == pytest.approx(np.mean(each) + half, abs=1e-6)
    assert row["r banded_ridge"] - row["r ridge"] == pytest.approx(row["difference"], abs=1e-6)
    assert row["n_subjects"] == 3
    assert table.loc["mean subject", "temporal"]["n_subjects"] == 1


@pytest.mark.parametrize("subjects", [1, 3])
def test_the_picture_is_drawn_with_and_without_an_interval(make_evidence, subjects) -> None:
    evidence = make_evidence("parcels", subjects, encoders=BOTH)
    assert "Above zero banded_ridge predicts better" in rival_picture(evidence, PAIR).caption
