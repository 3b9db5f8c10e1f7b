"""The methods paragraph says what the configuration says."""

from __future__ import annotations

import pytest

from neuroalign.report.methods import methods, references


@pytest.mark.parametrize(
    ("options", "said", "cited", "unsaid"),
    [
        ({}, ["Lanczos kernel of 3 lobes", "delayed by 2, 4, 6, 8 s", "word rate"], ["Huth"], "Glover"),
        ({"design": {"resample": "hrf"}}, ["haemodynamic response function"], ["Glover"], "Lanczos"),
        ({"ceiling": "none"}, ["No noise ceiling could be estimated"], ["Benjamini"], "Nili"),
        ({"twin": False}, ["one run at a time"], ["Hoerl"], "untrained twin"),
        (
            {"design": {"folds": {"by": "block", "n": 5, "gap_s": 10}}},
            ["5 contiguous blocks within runs, with a gap of 10 s"],
            ["Gorgolewski"],
            "one run at a time",
        ),
    ],
)
def test_methods_follow_the_study(make_evidence, options, said, cited, unsaid) -> None:
    evidence = make_evidence("parcels", 3, **options)
    text = methods(evidence)
    for phrase in said:
        assert phrase in text
    listed = "\n".join(references(evidence))
    assert all(name in listed for name in cited)
    assert unsaid not in text
    assert unsaid not in listed


def test_methods_name_a_widened_grid(make_evidence) -> None:
    evidence = make_evidence("parcels", 3)
    assert "(widened to" not in methods(evidence)
    key = next(iter(evidence.summaries))
    evidence.summaries[key] = evidence.summaries[key].assign_coords(
        alpha=evidence.summaries[key]["alpha"] * 100
    )
    assert "(widened to 0.01 to 1e+08" in methods(evidence)
