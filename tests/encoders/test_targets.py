"""Responses of any size and kind: streamed, constant, broken."""

import itertools

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold, ShuffleSplit

from neuroalign.encoders import RidgeEncoder
from neuroalign.encoders.solvers import targets
from neuroalign.encoders.solvers.compute import Compute, host
from neuroalign.errors import DataError

ALPHAS = np.logspace(-1, 4, 6)
N, T = 60, 23
FOLDS = {
    "runs": list(KFold(5).split(np.empty(N))),
    "runs and more": [
        *KFold(5).split(np.empty(N)),
        *ShuffleSplit(2, test_size=0.3, random_state=0).split(np.empty(N)),
    ],
}


@pytest.fixture
def few_bytes(monkeypatch):
    """Files are read a few targets at a time."""
    monkeypatch.setattr(targets, "READ_BYTES", 5 * N * 8)


def memory_map(Y, folder):
    np.save(folder / "y.npy", Y)
    return np.load(folder / "y.npy", mmap_mode="r")


def fortran_map(Y, folder):
    np.save(folder / "y.npy", np.asfortranarray(Y))
    return np.load(folder / "y.npy", mmap_mode="r")


def in_zarr(Y, folder, chunks=(N, 4)):
    array = zarr.create_array(folder / "y.zarr", shape=Y.shape, chunks=chunks, dtype=Y.dtype)
    array[...] = Y
    return array


def in_hdf5(Y, folder, chunks=None):
    with h5py.File(folder / "y.h5", "w") as file:
        file.create_dataset("y", data=Y, chunks=chunks)
    return h5py.File(folder / "y.h5", "r")["y"]


CONTAINERS = {
    "memory map": memory_map,
    "memory map by columns": fortran_map,
    "zarr": in_zarr,
    "zarr by rows": lambda Y, folder: in_zarr(Y, folder, (7, T)),
    "zarr awkwardly": lambda Y, folder: in_zarr(Y, folder, (11, 7)),
    "hdf5": in_hdf5,
    "hdf5 awkwardly": lambda Y, folder: in_hdf5(Y, folder, (13, 9)),
    "hdf5 by samples": lambda Y, folder: in_hdf5(Y, folder, (1, T)),
    "hdf5 by targets": lambda Y, folder: in_hdf5(Y, folder, (N, 1)),
    "xarray": lambda Y, _: xr.DataArray(Y, dims=["time", "place"]),
    "table": lambda Y, _: pd.DataFrame(Y),
    "columns": lambda Y, _: np.asfortranarray(Y),
    "strides": lambda Y, _: np.repeat(Y, 2, axis=1)[:, ::2],
    "lists": lambda Y, _: Y.tolist(),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_targets_from_anywhere_are_those_in_memory(rng, tmp_path, few_bytes, container, dtype):
    X = rng.standard_normal((N, 6))
    Y = (X @ rng.standard_normal((6, T)) + rng.standard_normal((N, T))).astype(dtype)
    expected = RidgeEncoder(ALPHAS, 4, block=3, threads=2).fit(X, Y)
    encoder = RidgeEncoder(ALPHAS, 4, block=3, threads=2).fit(X, CONTAINERS[container](Y, tmp_path))
    np.testing.assert_array_equal(encoder.best_alphas_, expected.best_alphas_)
    for name in ("coef_", "intercept_", "cv_scores_", "cv_r_"):
        np.testing.assert_allclose(getattr(encoder, name), getattr(expected, name), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("container", ["memory map", "zarr", "hdf5", "table", "lists"])
def test_one_target_may_be_a_vector(rng, tmp_path, container):
    X, y = rng.standard_normal((N, 4)), rng.standard_normal(N)
    make = {
        "zarr": lambda y, folder: in_zarr(y, folder, (7,)),
        "table": lambda y, _: pd.Series(y, index=np.arange(N)[::-1]),
    }.get(container, CONTAINERS[container])
    given = make(y, tmp_path)
    expected = RidgeEncoder(ALPHAS, 4).fit(X, y[:, None])
    encoder = RidgeEncoder(ALPHAS, 4).fit(X, given)
    np.testing.assert_array_equal(encoder.coef_, expected.coef_)
    assert encoder.predict(X).shape == (N,)
    assert encoder.score(X, given).shape == (1,)


def test_sharing_penalties_reads_streams_twice(rng, tmp_path, few_bytes):
    X, Y = rng.standard_normal((N, 6)), rng.standard_normal((N, T))
    expected = RidgeEncoder(ALPHAS, 4, alpha_per=np.arange(T) % 3).fit(X, Y)
    encoder = RidgeEncoder(ALPHAS, 4, alpha_per=np.arange(T) % 3).fit(X, in_hdf5(Y, tmp_path))
    np.testing.assert_array_equal(encoder.best_alphas_, expected.best_alphas_)
    np.testing.assert_allclose(encoder.coef_, expected.coef_, rtol=1e-12, atol=1e-14)


class OnFile:
    """Looks like a file's array, and counts what is read."""

    def __init__(self, Y, chunks=None):
        self.shape, self.dtype, self.chunks, self.read = Y.shape, Y.dtype, chunks, []
        self._values = Y

    def __getitem__(self, key):
        self.read.append(key[1])
        return self._values[key]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 90),
    width=st.integers(1, 40),
    chunk=st.integers(1, 100),
    bytes_=st.integers(1, 4000),
    n=st.integers(1, 9),
)
def test_every_target_is_read_once_and_chunks_are_kept_whole(count, width, chunk, bytes_, n):
    Y = np.arange(float(n * count)).reshape(n, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "READ_BYTES", bytes_)
        file = OnFile(Y, (n, chunk))
        seen = []
        for columns, loaded, parts in targets.Targets(file, n).read(width):
            np.testing.assert_array_equal(loaded, Y[:, columns])
            assert all(part.stop - part.start <= width for part in parts)
            seen += [np.arange(count)[columns][part] for part in parts]
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(count))
    if chunk <= max(bytes_ // (8 * n), min(width, count)):
        assert all(columns.start % chunk == 0 for columns in file.read)


def test_a_reader_that_fails_says_so(rng):
    class Broken(OnFile):
        def __getitem__(self, key):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        RidgeEncoder(ALPHAS, 4).fit(rng.standard_normal((N, 3)), Broken(np.zeros((N, 4))))


def unusual(X, rng):
    """Targets that vary in some folds only."""
    base = X[:, :3] @ rng.standard_normal(3) + rng.standard_normal(N)

    def changed(**parts):
        y = base.copy()
        for where, value in parts.items():
            inside = {"first": slice(12), "others": slice(12, None), "third": slice(24, 36)}[where]
            y[inside] = value
        return y

    by_run = base.reshape(5, 12) - base.reshape(5, 12).mean(axis=1, keepdims=True)
    by_run[2] = 0
    spike = np.zeros(N)
    spike[3] = 1
    late = base - base[12:].mean()
    late[:12] = 0
    early = base - base[:12].mean()
    early[12:] = 0
    return {
        "zero": np.zeros(N),
        "constant": np.full(N, 1e7 + 0.1),
        "pi": np.full(N, np.pi),
        "only the first run": changed(others=0),
        "only the first run, from its mean": early,
        "only the first run, off": changed(others=5.3),
        "not the first run": changed(first=7),
        "not the first run, at the mean": late,
        "dead in a standardised run": by_run.ravel(),
        "a spike": spike,
        "a large first run": np.where(np.arange(N) < 12, 1e3, 1) * base,
        "tiny": 1e-13 * base,
        "huge": 1e12 * base,
        "far from zero": base + 1e3,
    }


@pytest.mark.parametrize("metric", ["r2", "r"])
@pytest.mark.parametrize("folds", FOLDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("p", [5, 90])
def test_targets_that_vary_in_some_folds_only(rng, textbook, p, dtype, folds, metric):
    X = rng.standard_normal((N, p)).astype(dtype)
    named = unusual(X, rng)
    Y = np.stack(list(named.values()), axis=1).astype(dtype)
    encoder = RidgeEncoder(ALPHAS, FOLDS[folds], metric).fit(X, Y)
    fine = 1e-8 if dtype == "float64" else 3e-4
    for target, name in enumerate(named):
        scores = np.mean([defined_scores(textbook, X, Y[:, [target]], *f)[metric] for f in FOLDS[folds]], 0)
        best = scores[encoder.best_alphas_[target] == ALPHAS, 0]
        np.testing.assert_allclose(encoder.cv_scores_[target], best, rtol=fine, atol=fine, err_msg=name)
        np.testing.assert_allclose(best, scores.max(), rtol=fine, atol=fine, err_msg=name)
        expected = textbook.predict(X, Y[:, [target]], X, encoder.best_alphas_[target])[:, 0]
        atol = fine * np.abs(expected).max()
        np.testing.assert_allclose(encoder.predict(X)[:, target], expected, rtol=0, atol=atol, err_msg=name)
        if np.ptp(Y[:, target]) == 0:
            assert encoder.best_alphas_[target] == ALPHAS[-1]
            assert (encoder.cv_scores_[target], encoder.cv_r_[target]) == (0, 0)
            assert (encoder.coef_[:, target] == 0).all()
            assert (encoder.predict(X)[:, target] == Y[0, target]).all()


def defined_scores(textbook, X, Y, train, test):
    """By the textbook; 0 where training or test responses vary by rounding errors only."""
    r, r2 = textbook.scores(X, Y, train, test, ALPHAS)
    Y = Y.astype(float)
    rounding = 1e-6 * np.abs(Y).max()
    off = np.abs(Y[test] - Y[train].mean(axis=0)).max()
    if np.ptp(Y[train]) <= 1e-13 * np.abs(Y[train]).max():
        r = 0 * r
    return {"r": 0 * r if np.ptp(Y[test]) < rounding else r, "r2": 0 * r2 if off < rounding else r2}


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("at", [0, 7])
@pytest.mark.parametrize("p", [5, 90])
def test_a_broken_target_stays_in_its_own_column(rng, p, at, value, device):
    X, Y = (rng.standard_normal((N, width)).astype(np.float32) for width in (p, 7))
    clean = RidgeEncoder(ALPHAS, 4, device=device).fit(X, Y)
    Y[at, [1, 6]] = value
    others = [0, 2, 3, 4, 5]
    for alpha_per in ("target", "all", np.array([0, 1, 0, 0, 0, 0, 2])):
        encoder = RidgeEncoder(ALPHAS, 4, alpha_per=alpha_per, device=device).fit(X, Y)
        for name in ("best_alphas_", "cv_scores_", "cv_r_", "intercept_", "y_mean_"):
            assert np.isnan(getattr(encoder, name)[[1, 6]]).all()
            assert np.isfinite(getattr(encoder, name)[others]).all()
        assert np.isnan(encoder.coef_[:, [1, 6]]).all()
        assert np.isnan(encoder.predict(X)[:, [1, 6]]).all()
        if isinstance(alpha_per, str) and alpha_per == "target":
            np.testing.assert_array_equal(encoder.coef_[:, others], clean.coef_[:, others])
            np.testing.assert_array_equal(encoder.cv_scores_[others], clean.cv_scores_[others])
        else:
            only = RidgeEncoder(ALPHAS, 4, alpha_per="all", device=device).fit(X, Y[:, others])
            np.testing.assert_array_equal(encoder.best_alphas_[others], only.best_alphas_)


def test_targets_too_large_or_small_to_be_squared_are_not_fitted(rng):
    X, y = rng.standard_normal((2, N, 1))
    Y = (y * [1e-24, 1e-14, 1, 1e14, 1e22]).astype(np.float32)
    single = RidgeEncoder(ALPHAS, 4).fit(X.astype(np.float32), Y)
    np.testing.assert_array_equal(np.isnan(single.cv_scores_), [True, False, False, False, True])
    np.testing.assert_allclose(single.cv_scores_[1:4], single.cv_scores_[2], atol=1e-6)
    double = RidgeEncoder(ALPHAS, 4).fit(X, Y)
    np.testing.assert_allclose(double.cv_scores_, double.cv_scores_[2], atol=1e-6)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_means_lose_no_digits(rng, dtype, device):
    Y = (rng.standard_normal((1000, 5)) + np.array([0, 1e3, -1e5, 1e6, 1e-3])).astype(dtype)
    centred = targets.Centred.of(Y, Compute.choose(device), dtype)
    eps = np.finfo(dtype).eps
    exact = Y.mean(axis=0, dtype=np.longdouble).astype(float)
    np.testing.assert_allclose(centred.mean, exact, rtol=1e-15, atol=5 * eps)
    wrong = np.abs(host(centred.responses) - (Y.astype(float) - centred.mean))
    assert (wrong < 20 * eps + 1e-15 * np.abs(exact)).all()


@pytest.mark.parametrize(
    ("Y", "message"),
    [
        (None, "requires y"),
        (np.zeros((5, 2)), r"Y has shape \(5, 2\); expected \(60, n_targets\)"),
        (np.zeros(59), "Y has shape"),
        (np.zeros((60, 0)), "Y has shape"),
        (np.zeros((60, 2, 2)), "Y has shape"),
        (np.float64(3), "Y has shape"),
        (np.full((60, 2), "a"), "expected numbers"),
        (np.zeros((60, 2), bool), "expected numbers"),
        (np.zeros((60, 2), complex), "Complex data not supported"),
        (np.zeros((60, 2), object), "expected numbers"),
        (np.zeros((60, 2), "datetime64[s]"), "expected numbers"),
    ],
)
def test_targets_that_are_none_are_one_clear_line(rng, Y, message):
    with pytest.raises(DataError, match=message) as caught:
        RidgeEncoder(ALPHAS, 3).fit(rng.standard_normal((60, 2)), Y)
    assert "\n" not in str(caught.value)


def test_blocks_are_of_about_equal_width():
    (columns, parts), *more = targets.Targets(np.zeros((3, 10)), 3).blocks(4)
    assert (columns, more) == (slice(0, 10), [])
    assert [part.stop - part.start for part in parts] == [3, 3, 4]
    assert all(a.stop == b.start for a, b in itertools.pairwise(parts))
