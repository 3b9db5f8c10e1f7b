"""The methods paragraph says what the configuration says."""

from __future__ import annotations

import pytest

from neuroalign.report.wording.methods import methods, references


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


def test_methods_tell_how_bands_were_weighed_and_variance_was_parted(make_evidence) -> None:
    both = make_evidence("parcels", 3, encoders=["ridge", "banded_ridge"])
    text, listed = methods(both), "\n".join(references(both))
    for phrase in ("R²(both) − R²(nuisance)", "8 candidates", "Negative values were kept", "Σ ŷ_b (2y − ŷ)"):
        assert phrase in text
    for name in ("Nunez-Elizalde", "Dupré la Tour", "Borcard", "Lescroart", "Hoerl"):
        assert name in listed
    alone = make_evidence("parcels", 3, encoders=["banded_ridge"])
    assert "nuisance features to 0.3" not in methods(alone)
    assert "Hoerl" not in "\n".join(references(alone))
    plain = make_evidence("parcels", 3)
    assert "banded" not in methods(plain)
    assert "Lescroart" not in "\n".join(references(plain))


def test_methods_name_a_widened_grid(make_evidence) -> None:
    evidence = make_evidence("parcels", 3)
    assert "(widened to" not in methods(evidence)
    key = next(iter(evidence.summaries))
    evidence.summaries[key] = evidence.summaries[key].assign_coords(
        alpha=evidence.summaries[key]["alpha"] * 100
    )
    assert "(widened to 0.01 to 1e+08" in methods(evidence)
