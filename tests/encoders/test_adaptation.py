"""New people: from few samples, at no cost to those the network knows."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.encoders import CrossAttentionEncoder, RidgeEncoder, Tokens
from neuroalign.encoders.attention.tokens import grid
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
    assert ours > theirs + 0.05
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


def test_noise_is_not_predicted(people, known):
    rng = np.random.default_rng(0)
    tokens, _ = people.given(2, 60)
    known.add_subject("noise", tokens, rng.standard_normal((60, 200)))
    assert abs(known.validation_r_["noise"].mean()) < 0.1


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
