"""Fitted encoders on disk."""

import json
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from neuroalign.encoders import RidgeEncoder
from neuroalign.encoders.solvers import targets
from neuroalign.errors import DataError

ALPHAS = np.logspace(-1, 4, 6)
FOUND = ("coef_", "intercept_", "best_alphas_", "cv_scores_", "cv_r_", "x_mean_", "y_mean_", "n_features_in_")


def problem(rng, p=12, t=6, n=60):
    X = rng.standard_normal((n, p))
    return X, X @ rng.standard_normal((p, t)) + 3 * rng.standard_normal((n, t)) + 5


def same(a, b):
    for name in FOUND:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [12, 150])
def test_a_saved_encoder_predicts_as_before(rng, tmp_path, p, dtype):
    X, Y = (a.astype(dtype) for a in problem(rng, p))
    Y[3, 1] = np.nan
    encoder = RidgeEncoder(ALPHAS, folds=3, metric="r", scale=True, alpha_per=[0, 1, 1, 0, 2, 2]).fit(X, Y)
    encoder.save(tmp_path / "deep" / "ridge")
    loaded = RidgeEncoder.load(tmp_path / "deep" / "ridge")
    same(loaded, encoder)
    np.testing.assert_array_equal(loaded.predict(X), encoder.predict(X))
    assert loaded.coef_.dtype == np.dtype(dtype)
    assert loaded.get_params() == {**encoder.get_params(), "alphas": ALPHAS.tolist()}
    assert isinstance(loaded._weights, np.memmap)


def test_parameters_of_any_kind_are_saved(rng, tmp_path):
    X, Y = problem(rng)
    given = RidgeEncoder(
        (np.float32(1), 2), np.int64(3), alpha_per=tuple("aabbcc"), block=np.int32(9), threads=1
    )
    given.fit(X, Y).save(tmp_path / "ridge")
    loaded = RidgeEncoder.load(tmp_path / "ridge")
    assert (loaded.alphas, loaded.folds, loaded.block, loaded.threads) == ([1.0, 2.0], 3, 9, 1)
    assert loaded.alpha_per == list("aabbcc")
    same(loaded.fit(X, Y), given)
    RidgeEncoder(ALPHAS, iter([(np.arange(30), np.arange(30, 60))])).fit(X, Y).save(tmp_path / "ridge")
    assert RidgeEncoder.load(tmp_path / "ridge").folds == 5


@pytest.mark.parametrize("p", [12, 150])
def test_one_target_stays_a_vector(rng, tmp_path, p):
    X, Y = problem(rng, p)
    encoder = RidgeEncoder(ALPHAS, 3).fit(X, Y[:, 0], store=tmp_path / "one")
    assert encoder.predict(X).shape == (60,)
    np.testing.assert_array_equal(RidgeEncoder.load(tmp_path / "one").predict(X), encoder.predict(X))


@pytest.mark.parametrize("options", [{}, {"alpha_per": "all"}])
@pytest.mark.parametrize("p", [12, 150])
def test_written_while_fitted_is_the_same(rng, tmp_path, monkeypatch, p, options):
    X, Y = problem(rng, p, t=23)
    Y[0, 3] = np.nan
    np.save(tmp_path / "y.npy", Y)
    monkeypatch.setattr(targets, "READ_BYTES", 4000)
    expected = RidgeEncoder(ALPHAS, 3, block=4, **options).fit(X, Y)
    expected.save(tmp_path / "saved")
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    encoder = RidgeEncoder(ALPHAS, 3, block=4, **options).fit(X, mapped, store=tmp_path / "stored")
    assert isinstance(encoder._weights, np.memmap)
    for name in FOUND:
        np.testing.assert_allclose(getattr(encoder, name), getattr(expected, name), rtol=1e-12, atol=1e-14)
    same(RidgeEncoder.load(tmp_path / "stored"), encoder)
    settings = [json.loads((tmp_path / at / "encoder.json").read_text()) for at in ("saved", "stored")]
    assert settings[0] == settings[1]
    shapes = [
        {
            name: (array.shape, array.dtype)
            for name, array in load_file(tmp_path / at / "weights.safetensors").items()
        }
        for at in ("saved", "stored")
    ]
    if p == 12:  # weights of features stand in memory, on disk their factors
        assert (shapes[0].pop("_basis")[0], shapes[1].pop("_basis")[0]) == ((0, 0), (12, 12))
    assert shapes[0] == shapes[1]


def test_neither_targets_nor_weights_need_memory(rng, tmp_path, monkeypatch):
    n, p, t = 40, 30, 50_000
    X = rng.standard_normal((n, p))
    Y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", float, (n, t))
    Y[:] = rng.standard_normal((n, 1))
    monkeypatch.setattr(targets, "READ_BYTES", 2**20)
    tracemalloc.start()
    try:
        encoder = RidgeEncoder(ALPHAS, 3, threads=1).fit(X, Y, store=tmp_path / "ridge")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    kept = sum(getattr(encoder, name).nbytes for name in ("_weights", "cv_scores_", "cv_r_", "y_mean_"))
    assert peak < (Y.nbytes + kept) / 4


def test_saving_over_an_encoder_replaces_it(rng, tmp_path):
    X, Y = problem(rng)
    RidgeEncoder(ALPHAS, 3).fit(X, Y).save(tmp_path / "ridge")
    loaded = RidgeEncoder.load(tmp_path / "ridge")
    coef = loaded.coef_
    loaded.save(tmp_path / "ridge")
    np.testing.assert_array_equal(RidgeEncoder.load(tmp_path / "ridge").coef_, coef)
    refitted = RidgeEncoder(ALPHAS, 3).fit(X, -Y, store=tmp_path / "ridge")
    np.testing.assert_allclose(refitted.coef_, -coef)


def test_a_fit_that_fails_leaves_what_was_there(rng, tmp_path):
    X, Y = problem(rng)
    expected = RidgeEncoder(ALPHAS, 3).fit(X, Y, store=tmp_path / "ridge")
    coef = expected.coef_
    X[0, 0] = np.nan
    with pytest.raises(DataError, match="NaN"):
        RidgeEncoder(ALPHAS, 3).fit(X, -Y, store=tmp_path / "ridge")
    np.testing.assert_array_equal(RidgeEncoder.load(tmp_path / "ridge").coef_, coef)
    assert [path.name for path in tmp_path.iterdir()] == ["ridge"]


def truncated(folder):
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def empty(folder):
    (folder / "weights.safetensors").write_bytes(b"")


def scrambled(folder):
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"\xff" * 200 + weights.read_bytes()[200:])


def without_weights(folder):
    (folder / "weights.safetensors").unlink()


def without_one_array(folder):
    arrays = load_file(folder / "weights.safetensors")
    del arrays["cv_r_"]
    save_file(arrays, folder / "weights.safetensors")


def of_integers(folder):
    arrays = load_file(folder / "weights.safetensors")
    save_file(
        {name: array.astype(np.int64) for name, array in arrays.items()}, folder / "weights.safetensors"
    )


def without_settings(folder):
    (folder / "encoder.json").unlink()


def settings_of(text):
    def write(folder):
        (folder / "encoder.json").write_text(text)

    return write


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        empty,
        scrambled,
        without_weights,
        without_one_array,
        of_integers,
        without_settings,
        settings_of(""),
        settings_of("{"),
        settings_of("[]"),
        settings_of("null"),
        settings_of('{"encoder": "RidgeEncoder"}'),
        settings_of('{"encoder": "OtherEncoder", "parameters": {}}'),
        settings_of('{"encoder": "RidgeEncoder", "parameters": 5}'),
        settings_of('{"encoder": "RidgeEncoder", "parameters": {"colour": "red"}}'),
    ],
)
def test_damaged_files_are_one_clear_line(rng, tmp_path, damage):
    RidgeEncoder([1.0], 3).fit(*problem(rng)).save(tmp_path / "ridge")
    damage(tmp_path / "ridge")
    with pytest.raises(DataError, match="not a saved RidgeEncoder") as caught:
        RidgeEncoder.load(tmp_path / "ridge")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "ridge") in str(caught.value)


def test_nothing_there_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match="not a saved RidgeEncoder"):
        RidgeEncoder.load(tmp_path)
    with pytest.raises(DataError, match="not a saved RidgeEncoder"):
        RidgeEncoder.load(tmp_path / "nowhere")
