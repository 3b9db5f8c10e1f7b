"""Clusters and threshold-free enhancement: MNE's on the same maps, nominal errors, planted effects."""

import mne
import numpy as np
import pytest
import scipy.stats
import xarray as xr

from neuroalign.alignment.group import over_subjects
from neuroalign.alignment.inference import significance
from neuroalign.alignment.inference.adjacency import adjacency, channel_adjacency
from neuroalign.alignment.inference.clusters import Neighbours, cluster_masses, enhanced
from neuroalign.errors import DataError
from neuroalign.settings.statistics import Inference

LATENCIES = np.arange(-2, 10) * 0.02
CHANNELS = 20


@pytest.fixture
def cap(rng, epochs):
    return epochs(rng.standard_normal((40, CHANNELS, len(LATENCIES))), LATENCIES)


def smooth(rng, n, channels=CHANNELS):
    """Noise (n, channel, latency) that neighbouring latencies share."""
    noise = rng.standard_normal((n, channels, len(LATENCIES) + 2))
    return (noise[..., :-2] + noise[..., 1:-1] + noise[..., 2:]) / np.sqrt(3)


def test_neighbours_are_those_of_mne(cap):
    names = list(dict.fromkeys(cap["channel"].values))
    info = mne.create_info(names, 100.0, "eeg").set_montage("biosemi32")
    channels, listed = mne.channels.find_ch_adjacency(info, "eeg")
    assert listed == names
    expected = mne.stats.combine_adjacency(channels, len(LATENCIES)).toarray() > 0
    np.fill_diagonal(expected, False)
    found = adjacency(cap)
    np.testing.assert_array_equal(found.matrix.toarray(), expected)
    assert found.notes == ()


def test_invalid_targets_are_left_out_of_the_neighbours(cap):
    valid = np.ones(cap.sizes["target"], bool)
    valid[[3, 40]] = False
    whole = adjacency(cap).matrix.toarray()
    part = adjacency(cap.assign_coords(valid=("target", valid))).matrix.toarray()
    np.testing.assert_array_equal(part, whole[valid][:, valid])


def channels_of(names, types, places):
    x, y, z = np.asarray(places, float).T
    columns = {"channel": names, "channel_type": types, "x": x, "y": y, "z": z}
    return xr.Dataset(coords={name: ("target", np.asarray(values)) for name, values in columns.items()})


def test_channels_of_two_types_are_never_neighbours():
    info = mne.create_info(["MEG 0111", "MEG 0112", "MEG 0113", "MEG 0121", "MEG 0122"], 1.0, "mag")
    types = ["mag", "grad", "grad", "mag", "grad"]
    matrix, notes = channel_adjacency(channels_of(info["ch_names"], types, np.zeros((5, 3))))
    table, names = mne.channels.read_ch_adjacency("neuromag306planar")
    at = [names.index(name.replace(" ", "")) for name in ("MEG 0112", "MEG 0113", "MEG 0122")]
    expected = table.toarray()[np.ix_(at, at)] & ~np.eye(3, dtype=bool)
    found = matrix.toarray()
    np.testing.assert_array_equal(found[np.ix_([1, 2, 4], [1, 2, 4])], expected)
    assert found[0, 3], "MNE's table makes these magnetometers neighbours"
    assert not found[np.ix_([0, 3], [1, 2, 4])].any()
    assert notes == ()


def test_gradiometers_of_other_systems_at_one_place_are_neighbours(rng):
    angle = np.arange(6) * np.pi / 3
    ring = np.column_stack([0.08 * np.cos(angle), 0.08 * np.sin(angle), np.full(6, 0.05)])
    places = np.repeat(np.r_[ring, [[0, 0, 0.1]]], 2, axis=0)
    matrix, _ = channel_adjacency(channels_of([f"G{one}" for one in range(14)], ["grad"] * 14, places))
    found = matrix.toarray()
    assert all(found[2 * one, 2 * one + 1] for one in range(7))
    assert found[12].sum() == 13, "the middle is next to everyone"


@pytest.mark.parametrize(
    ("types", "said"),
    [
        (["eeg"] * 5, "5 of 5 channels of type eeg have no usable position"),
        (["seeg"] * 5, "5 channels of type seeg"),
    ],
)
def test_channels_without_places_have_no_neighbours_and_it_is_said_once(types, said):
    nowhere = np.full((5, 3), np.nan) if types[0] == "eeg" else np.random.default_rng(0).normal(size=(5, 3))
    matrix, notes = channel_adjacency(channels_of(list("abcde"), types, nowhere))
    assert matrix.nnz == 0
    assert len(notes) == 1
    assert said in notes[0]


def test_one_channel_without_a_place_is_counted(rng):
    places = rng.normal(size=(8, 3)) * 0.05 + [0, 0, 0.05]
    places[2] = np.nan
    matrix, notes = channel_adjacency(channels_of(list("abcdefgh"), ["eeg"] * 8, places))
    assert matrix.toarray()[2].sum() == 0
    assert matrix.nnz > 10
    assert "1 of 8 channels" in notes[0]


def test_targets_that_are_no_channels_are_refused(cap):
    with pytest.raises(DataError, match="targets of kind volume have none; set it to fdr or max"):
        adjacency(cap.assign_attrs(kind="volume"))
    with pytest.raises(DataError, match="20 channels × 12 latencies, channel by channel"):
        adjacency(cap.isel(target=np.random.default_rng(0).permutation(cap.sizes["target"])))


def test_clusters_and_enhancement_are_those_of_mne(rng, cap):
    subjects = smooth(rng, 9).reshape(9, -1) + 0.4
    t = scipy.stats.ttest_1samp(subjects, 0).statistic
    near = adjacency(cap).matrix
    options = {"adjacency": near.astype(float), "tail": 1, "n_permutations": 1, "verbose": "ERROR", "seed": 0}
    options |= {"buffer_size": None, "out_type": "indices"}
    _, clusters, _, _ = mne.stats.permutation_cluster_1samp_test(subjects, threshold=2.0, **options)
    labels, masses = cluster_masses(t[None], Neighbours.of(near), 2.0)
    assert len(clusters) == len(masses) > 3
    for (members,) in clusters:
        (label,) = set(labels[0, members])
        assert (labels[0] == label).sum() == len(members)
        np.testing.assert_allclose(masses[label - 1], t[members].sum())
    expected, *_ = mne.stats.permutation_cluster_1samp_test(
        subjects, threshold={"start": 0, "step": 0.1}, **options
    )
    np.testing.assert_allclose(enhanced(t[None], Neighbours.of(near))[0], expected, rtol=1e-9)


def test_many_maps_at_once_are_the_same_as_one_by_one(rng, cap):
    maps = smooth(rng, 6).reshape(6, -1)
    near = Neighbours.of(adjacency(cap).matrix)
    alone = np.stack([enhanced(one[None], near)[0] for one in maps])
    np.testing.assert_allclose(enhanced(maps, near), alone)
    labels, masses = cluster_masses(maps, near, 1.0)
    for one, among in zip(maps, labels, strict=True):
        own, of_own = cluster_masses(one[None], near, 1.0)
        np.testing.assert_array_equal(own[0] > 0, among > 0)
        np.testing.assert_allclose(np.r_[0, of_own][own[0]], np.r_[0, masses][among])


def test_flipped_signs_give_the_p_of_mne(rng, cap):
    unique = np.tanh(0.3 * smooth(rng, 8).reshape(8, -1) + 0.05)
    near = adjacency(cap).matrix
    settings = Inference(correction="cluster", permutations=256, cluster_level=0.05)
    data, method = over_subjects(unique, unique, settings, 0, [cap])
    threshold = scipy.stats.t.isf(0.05, 7)
    _, clusters, p, _ = mne.stats.permutation_cluster_1samp_test(
        np.arctanh(unique),
        threshold=threshold,
        adjacency=near.astype(float),
        tail=1,
        n_permutations=1000,  # more than there are patterns: all of them
        out_type="indices",
        verbose="ERROR",
    )
    assert method == "sign-flip"
    assert len(p) > 2
    # Of the 256 patterns MNE counts the one without flips twice and leaves out the one of flips alone.
    for (members,), expected in zip(clusters, p, strict=True):
        np.testing.assert_allclose(data["p_cluster"][1][members], expected, atol=1.01 / 256)


def study(rng, epochs, forecast, effect=0.0, n=60):
    """Epochs of noise; where an effect is planted, predictions know part of a patch of it."""
    observed = smooth(rng, n)
    prediction = smooth(rng, n)
    observed[:, 4:9, 5:9] += effect * prediction[:, 4:9, 5:9]
    responses = epochs(observed, LATENCIES)
    return forecast(responses, prediction.reshape(n, -1)), responses


@pytest.mark.parametrize("correction", ["cluster", "tfce"])
def test_a_planted_patch_is_found(rng, epochs, forecast, correction):
    settings = Inference(correction=correction, permutations=199)
    found = significance.test(*study(rng, epochs, forecast, 0.8), settings, seed=1)
    verdict = found["significant"].values.reshape(CHANNELS, -1)
    assert verdict[4:9, 5:9].mean() > 0.9
    assert verdict[12:].mean() < 0.02
    single = significance.test(*study(rng, epochs, forecast, 0.8), Inference(permutations=199), seed=1)
    assert "p_cluster" not in single
    assert "null_z" not in single


@pytest.mark.parametrize("correction", ["cluster", "tfce"])
def test_the_family_wise_error_of_one_subject_is_nominal(rng, epochs, forecast, correction, monkeypatch):
    # The predictions are given, not fitted, so that these folds are independent of each other.
    monkeypatch.setattr(significance, "SHARED_PAIRS", 1.0)
    settings = Inference(correction=correction, permutations=99, cluster_level=0.05)
    wrong = sum(
        significance.test(*study(rng, epochs, forecast, n=40), settings, seed)["significant"].values.any()
        for seed in range(60)
    )
    low, high = scipy.stats.binom.interval(0.99, 60, 0.05)
    assert low <= wrong <= high


def test_targets_that_do_not_vary_are_outside_of_clusters(rng, epochs, forecast):
    predictions, responses = study(rng, epochs, forecast, 0.8)
    responses["valid"][[70, 71]] = False
    found = significance.test(
        predictions, responses, Inference(correction="cluster", permutations=99), seed=0
    )
    assert np.isnan(found["p_cluster"].values[[70, 71]]).all()
    assert (found["cluster"].values[[70, 71]] == 0).all()
    assert not found["significant"].values[[70, 71]].any()
    assert found["significant"].values.any()


@pytest.mark.parametrize("correction", ["cluster", "tfce"])
def test_few_subjects_add_up_their_own_nulls(rng, epochs, forecast, correction):
    settings = Inference(correction=correction, permutations=199)
    weak = [
        significance.test(*study(rng, epochs, forecast, 0.4), settings, seed=0).assign_attrs(subject=f"{one}")
        for one in range(3)
    ]
    unique, p = (np.stack([one[name].values for one in weak]) for name in ("r_unique", "p"))
    data, method = over_subjects(unique, p, settings, 0, weak)
    assert method == "stouffer"
    here = data["significant"][1].reshape(CHANNELS, -1)[4:9, 5:9].mean()
    alone = [one["significant"].values.reshape(CHANNELS, -1)[4:9, 5:9].mean() for one in weak]
    assert here > max(alone)
    assert here > 0.7


def test_the_family_wise_error_of_few_and_of_many_subjects_is_nominal(rng, epochs, forecast, monkeypatch):
    monkeypatch.setattr(significance, "SHARED_PAIRS", 1.0)
    settings = Inference(correction="cluster", permutations=99, cluster_level=0.05)
    few = many = 0
    for seed in range(60):
        tests = [significance.test(*study(rng, epochs, forecast, n=24), settings, seed) for _ in range(2)]
        unique, p = (np.stack([one[name].values for one in tests]) for name in ("r_unique", "p"))
        few += over_subjects(unique, p, settings, seed, tests)[0]["significant"][1].any()
        people = 0.2 * smooth(rng, 10).reshape(10, -1)
        many += over_subjects(people, people, settings, seed, tests[:1])[0]["significant"][1].any()
    low, high = scipy.stats.binom.interval(0.99, 60, 0.05)
    assert low <= few <= high
    assert low <= many <= high
