"""Pages of EEG and MEG show what was planted, where and when, whatever is known of the channels."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

from neuroalign.report.figures import profile_picture
from neuroalign.report.numbers.tables import subject_table
from neuroalign.report.page import write_report
from neuroalign.report.regions import labels
from neuroalign.report.sensors import continuous, epochs, phrases, timings
from neuroalign.report.sensors.best_times import at_windows, best_windows, epoch_profiles
from neuroalign.report.sensors.epochs import peak_latencies
from neuroalign.report.sensors.topographies import HEAD_M, projected
from neuroalign.report.wording.findings import findings
from neuroalign.report.wording.methods import methods, references

MODEL = ("minilm", "ridge")


def changed(evidence, **coordinates):
    """The evidence with other coordinates of all targets."""
    for kept in (evidence.summaries, evidence.groups):
        for key, dataset in kept.items():
            new = {name: ("target", values) for name, values in coordinates.items()}
            kept[key] = dataset.assign_coords(new)
    return evidence


def test_a_page_of_epochs_says_when_and_where(make_study) -> None:
    study = make_study("sensors", 2)
    text = write_report(study).read_text(encoding="utf-8")
    plain = re.sub(r"<[^>]+>", " ", text)
    for section in ("time", "maps", "profiles", "methods"):
        assert f'<section id="{section}">' in text
    assert "64 EEG channels at 51 latencies, −100 to 400 ms" in plain
    assert "of the standard montage biosemi64" in plain
    assert "r by layer and latency" in plain
    before_config = plain.split("Configuration")[-2]
    for wrong in ("volumes", "voxels", "parcels", "no mesh", "fmriprep", "vertices", "unlabelled"):
        assert wrong not in before_config
    assert 'id="viewer"' not in text


def test_findings_open_with_the_planted_channel_and_latency(make_evidence) -> None:
    evidence = make_evidence("sensors", 2)
    for dataset in (*evidence.summaries.values(), *evidence.groups.values()):
        at = np.flatnonzero((dataset["channel"] == "Oz").values & np.isclose(dataset["latency"], 0.15))
        dataset["chosen_r"][at] = 0.9
    (sentences,) = findings(evidence, subject_table(evidence))
    assert sentences[0].startswith(
        "minilm (ridge) predicts best at Oz, 150 ms from onset, in the group: r = 0.900"
    )
    (pairs,) = [text for text in sentences if "pairs of channel and latency" in text]
    group = evidence.groups[MODEL]
    verdict = group["significant"].values & np.isfinite(group["chosen_r"].values)
    early = group["latency"].values < 0
    scored = np.isfinite(group["chosen_r"].values)
    assert f"{verdict.sum():,} of {scored.sum():,} pairs" in pairs
    assert f"{verdict[early].sum():,} of {scored[early].sum():,} before onset" in pairs


def test_topographies_are_at_the_peaks_of_the_course() -> None:
    seconds = np.arange(-10, 60) / 100
    course = np.exp(-((seconds - 0.1) ** 2) / 2e-4) + 0.6 * np.exp(-((seconds - 0.35) ** 2) / 2e-4) - 0.01
    found = peak_latencies(course, seconds, 2)
    np.testing.assert_allclose(seconds[found], [0.1, 0.35])
    assert peak_latencies(-np.ones(70), seconds) == []
    course[20] = np.nan
    assert 20 not in peak_latencies(course, seconds)
    assert np.diff(seconds[peak_latencies(course, seconds, 6)]).min() >= epochs.APART_S - 1e-9


def test_the_projection_is_that_of_mne() -> None:
    import mne
    from mne.channels.layout import _find_topomap_coords

    montage = mne.channels.make_standard_montage("biosemi64")
    info = mne.create_info(montage.ch_names, 100.0, "eeg").set_montage(montage)
    for channel in info["chs"]:  # MNE scales every channel by its own distance
        channel["loc"][:3] *= HEAD_M / np.linalg.norm(channel["loc"][:3])
    places = np.array([channel["loc"][:3] for channel in info["chs"]])
    wanted = _find_topomap_coords(info, range(64), sphere=(0.0, 0.0, 0.0, HEAD_M))
    np.testing.assert_allclose(projected(places), wanted, atol=1e-9)


def test_heads_hold_the_planted_values_at_significant_channels(make_evidence) -> None:
    evidence = make_evidence("sensors", 2)
    dataset = evidence.groups[MODEL]
    r, depth = epochs._head_rows(dataset, "eeg", several=False)
    assert r.titles == depth.titles
    at = [int(title.replace("−", "-").split()[0]) / 1000 for title in r.titles]
    assert all(0.08 <= latency <= 0.32 for latency in at), "where responses were planted"
    for column, latency in enumerate(at):
        here = np.isclose(dataset["latency"].values, latency)
        np.testing.assert_allclose(r.values[:, column], dataset["chosen_r"].values[here], rtol=1e-6)
        found = depth.values[depth.significant[:, column], column]
        assert abs(np.median(found) - (latency - 0.1) / 0.2) < 0.15
        behind = depth.places[depth.significant[:, column], 1] < -0.03
        assert behind.mean() > 0.8


def test_channels_without_a_place_get_rows(make_evidence) -> None:
    evidence = make_evidence("sensors", 1)
    n = evidence.any_summary.sizes["target"]
    nowhere = changed(evidence, **{axis: np.full(n, np.nan) for axis in "xyz"})
    titles = [picture.title for picture in epochs.head_pictures(nowhere, *MODEL)]
    assert [title.split(": ")[-1] for title in titles] == [
        "r of every channel",
        "best layer of every channel",
    ]
    assert phrases.positions(nowhere.any_summary).startswith("not known")
    inside = changed(make_evidence("sensors", 1), channel_type=np.full(n, "seeg", object))
    assert all("channel" in each.title for each in epochs.head_pictures(inside, *MODEL))


def test_magnetometers_and_gradiometers_have_heads_of_their_own(make_evidence) -> None:
    evidence = make_evidence("sensors", 1)
    table = evidence.any_summary["channel"].values.astype(str)
    names = list(dict.fromkeys(table))
    kinds = np.array(["grad" if names.index(name) % 3 else "mag" for name in table], object)
    # Two gradiometers share a place.
    first = {name: names[names.index(name) - 1] if names.index(name) % 3 == 2 else name for name in names}
    moved = {}
    for axis in "xyz":
        of = dict(zip(table, evidence.any_summary[axis].values, strict=True))
        moved[axis] = np.array([of[first[name]] for name in table])
    changed(evidence, channel_type=kinds, **moved)
    assert set(labels(evidence.any_summary)) == {"magnetometers", "gradiometers"}
    assert evidence.region_names == ["gradiometers", "magnetometers"]
    dataset = evidence.summaries["01", *MODEL]
    rows = [row for kind in ("mag", "grad") for row in epochs._head_rows(dataset, kind, several=True)]
    assert [row.kind for row in rows] == ["mag", "mag", "grad", "grad"]
    assert rows[0].label.startswith("magnetometers")
    assert len(epochs.head_pictures(evidence, *MODEL)) == 1
    assert "22 magnetometers and 42 gradiometers" in phrases.described(dataset)


def test_continuous_recordings_show_channels_and_kernels(make_evidence) -> None:
    evidence = make_evidence("series", 2)
    assert epochs.is_continuous(evidence)
    assert len(continuous.channel_pictures(evidence, *MODEL)) == 1
    assert len(continuous.kernel_pictures(evidence, *MODEL)) == 2
    (sentences,) = findings(evidence, subject_table(evidence))
    assert "kernels weigh most at a lag of 200 ms" in sentences[0]
    text = methods(evidence)
    assert "temporal response functions; Crosse 2016" in text
    assert "Lanczos" not in text
    assert "fmriprep" not in text


def test_methods_of_eeg_cite_what_read_it(make_evidence) -> None:
    evidence = make_evidence("sensors", 2)
    evidence.recordings["01"] = {"cleaning": "The band kept is 0.1 to 40 Hz."}
    text, listed = methods(evidence), " ".join(references(evidence))
    assert "Responses of 64 EEG channels were read from raw data" in text
    assert "The band kept is 0.1 to 40 Hz." in text
    for name in ("Pernet", "Gramfort", "Appelhoff"):
        assert name in listed
    assert "nilearn" not in text


def test_dropped_trials_are_counted_and_warned_of(make_evidence) -> None:
    evidence = make_evidence("sensors", 2)
    for subject, dropped in (("01", 3), ("02", 40)):
        evidence.recordings[subject] = {"n_shown": 100, "n_dropped": dropped}
    assert phrases.samples(evidence) == "trials per subject; 43 of 200 shown were dropped"
    (warned,) = phrases.dropped_warnings(evidence)
    assert warned[0] == "sub-02"
    assert warned[1].startswith("40 % of trials were dropped")


def timing(rho: tuple[float, float, float]) -> xr.Dataset:
    """Layers that peak one after the other, and stimuli that are told apart at 200 ms."""
    seconds, depth = np.arange(-10, 41) / 100, np.linspace(0, 1, 5)
    peak = 0.1 + 0.2 * depth
    layered = {"peak": peak, "onset": peak - 0.03}
    variables = {
        f"{name}{end}": ("layer", values + shift)
        for name, values in layered.items()
        for end, shift in (("", 0), ("_low", -0.01), ("_high", 0.01))
    }
    told = 0.5 + 0.3 * np.exp(-((seconds - 0.2) ** 2) / 0.002)
    return xr.Dataset(
        {
            **variables,
            "depth_by_peak": ("bound", np.array(rho)),
            "generalisation": (("latency", "latency_test"), np.eye(len(seconds)) * 0.2),
            "identification": ("latency", told),
            "identification_band": (("bound", "latency"), np.full((3, len(seconds)), 0.5)),
            "identification_p_max": ("latency", np.where(told > 0.6, 0.005, 1.0)),
        },
        {
            "latency": seconds,
            "latency_test": seconds,
            "layer": [f"layer.{number}" for number in range(5)],
            "depth": ("layer", depth),
            "bound": ["estimate", "low", "high"],
        },
        {"bootstraps": 200},
    )


@pytest.mark.parametrize(
    ("rho", "verdict"),
    [
        ((0.9, 0.4, 1.0), "deeper layers are read later"),
        ((-0.9, -1.0, -0.3), "deeper layers are read earlier"),
        ((0.3, -0.4, 0.8), "that depth follows time is not shown"),
        ((0.9, np.nan, np.nan), "ρ = 0.90."),
    ],
)
def test_order_of_layers_is_claimed_only_beyond_doubt(make_evidence, rho, verdict) -> None:
    evidence = make_evidence("sensors", 1)
    evidence.timings["01", *MODEL] = timing(rho)
    order, told = timings.timing_sentences(evidence, *MODEL)
    assert verdict in order
    assert "told apart best at 200 ms in sub-01: 80.0 % of pairs" in told
    assert [len(each.source) > 1000 for each in timings.timing_pictures(evidence, *MODEL)] == [True] * 3
    assert "Kiesel 2008" in methods(evidence)


def test_without_timing_nothing_is_said_of_it(make_evidence) -> None:
    evidence = make_evidence("sensors", 1)
    assert timings.timing_sentences(evidence, *MODEL) == []
    assert timings.timing_pictures(evidence, *MODEL) == []
    assert "Kiesel" not in methods(evidence)


def clustered(dataset: xr.Dataset) -> xr.Dataset:
    """The same, as if tested by clusters: all that is significant is one of them."""
    verdict = dataset["significant"].values
    number = ("target", np.where(verdict, 1, 0).astype(np.int16))
    return dataset.assign(cluster=number).assign_attrs(inference_correction="cluster")


def test_clusters_that_survive_are_outlined_and_told(make_evidence, monkeypatch) -> None:
    evidence = make_evidence("sensors", 3)
    evidence.groups[MODEL] = clustered(evidence.groups[MODEL])
    drawn = []
    monkeypatch.setattr(epochs.courses, "layer_images", lambda panels, top: drawn.extend(panels))
    picture = epochs.time_pictures(evidence, *MODEL)[0]
    assert "Outlined" in picture.caption
    group = evidence.groups[MODEL]
    at, layer = group["latency"].values, group["best_layer"].values
    verdict = group["significant"].values & np.isfinite(group["chosen_r"].values)
    cells = {(int(one), float(other)) for one, other in zip(layer[verdict], at[verdict], strict=True)}
    (panel,) = drawn
    rows, columns = np.nonzero(panel.outlined)
    assert {
        (int(row), float(panel.seconds[place])) for row, place in zip(rows, columns, strict=True)
    } == cells
    told = " ".join(phrases.sentences(evidence, *MODEL))
    assert f"from {1000 * at[verdict].min():.0f} to {1000 * at[verdict].max():.0f} ms" in told
    assert "1 cluster survives in the group" in told


def test_what_was_not_tested_by_neighbours_has_no_outline(make_evidence) -> None:
    evidence = make_evidence("sensors", 2)
    assert "Outlined" not in epochs.time_pictures(evidence, *MODEL)[0].caption
    assert "cluster" not in " ".join(phrases.sentences(evidence, *MODEL))


def test_the_time_of_a_layer_is_chosen_by_other_subjects(rng) -> None:
    seconds = np.arange(-20, 60) / 100
    courses = 0.02 * rng.standard_normal((400, 1, len(seconds)))
    own = best_windows(courses[:1], seconds)
    assert own.shape == (1, 1)
    assert seconds[own].min() >= 0
    unbiased = at_windows(courses, seconds, best_windows(courses, seconds))
    picked = [at_windows(c[None], seconds, best_windows(c[None], seconds))[0, 0] for c in courses]
    assert np.mean(picked) > 0.02, "the highest of many latencies is high where there is nothing"
    assert abs(unbiased.mean()) < 0.004


def test_profiles_of_epochs_are_read_at_the_planted_time(make_evidence) -> None:
    evidence = make_evidence("sensors", 3)
    panels, about = epoch_profiles(evidence, *MODEL)
    datasets = [evidence.summaries[s, *MODEL] for s in ("01", "02", "03")]
    everywhere = np.mean([np.nanmean(d["r"].values, axis=1) for d in datasets], axis=0)
    assert (panels[0].subjects.mean(axis=0) > 1.5 * everywhere).all()
    assert "chosen by the other subjects" in about
    alone, about = epoch_profiles(make_evidence("sensors", 1), *MODEL)
    assert alone[0].subjects.shape == (1, 7)
    assert "descriptive" in about
    assert profile_picture(evidence, *MODEL).source
