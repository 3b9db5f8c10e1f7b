"""Cross-attention on planted voxels: what it finds, that it is the same again, and what it refuses."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from neuroalign.encoders import CrossAttentionEncoder, RidgeEncoder, Tokens
from neuroalign.encoders.attention import checkpoint, training
from neuroalign.encoders.attention.tokens import grid, recent
from neuroalign.errors import DataError
from neuroalign.metrics import pearson

SIDE, UNITS, LAYERS = 4, 12, ("early", "late")
QUICK = {"steps": 60, "threads": 1, "width": 8, "embedding": 8}


def images(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    return {name: rng.standard_normal((n, SIDE**2, UNITS), dtype=np.float32) for name in LAYERS}


class Cortex:
    """Voxels that read one patch of one layer, with a tuning of their own."""

    def __init__(self, seed: int = 0, n_targets: int = 24, n: int = 240, noise: float = 0.7) -> None:
        rng = np.random.default_rng(seed)
        self.layer = np.arange(n_targets) % 2
        self.patch = rng.integers(0, SIDE**2, n_targets)
        tuning = rng.standard_normal((n_targets, UNITS)) / np.sqrt(UNITS)
        shown = images(rng, n + 100)
        clean = np.stack(
            [
                shown[LAYERS[at]][:, patch] @ w
                for at, patch, w in zip(self.layer, self.patch, tuning, strict=True)
            ],
            1,
        )
        self.tokens = Tokens({name: each[:n] for name, each in shown.items()}, positions=grid(SIDE, SIDE))
        self.fresh = Tokens({name: each[n:] for name, each in shown.items()}, positions=grid(SIDE, SIDE))
        self.responses = clean[:n] + noise * rng.standard_normal((n, n_targets))
        self.clean = clean[n:]


@pytest.fixture(scope="module")
def cortex() -> Cortex:
    return Cortex()


@pytest.fixture(scope="module")
def fitted(cortex: Cortex) -> CrossAttentionEncoder:
    return CrossAttentionEncoder(threads=1, width=16, embedding=32, steps=900).fit(
        cortex.tokens, cortex.responses
    )


def test_local_tuning_is_learned_far_better_than_by_ridge(
    cortex: Cortex, fitted: CrossAttentionEncoder
) -> None:
    flat = [
        np.concatenate([v.reshape(len(v), -1) for v in t.layers.values()], 1)
        for t in (cortex.tokens, cortex.fresh)
    ]
    ridge = RidgeEncoder(np.geomspace(1, 1e5, 15), threads=1).fit(flat[0], cortex.responses)
    r = [
        pearson(each, cortex.clean).mean() for each in (fitted.predict(cortex.fresh), ridge.predict(flat[1]))
    ]
    assert r[0] > r[1] + 0.12


def test_receptive_fields_and_layers_are_recovered(cortex: Cortex, fitted: CrossAttentionEncoder) -> None:
    well = fitted.score(cortex.fresh, cortex.clean) > 0.6
    assert well.mean() > 0.6
    importance = fitted.layer_importance(cortex.fresh, cortex.clean)
    assert (importance.argmax(0) == cortex.layer)[well].mean() > 0.9
    fields = np.stack(list(fitted.fields().values()))[cortex.layer, np.arange(len(cortex.layer))]
    places = grid(SIDE, SIDE)
    centres = fields @ places
    for axis in (0, 1):
        assert np.corrcoef(centres[well, axis], places[cortex.patch][well, axis])[0, 1] > 0.8


def test_the_same_seed_gives_the_same_encoder_and_another_another(cortex: Cortex) -> None:
    first, again, other = (
        CrossAttentionEncoder(seed=seed, **QUICK).fit(cortex.tokens, cortex.responses) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.predict(cortex.fresh), again.predict(cortex.fresh))
    assert np.abs(first.predict(cortex.fresh) - other.predict(cortex.fresh)).max() > 1e-3


def test_chunks_of_targets_change_nothing(cortex: Cortex, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = CrossAttentionEncoder(dropout=0.0, **QUICK).fit(cortex.tokens, cortex.responses)
    monkeypatch.setattr(training, "ATTENTION_VALUES", 1)
    chunked = CrossAttentionEncoder(dropout=0.0, **QUICK).fit(cortex.tokens, cortex.responses)
    np.testing.assert_allclose(whole.predict(cortex.fresh), chunked.predict(cortex.fresh), atol=2e-4)


@pytest.mark.parametrize("queries", ["voxel", "prototype"])
def test_gradients_are_those_of_the_plain_formula(queries: str, cortex: Cortex) -> None:
    encoder = CrossAttentionEncoder(queries=queries, n_prototypes=5, **QUICK).fit(
        cortex.tokens, cortex.responses
    )
    network = encoder._network.double().requires_grad_(True)
    place = training.Place(torch.device("cpu"), "float32")
    rows = np.arange(6)
    batch = [
        tuple(None if part is None else part.double() for part in each)
        for each in place.batch(network, cortex.tokens, rows)
    ]
    embeddings = encoder._embeddings[""].double()
    wanted = torch.from_numpy(cortex.responses[rows])
    found = training.backward(network, batch, embeddings, torch.zeros(24).double(), wanted, place, None)
    moved = {name: value.grad.clone() for name, value in network.named_parameters()}

    @torch.no_grad()
    def loss(given: torch.Tensor) -> torch.Tensor:
        return (network.predict(given, network.shared(batch)) - wanted).square().mean()

    for row, column in ((0, 0), (7, 3)):
        step = torch.zeros_like(embeddings)
        step[row, column] = 1e-5
        numeric = (loss(embeddings + step) - loss(embeddings - step)) / 2e-5
        assert float(found["embeddings"][row, column]) == pytest.approx(float(numeric), rel=1e-4, abs=1e-9)
    with torch.no_grad():
        for name, value in network.named_parameters():
            at = (0,) * value.ndim
            before = value[at].item()
            ends = []
            for change in (1e-5, -1e-5):
                value[at] = before + change
                ends.append(float(loss(embeddings)))
            value[at] = before
            assert float(moved[name][at]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-8), (
                name
            )


def test_attention_sums_to_one_with_the_mean_and_the_silent_token(
    cortex: Cortex, fitted: CrossAttentionEncoder
) -> None:
    looked = fitted.attention(cortex.fresh, targets=[1, 5])["late"]
    assert looked.shape == (100, 2, SIDE**2)
    assert looked.min() >= 0
    assert 0.5 < looked.sum(-1).max() <= 1 + 1e-5
    np.testing.assert_allclose(fitted.fields(targets=[3])["early"].sum(-1), 1, rtol=1e-5)


def test_several_subjects_share_the_network_but_not_the_embeddings() -> None:
    people = {f"sub-{seed}": Cortex(seed, n_targets=6 + seed, n=100 + 20 * seed) for seed in range(2)}
    encoder = CrossAttentionEncoder(**QUICK).fit({n: (c.tokens, c.responses) for n, c in people.items()})
    assert encoder.subjects_ == ["sub-0", "sub-1"]
    assert [e.shape for e in encoder.embeddings_.values()] == [(6, 8), (7, 8)]
    assert encoder.predict(people["sub-1"].fresh, "sub-1").shape == (100, 7)
    with pytest.raises(DataError, match="subject is 'sub-9'"):
        encoder.predict(people["sub-1"].fresh, "sub-9")
    with pytest.raises(DataError, match="subject is 'None'"):
        encoder.predict(people["sub-1"].fresh)


def test_saved_and_loaded_it_predicts_the_same(
    cortex: Cortex, fitted: CrossAttentionEncoder, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "encoder")
    loaded = CrossAttentionEncoder.load(tmp_path / "encoder")
    np.testing.assert_array_equal(loaded.predict(cortex.fresh), fitted.predict(cortex.fresh))
    np.testing.assert_array_equal(loaded.fields()["late"], fitted.fields()["late"])
    np.testing.assert_array_equal(loaded.validation_r_[""], fitted.validation_r_[""])
    (tmp_path / "encoder" / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(DataError, match="not a saved CrossAttentionEncoder"):
        CrossAttentionEncoder.load(tmp_path / "encoder")


class Killed(Exception):
    """The power went."""


def test_killed_and_resumed_it_ends_with_the_same(
    cortex: Cortex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "APART_S", 0.0)
    whole = CrossAttentionEncoder(**QUICK).fit(cortex.tokens, cortex.responses)
    folder, step = tmp_path / "state", training._step
    done = 0

    def dying(*arguments: object) -> None:
        nonlocal done
        done += 1
        if done > 31:
            raise Killed
        step(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(training, "_step", dying)
        with pytest.raises(Killed):
            CrossAttentionEncoder(**QUICK).fit(cortex.tokens, cortex.responses, checkpoint=folder)
    assert folder.is_dir()
    with pytest.raises(DataError, match="other data or settings"):
        CrossAttentionEncoder(**QUICK).fit(cortex.tokens, cortex.responses[::-1], checkpoint=folder)
    with pytest.raises(DataError, match="another architecture"):
        CrossAttentionEncoder(**QUICK | {"width": 9}).fit(cortex.tokens, cortex.responses, checkpoint=folder)
    resumed = CrossAttentionEncoder(**QUICK).fit(cortex.tokens, cortex.responses, checkpoint=folder)
    np.testing.assert_array_equal(resumed.predict(cortex.fresh), whole.predict(cortex.fresh))
    training_done = done
    again = CrossAttentionEncoder(**QUICK).fit(cortex.tokens, cortex.responses, checkpoint=folder)
    assert done == training_done
    np.testing.assert_array_equal(again.predict(cortex.fresh), whole.predict(cortex.fresh))


def test_what_is_held_out_for_validation_teaches_nothing(cortex: Cortex) -> None:
    held = np.arange(200, 240)
    changed = cortex.responses.copy()
    changed[held] = np.random.default_rng(5).permuted(changed[held], axis=0)
    # One evaluation, at the end: validation cannot choose.
    settings = QUICK | {"steps": 1}
    first, second = (
        CrossAttentionEncoder(**settings).fit(cortex.tokens, each, validation=held)
        for each in (cortex.responses, changed)
    )
    np.testing.assert_array_equal(first.predict(cortex.fresh), second.predict(cortex.fresh))


def test_words_in_time_are_found_at_their_delay() -> None:
    rng = np.random.default_rng(0)
    onsets = np.cumsum(rng.uniform(0.2, 0.6, 900))
    words = rng.standard_normal((900, 6)).astype(np.float32)
    times = np.arange(8, onsets[-1], 1.0)
    tuning = rng.standard_normal((6, 8))
    curve = np.exp(-((times[:, None] - onsets - 4) ** 2) / (2 * 0.8**2))
    responses = curve @ words @ tuning + 0.3 * rng.standard_normal((len(times), 8))
    tokens = Tokens({"word": words}, **recent(onsets, times, 8.0))
    encoder = CrossAttentionEncoder(threads=1, width=12, embedding=16, steps=1200).fit(tokens, responses)
    assert np.mean(encoder.validation_r_[""]) > 0.6
    lags = np.linspace(0, 8, 41, dtype=np.float32)[:, None]
    delay = encoder.fields(positions=lags)["word"] @ lags[:, 0]
    np.testing.assert_allclose(delay, 4, atol=1.0)


def test_samples_without_tokens_and_masks() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 5, 6)).astype(np.float32)
    mask = rng.random((60, 5)) < 0.6
    mask[3] = False
    responses = rng.standard_normal((60, 3))
    encoder = CrossAttentionEncoder(**QUICK).fit(Tokens({"a": values}, mask=mask), responses)
    silly = np.where(mask[..., None], values, 1e6)
    found = encoder.predict(Tokens({"a": values}, mask=mask))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, encoder.predict(Tokens({"a": silly}, mask=mask)))


def test_tokens_in_zarr_and_half_precision_are_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((60, 5, 6)).astype(np.float16)
    stored = zarr.create_array(tmp_path / "tokens.zarr", data=values, chunks=(16, 5, 6))
    responses = rng.standard_normal(60)
    first, second = (CrossAttentionEncoder(**QUICK).fit({"a": each}, responses) for each in (values, stored))
    found = first.predict({"a": values})
    assert found.shape == (60,)
    np.testing.assert_array_equal(found, second.predict({"a": stored}))


def test_constant_targets_keep_their_place() -> None:
    rng = np.random.default_rng(0)
    values, responses = rng.standard_normal((60, 5, 6)).astype(np.float32), rng.standard_normal((60, 3))
    responses[:, 1] = 7.0
    encoder = CrossAttentionEncoder(**QUICK).fit({"a": values}, responses)
    np.testing.assert_allclose(encoder.predict({"a": values})[:, 1], 7.0, atol=0.5)
    assert np.isnan(encoder.score({"a": values}, responses)[1])


def test_threads_are_left_as_they_were(cortex: Cortex) -> None:
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    CrossAttentionEncoder(**QUICK).fit(cortex.tokens, cortex.responses)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert threading.active_count() < 20


VALUES = np.ones((20, 3, 4), np.float32) * np.arange(20)[:, None, None]
RESPONSES = np.arange(40.0).reshape(20, 2)


@pytest.mark.parametrize(
    ("tokens", "responses", "message"),
    [
        ({"a": VALUES}, RESPONSES[:19], r"Y has shape \(19, 2\); expected \(20, n_targets\)"),
        ({"a": VALUES, "b": VALUES[:9]}, RESPONSES, r"layers have 20 \(a\), 9 \(b\) samples"),
        ({"a": VALUES[:, 0]}, RESPONSES, r"shape \(20, 4\); expected \(sample, token, unit\)"),
        ({}, RESPONSES, "no layers"),
        ({"a": np.where(VALUES == 3, np.nan, VALUES)}, RESPONSES, "layer 'a' hold NaN"),
        ({"a": VALUES}, np.where(RESPONSES == 3, np.nan, RESPONSES), "1 targets hold NaN"),
        ({"a": VALUES}, None, "subject 'a' has no pair"),
        (
            {"x": ({"a": VALUES}, RESPONSES), "y": ({"b": VALUES}, RESPONSES)},
            None,
            r"subject 'y' has layers \{'b': 4\}; expected \{'a': 4\}",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(tokens: object, responses: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CrossAttentionEncoder(**QUICK).fit(tokens, responses)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queries": "voxels"}, "queries is 'voxels'"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"width": 0}, "width is 0"),
        ({"validation": 1.5}, "validation"),
        ({"device": "cuda:77"}, "device is 'cuda:77'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CrossAttentionEncoder(**QUICK | settings).fit({"a": VALUES}, RESPONSES)


def test_other_layers_and_targets_than_fitted_are_refused(
    fitted: CrossAttentionEncoder, cortex: Cortex
) -> None:
    with pytest.raises(DataError, match="tokens have layers"):
        fitted.predict({"early": np.ones((3, 16, UNITS), np.float32)})
    with pytest.raises(DataError, match="targets are not indices"):
        fitted.attention(cortex.fresh, targets=[24])
    with pytest.raises(DataError, match="validation are not indices"):
        CrossAttentionEncoder(**QUICK).fit(cortex.tokens, cortex.responses, validation=[240])
