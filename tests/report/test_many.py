"""Reports of many targets: bounded pages, whole tables beside them, the same numbers as one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neuroalign.report import regions
from neuroalign.report.evidence import mean
from neuroalign.report.numbers import printed
from neuroalign.report.numbers.tables import region_table, score_table
from neuroalign.report.numbers.target_tables import target_table
from neuroalign.report.page import write_report
from neuroalign.report.parcels import parcel_pictures
from neuroalign.report.regions import ALL, Regions, highest

MODEL = ("minilm", "ridge")


def test_means_of_regions_are_those_of_their_targets(rng, make_evidence) -> None:
    evidence = make_evidence("volume", 1)
    dataset = evidence.any_summary
    found, names = evidence.regions(dataset), (ALL, *evidence.region_names)
    values = rng.standard_normal((4, dataset.sizes["target"]))
    values[:, rng.random(values.shape[1]) < 0.2] = np.nan
    where = rng.random(values.shape[1]) < 0.5
    for at, name in enumerate(names):
        here = np.ones(values.shape[1], bool) if name == ALL else dataset["roi"].values == name
        np.testing.assert_array_equal(found.within(name), here)
        np.testing.assert_allclose(found.mean(values)[:, at], mean(values[:, here], axis=1))
        np.testing.assert_allclose(found.mean(values, where)[:, at], mean(values[:, here & where], axis=1))
        assert found.count(where)[at] == (here & where).sum()


def test_a_region_without_finite_values_has_no_mean() -> None:
    found = Regions((ALL, "a", "b"), np.array([1, 1, 2]))
    np.testing.assert_array_equal(found.mean(np.array([1.0, 3.0, np.nan])), [2, 2, np.nan])


def test_the_regions_shown_are_the_highest_in_their_own_order() -> None:
    assert highest(["d", "c", "b", "a"], [0.1, 0.4, np.nan, 0.3], 2) == ["c", "a"]
    assert highest(["d", "c"], [0.1, 0.4], 2) == ["d", "c"]


def test_the_foremost_rows_keep_the_whole_and_say_where_the_others_are(rng) -> None:
    frame = pd.DataFrame({"region": [ALL, *map(str, range(200))], "r": [0.0, *rng.random(200)]})
    shown, note = printed.foremost(frame, "r", "regions.tsv", "Means.")
    assert len(shown) == printed.MOST_ROWS
    assert shown["region"].iloc[0] == ALL
    left = frame.drop(shown.index)
    assert left["r"].max() < shown["r"].iloc[1:].min()
    assert note.startswith("Means. The 60 of 201 rows")
    assert "tables/regions.tsv" in note
    assert len(printed.foremost(frame[:50], "r", "regions.tsv")[0]) == 50


@pytest.fixture
def few_are_many(monkeypatch) -> None:
    """As if six parcels were a thousand."""
    monkeypatch.setattr(regions, "MANY_PARCELS", 5)
    monkeypatch.setattr("neuroalign.report.parcels.MOST_PARCELS", 5)


def test_many_parcels_are_a_table_of_targets_and_no_regions(make_evidence, few_are_many) -> None:
    evidence = make_evidence("parcels", 3)
    assert evidence.region_names == []
    assert set(region_table(evidence, *MODEL)["region"]) == {ALL}
    assert set(score_table(evidence)["region"]) == {ALL}
    table = target_table(evidence, *MODEL).set_index("target")
    people = [evidence.summaries[s, *MODEL] for s in ("01", "02", "03")]
    np.testing.assert_allclose(
        table.loc["LIFG", "r"], np.mean([d["chosen_r"].values[-1] for d in people]), rtol=1e-6
    )
    share = np.mean([d["significant"].values[-1] for d in people])
    assert table.loc["LIFG", "share_of_subjects"] == pytest.approx(share)
    first, second = parcel_pictures(evidence, *MODEL)
    assert "Shares of parcels" in first.caption
    assert "median" in second.caption


def test_few_parcels_have_no_table_of_targets(make_evidence) -> None:
    assert target_table(make_evidence("parcels", 2), *MODEL).empty


def test_the_page_of_many_parcels_prints_some_and_saves_all(make_study, few_are_many, monkeypatch) -> None:
    monkeypatch.setattr(printed, "MOST_ROWS", 3)
    monkeypatch.setattr("neuroalign.report.numbers.tables.LONG", 5)
    study = make_study("parcels", 2)
    page = write_report(study).read_text(encoding="utf-8")
    assert "The 3 of 6 rows with the highest r" in page
    assert "tables/targets.parquet" in page
    saved = pd.read_parquet(Path(study.output) / "report" / "tables" / "targets.parquet")
    assert len(saved) == 6
