"""Scores of the whole grid, formed from statistics, against predictions that are formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroalign.encoders.solvers import scoring, spectrum
from neuroalign.encoders.solvers.compute import Compute, host
from neuroalign.encoders.solvers.dual import DualProblem
from neuroalign.encoders.solvers.features import centre
from neuroalign.encoders.solvers.primal import PrimalProblem, RowSource
from neuroalign.encoders.solvers.rows import FoldRows
from neuroalign.encoders.solvers.targets import Centred
from neuroalign.errors import DataError

ALPHAS = np.logspace(-4, 5, 19)

CASES = {
    "tall": (60, 8),
    "wide": (40, 90),
    "repeated columns": (48, 16),
    "repeated rows": (48, 16),
    "one column": (30, 1),
    "constant columns": (40, 6),
    "large means": (60, 20),
    "few test samples": (60, 40),
}


def features_of(case, rng):
    n, p = CASES[case]
    X = rng.standard_normal((n, p))
    if case == "repeated columns":
        X[:, p // 2 :] = X[:, : p // 2]
    if case == "repeated rows":
        X[1::2] = X[::2]
    if case == "constant columns":
        X[:, ::2] = [3.0, 0.0, -1e4]
    if case == "large means":
        X += 100
    return X


def problem_by(kind, X, pairs, dtype="float64", device=None, **options):
    compute = Compute.choose(device, 1)
    folds = [FoldRows.of(train, test, len(X)) for train, test in pairs]
    features = centre(X, compute, dtype)[0]
    if kind == "dual":
        return DualProblem(features, folds, compute, dtype, **options)
    return PrimalProblem(RowSource(features, folds, compute), compute, dtype, **options)


def scored(kind, X, Y, train, test, alphas=ALPHAS, dtype="float64", device=None, **options):
    problem = problem_by(kind, X, [(train, test)], dtype, device, **options)
    block = problem.block(Centred.of(Y, problem.compute, dtype).responses)
    found = problem.scorer(0, problem.compute.put(alphas, "float64")).scores(block)
    return [host(each) for each in found]


def planted(X, rng, t=5):
    signal = (X - X.mean(axis=0)) @ rng.standard_normal((X.shape[1], t))
    return signal + rng.standard_normal((len(X), t)) * (signal.std() or 1) + 3


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("kind", ["primal", "dual"])
@pytest.mark.parametrize("case", CASES)
def test_grid_scores_equal_those_of_explicit_predictions(rng, textbook, case, kind, device):
    X = features_of(case, rng)
    Y, n_test = planted(X, rng), 3 if case == "few test samples" else 12
    train, test = np.arange(len(X) - n_test), np.arange(len(X) - n_test, len(X))
    expected = textbook.scores(X, Y, train, test, ALPHAS)
    found = scored(kind, X, Y, train, test, device=device)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-8)
    low = [a.astype(np.float32) for a in (X, Y)]
    found = scored(kind, *low, train, test, dtype="float32", device=device)
    atol = 5e-4 if n_test == 3 else 2e-5  # three predictions may be as good as constant
    np.testing.assert_allclose(found, textbook.scores(*low, train, test, ALPHAS), rtol=1e-4, atol=atol)


@pytest.mark.parametrize(("dtype", "atol"), [("float64", 1e-9), ("float32", 2e-6)])
@pytest.mark.parametrize("kind", ["primal", "dual"])
@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2])
def test_eigenvalues_in_clusters_cost_no_digits(rng, textbook, gap, kind, dtype, atol):
    values = np.concatenate([50 * (1 + gap * np.arange(8)), 3 * (1 + gap * np.arange(5)), [1.0, 0.1]])
    X = textbook.with_spectrum(rng, 40, values, 30)
    train, test = np.arange(40), np.arange(40, 70)
    Y = planted(X, rng)
    expected = textbook.scores(X, Y, train, test, ALPHAS)
    found = scored(kind, X.astype(dtype), Y.astype(dtype), train, test, dtype=dtype)
    np.testing.assert_allclose(found, expected, rtol=100 * atol, atol=atol)


@pytest.mark.parametrize("kind", ["primal", "dual"])
def test_a_condition_of_1e12_keeps_scores_in_float64(rng, textbook, kind):
    X = textbook.with_spectrum(rng, 45, np.logspace(6, -6, 20), 15)
    Y = planted(X, rng)
    train, test = np.arange(45), np.arange(45, 60)
    alphas = np.logspace(-2, 5, 8)
    found = scored(kind, X, Y, train, test, alphas)
    np.testing.assert_allclose(found, textbook.scores(X, Y, train, test, alphas), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", ["primal", "dual"])
@pytest.mark.parametrize("n_test", [2, 9, 40])
def test_predictions_and_the_cauchy_identity_agree(rng, monkeypatch, kind, n_test):
    X = rng.standard_normal((100, 30))
    Y, rows = planted(X, rng), np.arange(100)
    given = X, Y, rows[:-n_test], rows[-n_test:], ALPHAS[::6]
    both = []
    for explicit in (False, True):
        for module in ("scoring", "primal", "dual"):
            name = f"neuroalign.encoders.solvers.{module}.forms_predictions"
            monkeypatch.setattr(name, lambda *_, explicit=explicit: explicit)
        both.append(scored(kind, *given))
    np.testing.assert_allclose(*both, rtol=1e-9, atol=1e-10)


def test_few_penalties_and_test_samples_are_cheaper_by_predictions():
    assert scoring.forms_predictions(3, 10, 100)
    assert not scoring.forms_predictions(20, 10, 100)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(12, 40),
    p=st.integers(1, 60),
    decades=st.floats(0, 3),
    kind=st.sampled_from(["primal", "dual"]),
)
def test_scores_do_not_change_when_features_rotate_or_move(seed, n, p, decades, kind):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * 10.0 ** (decades * rng.uniform(size=p))
    Y = rng.standard_normal((n, 3))
    rotation = np.linalg.qr(rng.standard_normal((p, p)))[0]
    train, test = np.arange(n - 4), np.arange(n - 4, n)
    plain = scored(kind, X, Y, train, test)
    changed = scored(kind, X @ rotation + rng.uniform(-9, 9, p), Y + np.array([5, -3, 100]), train, test)
    np.testing.assert_allclose(plain, changed, rtol=1e-6, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), p=st.integers(1, 40), factor=st.floats(-3, 3))
def test_scaling_features_is_scaling_penalties(seed, p, factor):
    rng = np.random.default_rng(seed)
    X, Y, factor = rng.standard_normal((30, p)), rng.standard_normal((30, 3)), 10.0**factor
    train, test = np.arange(24), np.arange(24, 30)
    kind = "primal" if p < 24 else "dual"
    plain = scored(kind, X, Y, train, test)
    changed = scored(kind, factor * X, -7 * Y, train, test, factor**2 * ALPHAS)
    np.testing.assert_allclose(plain, changed, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["primal", "dual"])
def test_features_that_never_vary_leave_the_training_mean(rng, kind):
    Y = rng.standard_normal((20, 2))
    train, test = np.arange(15), np.arange(15, 20)
    r, r2 = scored(kind, np.full((20, 3), 7.7), Y, train, test)
    assert (r == 0).all()
    np.testing.assert_allclose(r2, 0, atol=1e-12)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("kind", ["primal", "dual"])
def test_weights_of_bands_are_factors_of_their_features(rng, textbook, kind, scale):
    X = rng.standard_normal((50, 12)) * np.arange(1, 13)
    Y, bands, weights = planted(X, rng), [np.arange(4), np.arange(4, 12)], np.array([0.2, 0.0])
    train, test = np.arange(35), np.arange(35, 50)
    problem = problem_by(kind, X, [(train, test)], bands=bands, scale=scale)
    block = problem.block(Centred.of(Y, problem.compute, "float64").responses)
    factors = np.repeat(np.sqrt(weights), [4, 8])
    deviation = X[train].std(axis=0) if scale else 1.0
    expected = textbook.scores(X / deviation * factors, Y, train, test, ALPHAS)
    found = problem.scorer(0, ALPHAS, weights).scores(block)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
    solver, alphas = problem.solver(weights), np.full(5, 3.0)
    factors = factors / (X.std(axis=0) if scale else 1.0)
    expected = factors[:, None] * textbook.solve(X * factors, Y, 3.0)[2]
    np.testing.assert_allclose(solver.basis() @ solver.solve(block, alphas), expected, atol=1e-10)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_the_fallback_decomposes_where_the_fast_driver_fails(rng, monkeypatch, device):
    compute = Compute.choose(device)
    matrix = compute.put(np.cov(rng.standard_normal((6, 30))), "float64")
    expected = np.linalg.eigvalsh(host(matrix))

    def failing(values):
        raise (np.linalg.LinAlgError if device is None else RuntimeError)("did not converge")

    monkeypatch.setattr(compute.xp.linalg, "eigh", failing)
    values, vectors = spectrum.decompose(matrix)
    assert type(values) is type(matrix)
    np.testing.assert_allclose(host(values), expected)
    np.testing.assert_allclose(host(vectors * values @ vectors.T), host(matrix), atol=1e-12)
    monkeypatch.setattr(spectrum.lapack, "dsyev", lambda *_, **__: (None, None, 1))
    with pytest.raises(DataError, match="no eigendecomposition"):
        spectrum.decompose(matrix)
