"""Where arrays live: the same numbers everywhere, and no traces of it afterwards."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from neuroalign.encoders import RidgeEncoder
from neuroalign.encoders.solvers.compute import Compute, host
from neuroalign.errors import DataError

ALPHAS = np.logspace(-2, 4, 7)


def problem(rng, p=12, t=9, n=60):
    X = rng.standard_normal((n, p))
    return X, X @ rng.standard_normal((p, t)) + 2 * rng.standard_normal((n, t)) + 4


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("p", [12, 150])
@pytest.mark.parametrize("options", [{}, {"scale": True, "metric": "r"}, {"alpha_per": "all"}])
def test_torch_finds_what_numpy_does(rng, p, dtype, options):
    X, Y = (a.astype(dtype) for a in problem(rng, p))
    Y[:, 2], Y[4, 3] = 1.5, np.nan
    plain = RidgeEncoder(ALPHAS, 4, **options).fit(X, Y)
    other = RidgeEncoder(ALPHAS, 4, device="cpu", **options).fit(X, Y)
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_array_equal(other.best_alphas_, plain.best_alphas_)
    for name in ("coef_", "intercept_", "cv_scores_", "cv_r_", "x_mean_", "y_mean_"):
        assert isinstance(getattr(other, name), np.ndarray)
        assert getattr(other, name).dtype == getattr(plain, name).dtype
        np.testing.assert_allclose(getattr(other, name), getattr(plain, name), **tolerance)
    np.testing.assert_allclose(other.predict(X), plain.predict(X), **tolerance)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_tensors_go_in(rng, device):
    X, Y = problem(rng)
    expected = RidgeEncoder(ALPHAS, 3, device=device).fit(X, Y)
    encoder = RidgeEncoder(ALPHAS, 3, device=device).fit(torch.tensor(X), torch.tensor(Y, requires_grad=True))
    np.testing.assert_array_equal(encoder.coef_, expected.coef_)
    np.testing.assert_array_equal(encoder.predict(torch.tensor(X)), expected.predict(X))
    np.testing.assert_array_equal(encoder.score(torch.tensor(X), torch.tensor(Y)), expected.score(X, Y))
    assert encoder.fit(torch.tensor(X), torch.tensor(Y[:, 0])).predict(X).shape == (60,)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize(
    "dtype", ["float16", "int8", "uint16", "int32", "uint32", "int64", ">f8", ">f4", "longdouble", "bfloat16"]
)
def test_numbers_of_any_kind_go_in(rng, device, dtype):
    X, Y = (np.round(8 * a) for a in problem(rng))
    if dtype.startswith("uint"):
        X, Y = X - X.min(), Y - Y.min()
    given = [torch.tensor(a).bfloat16() if dtype == "bfloat16" else a.astype(dtype) for a in (X, Y)]
    expected = RidgeEncoder([1.0], 3).fit(*(host(a).astype(float) for a in given))
    encoder = RidgeEncoder([1.0], 3, device=device).fit(*given)
    double = dtype in ("int64", ">f8", "longdouble")
    assert encoder.coef_.dtype == (np.float64 if double else np.float32)
    np.testing.assert_allclose(encoder.coef_, expected.coef_, atol=1e-12 if double else 1e-5)
    np.testing.assert_allclose(encoder.predict(given[0]), expected.predict(host(given[0])), rtol=1e-4)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_input_stays_as_it_is(rng, device):
    X, Y = problem(rng)
    kept = X.copy(), Y.copy()
    encoder = RidgeEncoder(ALPHAS, 3, scale=True, device=device).fit(X, Y)
    encoder.predict(X)
    np.testing.assert_array_equal(X, kept[0])
    np.testing.assert_array_equal(Y, kept[1])
    for array in (X, Y):
        array.flags.writeable = False
    encoder.fit(X, Y).predict(X)


@pytest.mark.parametrize("p", [12, 150])
def test_threads_do_not_change_what_is_found(rng, p):
    X, Y = problem(rng, p, t=40)
    found = [RidgeEncoder(ALPHAS, 4, block=7, threads=threads).fit(X, Y) for threads in (1, 2, 5)]
    for other in found[1:]:
        np.testing.assert_array_equal(other.best_alphas_, found[0].best_alphas_)
        for name in ("coef_", "cv_scores_", "cv_r_", "intercept_"):
            np.testing.assert_allclose(getattr(other, name), getattr(found[0], name), rtol=1e-11, atol=1e-13)


def test_tall_features_give_the_same_bytes_on_any_number_of_threads(rng):
    X, Y = problem(rng, t=40)
    one, two = (RidgeEncoder(ALPHAS, 4, block=7, threads=threads).fit(X, Y) for threads in (1, 2))
    for name in ("coef_", "cv_scores_", "cv_r_", "intercept_"):
        np.testing.assert_array_equal(getattr(two, name), getattr(one, name))


@pytest.mark.parametrize("device", [None, "cpu"])
def test_limits_of_threads_are_as_before(rng, device):
    X, Y = problem(rng)
    before = blas_threads(), torch.get_num_threads()
    encoder = RidgeEncoder(ALPHAS, 3, device=device, threads=3)
    encoder.fit(X, Y).predict(X)
    encoder.fit_layers([X, X], Y)
    assert (blas_threads(), torch.get_num_threads()) == before
    X[0, 0] = np.inf
    with pytest.raises(DataError):
        encoder.fit(X, Y)
    with pytest.raises(DataError):
        encoder.fit_layers([X[:, 1:], X], Y)
    assert (blas_threads(), torch.get_num_threads()) == before


@pytest.mark.parametrize("device", [None, "cpu"])
def test_within_a_limit_libraries_have_their_share(device):
    compute = Compute.choose(device, 4)
    with compute.limited(2):
        if device is None:
            assert set(blas_threads()) == {2}
        else:
            assert torch.get_num_threads() == 4


def test_results_come_in_order_and_errors_come_out():
    before = blas_threads()
    compute = Compute.choose(threads=3)
    assert compute.map(lambda number: number**2, range(20)) == [number**2 for number in range(20)]
    assert compute.map(lambda number: number, []) == []
    with pytest.raises(ZeroDivisionError):
        compute.map(lambda number: 1 // number, range(4))
    assert blas_threads() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "tpu9"}, "device is 'tpu9'"),
        ({"device": "cuda:99"}, "device is 'cuda:99'"),
        ({"device": "meta"}, "device is 'meta'"),
        ({"device": 3.5}, "device is"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"threads": "two"}, "threads is"),
        ({"scoring": "float8"}, "scoring is 'float8'"),
        ({"scoring": "bfloat16"}, "needs torch"),
    ],
)
def test_a_place_that_is_none_is_one_clear_line(rng, given, message):
    X, Y = problem(rng)
    with pytest.raises(DataError, match=message) as caught:
        RidgeEncoder(ALPHAS, 3, **given).fit(X, Y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("p", [12, 150])
def test_scoring_in_bfloat16_chooses_almost_as_well(rng, p):
    X, Y = (a.astype(np.float32) for a in problem(rng, p, t=30, n=200))
    plain = RidgeEncoder(ALPHAS, 4, device="cpu").fit(X, Y)
    coarse = RidgeEncoder(ALPHAS, 4, device="cpu", scoring="bfloat16").fit(X, Y)
    assert np.abs(coarse.cv_scores_ - plain.cv_scores_).max() < 0.05
    assert (coarse.best_alphas_ == plain.best_alphas_).mean() > 0.8
    same = coarse.best_alphas_ == plain.best_alphas_
    np.testing.assert_array_equal(coarse.coef_[:, same], plain.coef_[:, same])
