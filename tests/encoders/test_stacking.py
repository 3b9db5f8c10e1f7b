"""Stacks: above both encoders where each has its targets, and blind to what is held out."""

from __future__ import annotations

import numpy as np
import pytest

from neuroalign.encoders import CrossAttentionEncoder, RidgeEncoder, StackedEncoder, Tokens
from neuroalign.encoders.attention.tokens import grid
from neuroalign.errors import DataError
from neuroalign.metrics import pearson

SIDE, UNITS = 3, 10
ATTENTION = CrossAttentionEncoder(width=16, embedding=32, steps=400, threads=1)
RIDGE = RidgeEncoder(np.geomspace(0.1, 1e5, 13), threads=1)
QUICK = CrossAttentionEncoder(width=4, embedding=4, steps=10, threads=1)


class Mixed:
    """Half of the targets read one patch, half a feature that no token has, and two nothing at all."""

    def __init__(self, n: int = 240, n_targets: int = 20) -> None:
        rng = np.random.default_rng(2)
        shown = rng.standard_normal((n + 200, SIDE**2, UNITS), dtype=np.float32)
        extra = rng.standard_normal((n + 200, 3), dtype=np.float32)
        patch = rng.integers(0, SIDE**2, n_targets)
        local = np.einsum("ntu,tu->nt", shown[:, patch], rng.standard_normal((n_targets, UNITS)))
        other = extra @ rng.standard_normal((3, n_targets))
        clean = np.where(np.arange(n_targets) < n_targets // 2, local / local.std(0), other / other.std(0))
        clean[:, -2:] = 0
        self.clean = clean[n:]
        self.responses = clean[:n] + 0.8 * rng.standard_normal((n, n_targets))
        self.tokens, self.fresh = (
            Tokens({"layer": shown[rows]}, positions=grid(SIDE, SIDE)) for rows in (slice(n), slice(n, None))
        )
        self.features, self.fresh_features = extra[:n], extra[n:]


@pytest.fixture(scope="module")
def mixed() -> Mixed:
    return Mixed()


@pytest.fixture(scope="module")
def fitted(mixed: Mixed) -> StackedEncoder:
    return StackedEncoder(ATTENTION, RIDGE).fit(mixed.tokens, mixed.responses, features=mixed.features)


def test_every_target_gets_what_predicts_it(mixed, fitted, tmp_path):
    weights = fitted.weights_[""]
    assert weights[:10].min() > 0.6
    assert weights[10:18].max() < 0.2
    found = fitted.predict(mixed.fresh, features=mixed.fresh_features)
    r = pearson(found, mixed.clean)[:18].mean()
    alone = [
        np.mean([network.predict(mixed.fresh) for network in fitted.networks_], axis=0),
        fitted.ridges_[""].predict(mixed.fresh_features),
    ]
    assert r > max(np.nan_to_num(pearson(each, mixed.clean)[:18]).mean() for each in alone) + 0.2
    assert np.abs(found[:, -2:]).mean() < 0.3
    fitted.save(tmp_path / "stack")
    again = StackedEncoder.load(tmp_path / "stack")
    np.testing.assert_array_equal(again.predict(mixed.fresh, features=mixed.fresh_features), found)


def test_weights_do_not_see_what_no_fold_tests(mixed):
    rows = np.arange(240)
    folds = [(rows[60:160], rows[:60]), (rows[:100], rows[100:160])]
    changed = mixed.responses.copy()
    changed[160:] = np.random.default_rng(0).permuted(changed[160:], axis=0)
    first, second = (
        StackedEncoder(QUICK, RIDGE, folds).fit(mixed.tokens, each) for each in (mixed.responses, changed)
    )
    np.testing.assert_array_equal(first.weights_[""], second.weights_[""])
    np.testing.assert_array_equal(
        first.networks_[0].predict(mixed.fresh), second.networks_[0].predict(mixed.fresh)
    )


def test_several_people_and_a_vector(mixed):
    people = {
        "sub-01": (mixed.tokens, mixed.responses),
        "sub-02": (mixed.tokens.at(np.arange(90)), mixed.responses[:90, 0]),
    }
    encoder = StackedEncoder(QUICK, RIDGE, folds=2, pool="mean").fit(people)
    assert encoder.subjects_ == ["sub-01", "sub-02"]
    assert encoder.predict(mixed.fresh, "sub-02").shape == (200,)
    assert encoder.score(mixed.fresh, mixed.clean, "sub-01").shape == (20,)
    assert encoder.ridges_["sub-01"].n_features_in_ == UNITS


def test_what_was_done_is_not_done_again(mixed, tmp_path, monkeypatch):
    encoder = StackedEncoder(QUICK, RIDGE, folds=2)
    whole = encoder.fit(mixed.tokens, mixed.responses, checkpoint=tmp_path).predict(mixed.fresh)
    monkeypatch.setattr("neuroalign.encoders.attention.training._step", None)
    again = encoder.fit(mixed.tokens, mixed.responses, checkpoint=tmp_path).predict(mixed.fresh)
    np.testing.assert_array_equal(again, whole)


@pytest.mark.parametrize(
    ("settings", "features", "message"),
    [
        ({"pool": "most"}, None, "pool is 'most'"),
        ({"folds": 1}, None, "expected 2 to 240"),
        ({"folds": {"sub-02": 3}}, None, "folds have no subject ''"),
        ({"folds": [(np.arange(60), np.arange(100, 150))] * 2}, None, "more than once"),
        ({}, np.ones((239, 2)), "have 239 samples; expected 240 as the tokens"),
    ],
)
def test_mistakes_are_one_clear_line(mixed, settings, features, message):
    with pytest.raises(DataError, match=message) as caught:
        StackedEncoder(QUICK, RIDGE, **settings).fit(mixed.tokens, mixed.responses, features=features)
    assert "\n" not in str(caught.value)


def test_another_folder_is_refused(mixed, tmp_path):
    QUICK.fit(mixed.tokens, mixed.responses).save(tmp_path / "network")
    with pytest.raises(DataError, match="not a saved StackedEncoder"):
        StackedEncoder.load(tmp_path / "network")
