"""The partition on the page: its numbers are the summaries' own, its negative parts are not hidden."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neuroalign.alignment.fitting.partition import PARTS
from neuroalign.report.comparisons.partition import parted, partition_pictures, partition_table
from neuroalign.report.comparisons.stacks import partition_stacks
from neuroalign.report.drawing.palette import Stack

BOTH = ["ridge", "banded_ridge"]
MODEL = ("minilm", "banded_ridge")


def test_only_an_encoder_that_parts_is_shown_so(make_evidence) -> None:
    assert parted(make_evidence("parcels", 3, encoders=BOTH)) == [MODEL]
    assert parted(make_evidence("parcels", 3)) == []


def test_the_table_holds_the_means_of_the_summaries(make_evidence) -> None:
    evidence = make_evidence("volume", 3, encoders=BOTH, average=True)
    table = partition_table(evidence, *MODEL).set_index(["whose", "region"])
    people = [evidence.summaries[subject, *MODEL] for subject in ("01", "02", "03")]
    here = people[0]["roi"].values == "temporal"
    for name in PARTS:
        each = [float(np.nanmean(summary[f"chosen_{name}"].values[here])) for summary in people]
        row = table.loc["subjects", "temporal"]
        assert row[name] == pytest.approx(np.mean(each), abs=1e-6)
        half = 4.302652729696 * np.std(each, ddof=1) / np.sqrt(3)
        assert row[f"{name}_ci_low"] == pytest.approx(np.mean(each) - half, abs=1e-6)
    row = table.loc["mean subject", "all targets"]
    average = evidence.summaries["average", *MODEL].astype(float)
    unique, ceiling = average["chosen_unique_network"].values, average["ceiling"].values
    assert row["unique_network"] == pytest.approx(np.nanmean(unique), abs=1e-6)
    assert np.isnan(row["unique_network_ci_low"])
    assert row["ceiling_r2"] == pytest.approx(np.nanmean(ceiling**2), abs=1e-6)
    np.testing.assert_allclose(table[[*PARTS]].sum(axis=1), table["r2"], atol=1e-5)


def test_negative_parts_stay_negative(make_evidence) -> None:
    evidence = make_evidence("parcels", 3, encoders=BOTH, unique=-0.5, excluded=0)
    table = partition_table(evidence, *MODEL)
    assert (table["unique_network"] < 0).all()


def bars(stack: Stack, monkeypatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Bottoms and heights of the bars that are drawn, per part."""
    from matplotlib.axes import Axes

    drawn = []
    real = Axes.bar

    def bar(self, x, height, width, bottom, **rest):
        drawn.append((np.array(bottom), np.array(height)))
        return real(self, x, height, width, bottom, **rest)

    monkeypatch.setattr(Axes, "bar", bar)
    assert partition_stacks([stack], "net").startswith("data:image/svg")
    return drawn


def test_parts_are_stacked_on_their_own_side_of_zero(monkeypatch) -> None:
    unique, shared, own = np.array([[0.2, -0.1], [0.1, -0.05], [-0.05, 0.3]])
    nan = np.full(2, np.nan)
    stack = Stack("here", np.array([0.0, 1.0]), unique, shared, own, nan, nan, 0.3, 0.5)
    (first, a), (second, b), (third, c) = bars(stack, monkeypatch)
    np.testing.assert_allclose([a, b, c], [unique, shared, own])
    np.testing.assert_allclose(first, [0, 0])
    np.testing.assert_allclose(second, [0.2, -0.1])
    np.testing.assert_allclose(third, [0.0, 0.0])


@pytest.mark.parametrize("options", [{}, {"ceiling": "none"}, {"dead_subject": "02"}, {"average": True}])
@pytest.mark.parametrize("subjects", [1, 3])
def test_pictures_are_drawn_whatever_is_missing(make_evidence, options, subjects) -> None:
    evidence = make_evidence("parcels", subjects, encoders=BOTH, **options)
    pictures = partition_pictures(evidence, *MODEL)
    assert len(pictures) == (2 if options.get("average") else 1)
    assert isinstance(partition_table(evidence, *MODEL), pd.DataFrame)
