"""New people: from few samples, at no cost to those the network knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuroalign.encoders import CrossAttentionEncoder, RidgeEncoder, Tokens
from neuroalign.encoders.attention import adaptation
from neuroalign.encoders.attention.tokens import grid, recent
from neuroalign.errors import DataError
from neuroalign.metrics import pearson

SIDE, UNITS, AXES = 4, 12, 3


class People:
    """Voxels of three people read one patch each, along one of the axes that all share."""

    def __init__(self, n_targets: int = 40, n: int = 200, noise: float = 1.0) -> None:
        rng = np.random.default_rng(1)
        axes = rng.standard_normal((AXES, UNITS)) / np.sqrt(UNITS)
        self.shown = rng.standard_normal((3 * n + 100, SIDE**2, UNITS), dtype=np.float32)
        self.responses, self.clean = [], []
        for person in range(3):
            patch = rng.integers(0, SIDE**2, n_targets)
            self.patch = patch
            tuning = rng.standard_normal((n_targets, AXES)) @ axes
            clean = np.einsum("ntu,tu->nt", self.shown[:, patch], tuning)
            clean /= clean.std(axis=0)
            rows = slice(person * n, (person + 1) * n)
            self.responses.append(clean[rows] + noise * rng.standard_normal((n, n_targets)))
            self.clean.append(clean[-100:])
        self.n = n
        self.fresh = self.tokens(slice(-100, None))

    def tokens(self, rows: slice) -> Tokens:
        return Tokens({"layer": self.shown[rows]}, positions=grid(SIDE, SIDE))

    def given(self, person: int, count: int | None = None) -> tuple[Tokens, np.ndarray]:
        count = self.n if count is None else count
        start = person * self.n
        return self.tokens(slice(start, start + count)), self.responses[person][:count]


@pytest.fixture(scope="module")
def people() -> People:
    return People()


@pytest.fixture(scope="module", params=["voxel", "prototype"])
def known(request: pytest.FixtureRequest, people: People) -> CrossAttentionEncoder:
    encoder = CrossAttentionEncoder(
        request.param, n_prototypes=32, width=16, embedding=32, steps=700, threads=1
    )
    return encoder.fit({"sub-01": people.given(0), "sub-02": people.given(1)})


@pytest.mark.parametrize("count", [20, 50])
def test_few_samples_suffice(people, known, count, tmp_path):
    tokens, responses = people.given(2, count)
    name = f"new-{count}"
    before = known.predict(people.fresh, "sub-01"), known.embeddings_["sub-01"].copy()
    weights = {key: value.clone() for key, value in known._network.state_dict().items()}
    known.add_subject(name, tokens, responses)
    features = tokens.features("flatten")
    ridge = RidgeEncoder(np.geomspace(0.1, 1e5, 13), threads=1).fit(features, responses)
    ours = pearson(known.predict(people.fresh, name), people.clean[2]).mean()
    theirs = pearson(ridge.predict(people.fresh.features("flatten")), people.clean[2]).mean()
    assert ours > theirs + 0.1
    np.testing.assert_array_equal(known.predict(people.fresh, "sub-01"), before[0])
    np.testing.assert_array_equal(known.embeddings_["sub-01"], before[1])
    for key, value in known._network.state_dict().items():
        np.testing.assert_array_equal(value, weights[key])
    known.save(tmp_path / "encoder")
    again = CrossAttentionEncoder.load(tmp_path / "encoder")
    np.testing.assert_array_equal(again.predict(people.fresh, name), known.predict(people.fresh, name))
    assert again.subjects_ == known.subjects_
    shown = again.attention(people.fresh, name, [0, 3])["layer"]
    assert shown.shape == (100, 2, SIDE**2)


def test_where_new_targets_look_is_recovered(people, known):
    tokens, responses = people.given(2, 100)
    known.add_subject("placed", tokens, responses)
    places = grid(SIDE, SIDE)
    well = known.score(people.fresh, people.clean[2], "placed") > 0.6
    assert well.mean() > 0.7
    shown = known.attention(people.fresh, "placed")["layer"].mean(axis=0)
    assert (shown >= 0).all()
    assert shown.sum(axis=-1).max() <= 1 + 1e-5
    fields = known.fields("placed")["layer"]
    np.testing.assert_allclose(fields.sum(axis=-1), 1, rtol=1e-4)
    np.testing.assert_allclose(known.fields("placed", [4, -1])["layer"], fields[[4, -1]], atol=1e-6)
    seen = shown / shown.sum(axis=-1, keepdims=True) @ places
    for axis in (0, 1):
        assert np.corrcoef(seen[well, axis], places[people.patch[well], axis])[0, 1] > 0.8
    assert known.embeddings_["placed"].shape == (40, 32)


def test_parts_of_layers_make_up_the_prediction(people, known):
    tokens, responses = people.given(2, 30)
    known.add_subject("parts", tokens, responses)
    assert known.layer_importance(people.fresh, people.clean[2], "parts").shape == (1, 40)
    mixture, place = known._mixtures["parts"], known._place()
    whole = mixture.predicted(known._network, people.fresh, place)
    rows = np.array([3, 50])
    with torch.no_grad():
        shared = known._network.shared(place.batch(known._network, people.fresh, rows))
        answered = known._network.answers(mixture.embeddings, shared)[:, mixture.chosen]
        expected = torch.einsum("bvkr,vkr->bv", answered, mixture.readouts) + mixture.offset
    np.testing.assert_allclose(whole[rows], expected, atol=2e-4)


@pytest.mark.parametrize("count", [12, 90])
def test_it_is_the_posterior_mean_of_gaussian_processes(people, known, count):
    """By the textbook: dense covariances, one known target and one noise at a time."""
    tokens, responses = people.given(2, count)
    wanted = (responses - responses.mean(0)) / responses.std(0)
    place, network = known._place(), known._network
    few = adaptation.Known(known._embeddings["sub-01"][:9], torch.tensor([0.5, 3.0]).double())
    found = adaptation.adapt(network, few, tokens, wanted, place).predicted(network, people.fresh, place)
    both = Tokens(
        {"layer": np.concatenate([tokens.layers["layer"], people.fresh.layers["layer"]])},
        positions=grid(SIDE, SIDE),
    )
    with torch.no_grad():
        shared = network.shared(place.batch(network, both, np.arange(len(both))))
        answered = network.answers(few.embeddings, shared).double().numpy()
        readouts = network.readouts(few.embeddings).double().numpy()
    covariance = readouts.T @ readouts / len(readouts)
    answered -= answered[:count].mean(0)
    kernels = np.einsum("adr,rs,bds->dab", answered, covariance, answered)
    scale = np.trace(kernels[:, :count, :count].mean(0)) / count
    evidence, means = [], []
    contrasts = np.linalg.qr(np.column_stack([np.ones(count), np.eye(count)[:, 1:]]))[0][:, 1:]
    for noise in (0.5, 3.0):
        for kernel in kernels / scale:
            inside = contrasts.T @ (kernel[:count, :count] + noise * np.eye(count)) @ contrasts
            solved = np.linalg.solve(inside, contrasts.T @ wanted)
            energy = np.einsum("nv,nv->v", contrasts.T @ wanted, solved)
            evidence.append(-0.5 * np.linalg.slogdet(inside)[1] - (count - 1) / 2 * np.log(energy))
            means.append(kernel[count:, :count] @ contrasts @ solved)
    probable = np.exp(np.array(evidence) - np.max(evidence, axis=0))
    probable /= probable.sum(axis=0)
    expected = np.einsum("mv,mnv->nv", probable, np.array(means))
    # What is improbable is left out.
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_the_same_again_and_nothing_of_what_comes_later(people, known):
    tokens, responses = people.given(2, 40)
    first, again = (known._adapted(tokens, responses)[0] for _ in range(2))
    np.testing.assert_array_equal(first.readouts, again.readouts)
    changed = responses.copy()
    changed[:, 0] = np.random.default_rng(0).permutation(changed[:, 0])
    other = known._adapted(tokens, changed)[0]
    one, two = (each.predicted(known._network, people.fresh, known._place()) for each in (first, other))
    np.testing.assert_allclose(one[:, 1:], two[:, 1:], atol=1e-4)


def test_noise_is_not_predicted(people, known):
    rng = np.random.default_rng(0)
    tokens, _ = people.given(2, 60)
    known.add_subject("noise", tokens, rng.standard_normal((60, 200)))
    assert abs(known.validation_r_["noise"].mean()) < 0.1
    assert known.predict(people.fresh, "noise").std(axis=0).mean() < 0.4


def test_words_of_few_known_targets():
    """Samples lack tokens, and there are too few known targets to be of different kinds."""
    rng = np.random.default_rng(0)
    words = {"a": rng.standard_normal((150, 5)), "b": rng.standard_normal((150, 4))}
    tokens = Tokens(words, **recent(np.arange(150) * 0.7, np.arange(3, 103), 4.0))
    first = Tokens(words, **recent(np.arange(150) * 0.7, np.arange(3, 33), 3.0))
    encoder = CrossAttentionEncoder(width=4, embedding=4, steps=20, threads=1)
    encoder.fit({"one": (tokens, rng.standard_normal((100, 2)))})
    encoder.add_subject("two", first, rng.standard_normal((30, 3)))
    assert np.isfinite(encoder.predict(tokens, "two")).all()
    assert encoder.fields("two", positions=np.zeros((7, 1)))["b"].shape == (3, 7)


def test_what_is_constant_and_what_is_alone(people, known):
    tokens, responses = people.given(2, 20)
    known.add_subject("single", tokens, responses[:, 0])
    assert known.predict(people.fresh, "single").shape == (100,)
    known.add_subject("still", tokens, np.full((20, 2), 3.0))
    np.testing.assert_allclose(known.predict(people.fresh, "still"), 3.0, atol=0.5)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("sub-01", lambda tokens, y: (tokens, y), "is known already"),
        ("new", lambda tokens, y: (tokens, y[:-1]), r"Y has shape \(19, 40\); expected \(20, n_targets\)"),
        ("new", lambda tokens, y: (tokens.at(np.arange(8)), y[:8]), "8 samples; expected 10 or more"),
        ("new", lambda tokens, y: (tokens, np.where(y > 2, np.nan, y)), "NaN or infinite"),
        ("new", lambda tokens, y: ({"other": tokens.layers["layer"]}, y), "expected .* as fitted"),
    ],
)
def test_mistakes_are_one_clear_line(people, known, name, change, message):
    tokens, responses = people.given(2, 20)
    with pytest.raises(DataError, match=message) as caught:
        known.add_subject(name, *change(tokens, responses))
    assert "\n" not in str(caught.value)
    assert "new" not in known.subjects_
