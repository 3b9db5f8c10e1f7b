"""The page holds what it must, needs nothing from outside, and its numbers are the datasets' own."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.errors import DataError
from neuroalign.report.page import write_report

HOSTILE = "<script>alert(\"$x$\")</script> & 'q' {{ 7 * 7 }}"


class Page(HTMLParser):
    """Collects a page's text, tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._in_code = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_code = tag in ("script", "style")

    def handle_endtag(self, tag):
        self._in_code = False

    def handle_data(self, data):
        if not self._in_code:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def summary_of(study, subject: str, network: str = "minilm") -> xr.Dataset:
    path = Path(study.output) / layout.SUMMARY.format(subject=subject, network=network, encoder="ridge")
    return xr.load_dataset(path, engine="h5netcdf")


def table(study, name: str) -> pd.DataFrame:
    path = Path(study.output) / "report" / "tables" / f"{name}.tsv"
    return pd.read_csv(path, sep="\t", na_values="n/a", keep_default_na=False, dtype={"subject": str})


@pytest.fixture(scope="module")
def surface_page(surface_study) -> tuple[Path, Page]:
    path = write_report(surface_study)
    return path, read(path)


def test_the_page_loads_nothing_from_outside(surface_page) -> None:
    path, page = surface_page
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "poster", "action", "data"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:image/", "#")), (tag, name, address[:80])
    style = path.read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'")


def test_every_section_is_in_the_table_of_contents(surface_page) -> None:
    _, page = surface_page
    sections = {a["id"] for t, a in page.tags if t == "section"}
    links = {a["href"][1:] for t, a in page.tags if t == "a"}
    assert sections == links
    assert {"findings", "warnings", "profiles", "maps", "viewer", "truth", "penalties", "methods"} <= sections


def test_every_picture_has_words_for_those_who_cannot_see_it(surface_page) -> None:
    _, page = surface_page
    pictures = [a for t, a in page.tags if t == "img"]
    assert len(pictures) >= 8
    assert all(len(a["alt"]) > 10 for a in pictures)


def test_the_viewer_holds_the_meshes_and_every_map(surface_page, surface_study) -> None:
    import base64

    path, _ = surface_page
    text = path.read_text(encoding="utf-8").split('id="viewer-data">')[1].split("</script>")[0]
    data = json.loads(text)
    shown = {(entry["owner"], entry["map"]) for entry in data["maps"]}
    assert {
        ("group", "r"),
        ("sub-02", "best layer"),
        ("sub-03", "r / ceiling"),
        ("group", "significance"),
    } <= shown
    entry = next(e for e in data["maps"] if (e["owner"], e["map"]) == ("sub-02", "depth centroid"))
    codes = np.frombuffer(base64.b64decode(entry["codes"]["R"]), "<u2")
    values = entry["low"] + codes / 65534 * (entry["high"] - entry["low"])
    summary = summary_of(surface_study, "02")
    expected = summary["centroid"].values[summary["hemi"].values == "R"]
    np.testing.assert_array_equal(codes == 65535, np.isnan(expected))
    np.testing.assert_allclose(values[codes != 65535], expected[np.isfinite(expected)], atol=2e-5)
    significant = np.frombuffer(base64.b64decode(data["masks"][entry["mask"]]["R"]), np.uint8)
    np.testing.assert_array_equal(significant, summary["significant"].values[summary["hemi"].values == "R"])
    faces = np.frombuffer(base64.b64decode(data["meshes"]["L"]["faces"]), "<u2")
    assert (faces.size, faces.max()) == (3 * 20480, 10241)


def test_planted_depth_is_compared_target_by_target(surface_page, surface_study) -> None:
    _, page = surface_page
    rows = table(surface_study, "truth").set_index("whose")
    truth = xr.load_dataset(Path(surface_study.dataset.path) / layout.TRUTH, engine="h5netcdf")
    summary = summary_of(surface_study, "02")
    planted, ceiling = truth["depth"].values, truth["ceiling"].values[1]
    kept = np.isfinite(planted) & (ceiling > 0.3) & np.isfinite(summary["centroid"].values)
    expected = np.corrcoef(planted[kept], summary["centroid"].values[kept])[0, 1]
    assert rows.loc["02", "r_centroid"] == pytest.approx(expected, abs=1e-5)
    assert rows.loc["02", "r_centroid"] > 0.9
    noise = (truth["roi"].values == "noise") & np.isfinite(summary["chosen_r"].values)
    share = np.mean(summary["p"].values[noise] < 0.05)
    assert rows.loc["02", "noise_below_level"] == pytest.approx(share, abs=1e-5)
    assert rows.loc["02", "noise_targets"] == noise.sum()
    rate = (truth["roi"].values == "rate") & np.isfinite(summary["chosen_r"].values)
    assert rows.loc["02", "nuisance_significant"] == pytest.approx(
        summary["significant"].values[rate].mean(), abs=1e-5
    )
    assert f"{rows.loc['group', 'r_centroid']:.3f}" in page.text


def test_subject_and_group_numbers_equal_the_datasets(make_study) -> None:
    study = make_study("parcels", 3, average=True)
    page = read(write_report(study))
    subjects = table(study, "subjects")
    means, gains = [], []
    for subject in ("01", "02", "03"):
        summary, twin = summary_of(study, subject), summary_of(study, subject, "minilmuntrained")
        row = subjects[(subjects["subject"] == subject) & (subjects["network"] == "minilm")].iloc[0]
        r = summary["chosen_r"].values.astype(float)
        assert row["r"] == pytest.approx(np.nanmean(r), abs=1e-5)
        assert row["gain_nuisance"] == pytest.approx(np.nanmean(r - summary["nuisance_r"].values), abs=1e-5)
        assert row["gain_twin"] == pytest.approx(np.nanmean(r - twin["chosen_r"].values), abs=1e-5)
        assert row["n_valid"] == np.isfinite(r).sum()
        assert row["share_significant"] == pytest.approx(summary["significant"].values[np.isfinite(r)].mean())
        means.append(np.nanmean(r))
        gains.append(np.nanmean(r - summary["nuisance_r"].values))
    group = table(study, "group").set_index("network").loc["minilm"]
    half = 4.302652729696 * np.std(means, ddof=1) / np.sqrt(3)
    assert group["r"] == pytest.approx(np.mean(means), abs=1e-5)
    assert group["r_ci_low"] == pytest.approx(np.mean(means) - half, abs=1e-4)
    assert group["n_subjects"] == 3
    assert f"mean r of {np.mean(means):.3f}" in page.text
    assert f"Δr = {np.mean(gains):.3f}" in page.text
    assert "average" in set(subjects["subject"])


def test_scores_per_layer_and_region_equal_the_datasets(make_study) -> None:
    study = make_study("volume", 2)
    write_report(study)
    scores = table(study, "scores")
    summary = summary_of(study, "02")
    here = summary["roi"].values == "temporal"
    row = scores[
        (scores["subject"] == "02")
        & (scores["network"] == "minilm")
        & (scores["region"] == "temporal")
        & (scores["layer"] == "encoder.layer.3")
    ].iloc[0]
    layer = summary["layer"].values.tolist().index("encoder.layer.3")
    assert row["r"] == pytest.approx(np.nanmean(summary["r"].values[layer, here]), abs=1e-5)
    assert row["r_unique"] == pytest.approx(np.nanmean(summary["r_unique"].values[layer, here]), abs=1e-5)
    assert row["depth"] == pytest.approx(summary["depth"].values[layer], abs=1e-5)
    assert row["n_targets"] == np.isfinite(summary["chosen_r"].values[here]).sum()


def test_two_encoders_are_told_apart(make_study) -> None:
    study = make_study("volume", 3, encoders=["ridge", "banded_ridge"], average=True)
    page = read(write_report(study))
    sections = {a["id"] for t, a in page.tags if t == "section"}
    assert {"partition", "encoders"} <= sections
    assert {a["href"][1:] for t, a in page.tags if t == "a"} == sections
    assert "banded_ridge predicts better than ridge" in page.text
    assert not re.search(r"\bnan\b", page.text)
    titles = [a["alt"].split(". ")[0] for t, a in page.tags if t == "img"]
    assert len(titles) == len(set(titles)), "no two pictures of one name"
    group = table(study, "group").set_index(["network", "encoder"])
    found = float(group.loc[("minilm", "banded_ridge"), "unique_network"])
    assert f"{found:.3f}" in page.text
    assert pd.isna(group.loc[("minilm", "ridge"), "unique_network"])
    assert set(table(study, "encoders")["whose"]) == {"subjects", "mean subject"}
    parts = table(study, "partition")
    assert set(parts["encoder"]) == {"banded_ridge"}
    scores = table(study, "scores")
    banded = scores[(scores["encoder"] == "banded_ridge") & (scores["network"] == "minilm")]
    total = banded[["unique_network", "shared", "unique_nuisance"]].sum(axis=1)
    np.testing.assert_allclose(total, banded["r2"], atol=1e-5)


def test_one_encoder_has_no_sections_of_several(make_study) -> None:
    study = make_study("parcels", 2)
    page = read(write_report(study))
    assert {"partition", "encoders"}.isdisjoint({a["id"] for t, a in page.tags if t == "section"})
    assert "unique_network" not in table(study, "scores").columns
    assert not (Path(study.output) / "report" / "tables" / "partition.tsv").exists()


def test_hostile_names_are_shown_and_not_run(make_study) -> None:
    study = make_study("volume", 1, title=HOSTILE, roi_names={"temporal": HOSTILE}, warnings=[HOSTILE])
    path = write_report(study)
    page = read(path)
    assert "<script>alert" not in path.read_text(encoding="utf-8")
    assert HOSTILE in page.text
    assert page.text.count(HOSTILE) >= 3
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", path.read_text(encoding="utf-8"))[0]


def test_every_warning_is_on_the_page(make_study) -> None:
    study = make_study(
        "parcels", 3, warnings=["the moon was full", "so was the scanner"], edge_low=0.2, dead_subject="02"
    )
    page = read(write_report(study))
    told = table(study, "warnings")
    assert {"the moon was full", "so was the scanner"} <= set(told["text"])
    assert len(told) >= 5
    for scope, text in told[["scope", "text"]].itertuples(index=False):
        assert f"{scope} {text}" in page.text


def test_one_subject_without_ceiling_regions_or_twin(make_study) -> None:
    study = make_study("volume", 1, ceiling="none", roi=False, twin=False)
    page = read(write_report(study))
    assert "one subject: no group inference" in page.text
    assert "No noise ceiling could be estimated" in page.text
    assert "all targets" in page.text
    assert not re.search(r"\bnan\b", page.text)


def test_every_subject_without_targets_still_makes_a_page(make_study) -> None:
    study = make_study("volume", 1, dead_subject="01")
    page = read(write_report(study))
    assert "no subject has a target that could be scored" in page.text


def test_unknown_surface_space_points_to_the_files(make_study, surface_study) -> None:
    import shutil

    study = make_study("volume", 1)
    for path in (Path(study.output) / "summary").glob("*.nc"):
        shutil.copy(Path(surface_study.output) / "summary" / path.name, path)
        dataset = xr.load_dataset(path, engine="h5netcdf").assign_attrs(space="fsnative")
        dataset.to_netcdf(path, engine="h5netcdf")
    page = read(write_report(study))
    assert "neuroalign has no mesh of the space fsnative" in page.text
    assert not [a for t, a in page.tags if a.get("id") == "viewer"]


def test_without_summaries_there_is_one_clear_line(make_study) -> None:
    import shutil

    study = make_study("parcels", 2)
    shutil.rmtree(Path(study.output) / "summary")
    with pytest.raises(DataError, match="run the stage 'summary' first") as caught:
        write_report(study)
    assert "\n" not in str(caught.value)


def test_a_missing_summary_is_named(make_study) -> None:
    study = make_study("parcels", 3)
    gone = layout.SUMMARY.format(subject="03", network="minilm", encoder="ridge")
    (Path(study.output) / gone).unlink()
    assert "sub-03_network-minilm_encoder-ridge.nc was not found" in read(write_report(study)).text
