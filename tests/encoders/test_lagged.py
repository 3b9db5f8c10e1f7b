"""Time-lagged ridge against scikit-learn, mTRFpy and MNE, planted kernels, and difficult input."""

import mne
import numpy as np
import pytest
from mne.decoding import TimeDelayingRidge
from mtrf.model import TRF
from scipy.signal import lfilter
from sklearn.base import clone
from sklearn.linear_model import Ridge

from neuroalign.encoders import LaggedRidgeEncoder, RidgeEncoder, lags_between
from neuroalign.errors import DataError

ALPHAS = np.logspace(-1, 5, 9)
LAGS = [-2, -1, 0, 1, 2, 3]
HZ = 100


def lagged_matrix(X, lags, segments=None):
    """Columns by lag, then by feature; 0 beyond the edges of a segment."""
    segments = np.zeros(len(X)) if segments is None else np.asarray(segments)
    columns = np.zeros((len(X), len(lags), X.shape[1]))
    for label in np.unique(segments):
        here = np.flatnonzero(segments == label)
        for number, lag in enumerate(lags):
            to = here[(here - lag >= here[0]) & (here - lag <= here[-1])]
            columns[to, number] = X[to - lag]
    return columns.reshape(len(X), -1)


def problem(rng, n=300, p=3, t=4, lags=LAGS, segments=None, noise=2.0, kind="white"):
    """Autocorrelated features hardly change from sample to sample: condition numbers about 1e10."""
    X = rng.standard_normal((n, p)) + 1
    if kind == "autocorrelated":
        X = lfilter([1], np.poly([0.99, 0.98, 0.95]), X, axis=0)
        X = X / X.std(axis=0)
    if kind == "offset":
        X = X + 1000
    kernel = rng.standard_normal((len(lags) * p, t))
    return X, lagged_matrix(X, lags, segments) @ kernel + noise * rng.standard_normal((n, t)) + 5


def assert_near(found, expected, share):
    """Largest difference as a share of the largest value."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < share * np.abs(expected).max()


def by_feature(coef, n_features):
    return coef.reshape(-1, n_features, coef.shape[-1]).transpose(1, 0, 2)


SEGMENTS = np.repeat(["a", "b", "c", "d", "e"], [90, 3, 100, 1, 106])


@pytest.mark.parametrize("segments", [None, SEGMENTS], ids=["one run", "runs"])
@pytest.mark.parametrize(
    "lags", [LAGS, [0], [4, 5, 6], [-7, -6], [-3, 0, 8], [0, 400]], ids=lambda lags: str(lags)
)
def test_it_is_the_ridge_encoder_on_the_lagged_matrix(rng, lags, segments):
    X, Y = problem(rng, lags=lags, segments=segments)
    matrix = lagged_matrix(X, lags, segments)
    ours = LaggedRidgeEncoder(lags, ALPHAS, folds=4).fit(X, Y, segments)
    plain = RidgeEncoder(ALPHAS, folds=4).fit(matrix, Y)
    np.testing.assert_array_equal(ours.best_alphas_, plain.best_alphas_)
    np.testing.assert_allclose(ours.cv_scores_, plain.cv_scores_, atol=1e-6)
    np.testing.assert_allclose(ours.cv_r_, plain.cv_r_, atol=1e-6)
    np.testing.assert_allclose(ours.coef_, by_feature(plain.coef_, 3), atol=1e-9)
    np.testing.assert_allclose(ours.intercept_, plain.intercept_)
    np.testing.assert_allclose(ours.predict(X, segments), plain.predict(matrix))
    np.testing.assert_allclose(
        ours.score(X, Y, "r2", segments=segments), plain.score(matrix, Y, "r2"), atol=1e-9
    )


KINDS = pytest.mark.parametrize(("kind", "penalty"), [("white", 10.0), ("autocorrelated", 1e-3)])


@KINDS
def test_weights_are_those_of_scikit_learn(rng, kind, penalty):
    X, Y = problem(rng, segments=SEGMENTS, kind=kind)
    ours = LaggedRidgeEncoder(LAGS, [penalty]).fit(X, Y, SEGMENTS)
    matrix = lagged_matrix(X, LAGS, SEGMENTS)
    peer = Ridge(penalty, solver="svd").fit(matrix, Y)
    assert_near(ours.coef_, by_feature(peer.coef_.T, 3), 1e-8)
    assert_near(ours.predict(X, SEGMENTS), peer.predict(matrix), 1e-10)


@KINDS
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_weights_are_those_of_mtrf(rng, direction, kind, penalty):
    """Its penalty is λ · rate, on moments averaged over trials; its weights are multiplied by the rate."""
    lengths = [90, 110, 100]
    features, responses = problem(rng, p=3, t=2, kind=kind)
    stimulus, recording = (np.split(side, np.cumsum(lengths)[:-1]) for side in (features, responses))
    peer = TRF(direction=1 if direction == "forward" else -1)
    peer.train(stimulus, recording, HZ, -0.02, 0.03, penalty / (HZ * len(lengths)))

    X, Y = (features, responses) if direction == "forward" else (responses, features)
    segments = np.repeat([0, 1, 2], lengths)
    lags = lags_between(-0.02, 0.03, HZ)
    encoder = LaggedRidgeEncoder(lags, [penalty], folds=3, direction=direction).fit(X, Y, segments)
    weights = peer.weights if direction == "forward" else peer.weights[:, ::-1]
    assert_near(encoder.coef_, weights / HZ, 1e-6)
    assert_near(encoder.intercept_, peer.bias[0] / HZ, 1e-6)
    given = {"stimulus": stimulus} if direction == "forward" else {"response": recording}
    assert_near(encoder.predict(X, segments), np.concatenate(peer.predict(**given)), 1e-8)


@KINDS
@pytest.mark.parametrize("times", [(-0.02, 0.03), (0, 0.04), (0.02, 0.05), (-0.05, -0.02)])
def test_weights_are_those_of_mne(rng, times, kind, penalty):
    """MNE centres features, not their lagged copies: the same where nothing is cut off at the edges."""
    X, Y = problem(rng, t=2, kind=kind)
    X = np.pad(X - X.mean(axis=0), [(10, 10), (0, 0)])
    Y = np.pad(Y, [(10, 10), (0, 0)], mode="edge")
    with mne.use_log_level("error"):
        peer = TimeDelayingRidge(*times, HZ, alpha=penalty).fit(X, Y)
    encoder = LaggedRidgeEncoder(lags_between(*times, HZ), [penalty]).fit(X, Y)
    assert_near(encoder.coef_, peer.coef_.transpose(1, 2, 0), 1e-6)
    assert_near(encoder.intercept_, peer.intercept_, 1e-6)
    assert_near(encoder.predict(X), peer.predict(X), 1e-8)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_planted_kernel_is_recovered_at_its_lags(rng, direction):
    """Forward, the response follows; backward, what follows tells what was: one set of lags for both."""
    source = rng.standard_normal((4000, 1))
    follower = lagged_matrix(source, [2, 5]) @ [[1.0], [-0.5]] + 0.1 * rng.standard_normal((4000, 1))
    X, Y = (source, follower) if direction == "forward" else (follower, source)
    encoder = LaggedRidgeEncoder(range(-30, 9), ALPHAS, direction=direction).fit(X, Y)
    expected = np.zeros(39)
    if direction == "forward":
        expected[[30 + 2, 30 + 5]] = 1, -0.5
    else:  # s(t) = f(t + 2) + s(t − 3) / 2, and so on
        expected[32::-3] = 0.5 ** np.arange(11)
    np.testing.assert_allclose(encoder.coef_[0, :, 0], expected, atol=0.03)
    assert encoder.cv_r_ > 0.95


@pytest.mark.parametrize("shift", [-4, 3])
def test_shifting_features_is_shifting_lags(rng, shift):
    X, Y = problem(rng)
    quiet = (np.arange(300) % 100 < 10) | (np.arange(300) % 100 >= 90)
    X[quiet] = 0
    segments = np.repeat([0, 1, 2], 100)
    moved = np.concatenate([np.roll(run, shift, axis=0) for run in np.split(X, 3)])
    plain = LaggedRidgeEncoder(LAGS, ALPHAS).fit(moved, Y, segments)
    shifted = LaggedRidgeEncoder(np.add(LAGS, shift), ALPHAS).fit(X, Y, segments)
    np.testing.assert_allclose(plain.coef_, shifted.coef_, atol=1e-9)
    np.testing.assert_allclose(plain.cv_scores_, shifted.cv_scores_, atol=1e-9)


def test_nothing_passes_from_one_segment_to_another(rng):
    X, Y = problem(rng)
    segments = np.repeat([7, 3], [120, 180])
    encoder = LaggedRidgeEncoder(LAGS, ALPHAS).fit(X, Y, segments)
    changed = X.copy()
    changed[120:] = 1e3
    np.testing.assert_array_equal(
        encoder.predict(changed, segments)[:120], encoder.predict(X, segments)[:120]
    )
    parts = [encoder.predict(part) for part in (X[:120], X[120:])]
    np.testing.assert_allclose(encoder.predict(X, segments), np.concatenate(parts))
    renamed = np.repeat(["x", "x", "y"], [60, 60, 180])
    np.testing.assert_array_equal(encoder.predict(X, renamed), encoder.predict(X, segments))


def test_folds_of_your_own_may_leave_gaps_and_scatter(rng):
    X, Y = problem(rng)
    scattered = rng.permutation(300)
    pairs = [(np.r_[0:90, 130:300], np.arange(100, 120)), (scattered[:200], scattered[220:])]
    ours = LaggedRidgeEncoder(LAGS, ALPHAS, folds=pairs).fit(X, Y, SEGMENTS)
    plain = RidgeEncoder(ALPHAS, folds=pairs).fit(lagged_matrix(X, LAGS, SEGMENTS), Y)
    np.testing.assert_array_equal(ours.best_alphas_, plain.best_alphas_)
    np.testing.assert_allclose(ours.cv_scores_, plain.cv_scores_, atol=1e-6)


@pytest.mark.parametrize("kind", ["white", "autocorrelated", "offset"])
def test_float32_agrees_with_float64(rng, kind):
    X, Y = (side.astype(np.float32) for side in problem(rng, n=3000, kind=kind))
    alphas = np.logspace(-3, 5, 9)
    single = LaggedRidgeEncoder(LAGS, alphas).fit(X, Y)
    double = LaggedRidgeEncoder(LAGS, alphas).fit(X.astype(float), Y.astype(float))
    found, expected = single.predict(X), double.predict(X.astype(float))
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected - expected.mean(axis=0)).max()
    np.testing.assert_allclose(single.cv_scores_, double.cv_scores_, atol=1e-4)


@pytest.mark.parametrize("change", [{"block": 1}, {"threads": 1}, {"threads": 3}, {"device": "cpu"}])
def test_blocks_threads_and_devices_do_not_matter(rng, change):
    X, Y = problem(rng)
    plain = LaggedRidgeEncoder(LAGS, ALPHAS, folds=3).fit(X, Y, SEGMENTS)
    other = LaggedRidgeEncoder(LAGS, ALPHAS, folds=3, **change).fit(X, Y, SEGMENTS)
    np.testing.assert_array_equal(other.best_alphas_, plain.best_alphas_)
    np.testing.assert_allclose(other.coef_, plain.coef_, atol=1e-10)
    np.testing.assert_allclose(other.predict(X, SEGMENTS), plain.predict(X, SEGMENTS))


def test_constant_and_nan_targets_are_defined(rng):
    X, Y = problem(rng)
    clean = LaggedRidgeEncoder(LAGS, ALPHAS).fit(X, Y)
    Y[:, 1], Y[7, 2] = 4.0, np.nan
    encoder = LaggedRidgeEncoder(LAGS, ALPHAS).fit(X, Y)
    assert encoder.best_alphas_[1] == ALPHAS[-1]
    np.testing.assert_allclose(encoder.predict(X)[:, 1], 4.0)
    assert np.isnan(encoder.coef_[:, :, 2]).all()
    assert np.isnan([encoder.best_alphas_[2], encoder.cv_scores_[2], encoder.intercept_[2]]).all()
    np.testing.assert_allclose(encoder.coef_[:, :, [0, 3]], clean.coef_[:, :, [0, 3]], atol=1e-12)


def test_more_columns_than_samples_and_features_that_never_come_inside(rng):
    X, Y = rng.standard_normal((60, 4)), rng.standard_normal((60, 2))
    lags = range(-10, 20)
    encoder = LaggedRidgeEncoder(lags, [10.0], folds=3).fit(X, Y)
    peer = Ridge(10.0).fit(lagged_matrix(X, lags), Y)
    np.testing.assert_allclose(encoder.coef_, by_feature(peer.coef_.T, 4), atol=1e-9)
    never = LaggedRidgeEncoder([100], ALPHAS, folds=3).fit(X, Y)
    np.testing.assert_allclose(never.predict(X), np.tile(Y.mean(axis=0), (60, 1)))


def test_one_alpha_for_all_targets(rng):
    X, Y = problem(rng)
    encoder = LaggedRidgeEncoder(LAGS, ALPHAS, alpha_per="all").fit(X, Y)
    assert len(np.unique(encoder.best_alphas_)) == 1


def test_a_saved_encoder_predicts_as_before(rng, tmp_path):
    X, Y = problem(rng)
    encoder = LaggedRidgeEncoder(range(-2, 4), ALPHAS, direction="backward").fit(X, Y[:, 0], SEGMENTS)
    encoder.save(tmp_path / "trf")
    loaded = LaggedRidgeEncoder.load(tmp_path / "trf")
    np.testing.assert_array_equal(loaded.predict(X, SEGMENTS), encoder.predict(X, SEGMENTS))
    assert loaded.predict(X).shape == (300,)
    np.testing.assert_array_equal(loaded.coef_, encoder.coef_)
    assert (loaded.lags, loaded.direction) == (LAGS, "backward")


def test_it_follows_scikit_learns_conventions():
    encoder = LaggedRidgeEncoder(LAGS, [1.0], metric="r", direction="backward", block=5)
    assert clone(encoder).get_params() == encoder.get_params()


def test_lags_between_times():
    np.testing.assert_array_equal(lags_between(-0.1, 0.4, 100), np.arange(-10, 41))
    np.testing.assert_array_equal(lags_between(0.07, 0.07, 100), [7])  # 0.07 · 100 is above 7
    np.testing.assert_array_equal(lags_between(-0.005, 0.024, 100), [0, 1, 2])
    for wrong in [(0.2, 0.1, 100), (0, 1, 0), (0, np.nan, 100)]:
        with pytest.raises(DataError, match="expected the first not after the last"):
            lags_between(*wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(lags=[]), "expected ascending integers"),
        (dict(lags=[0, 0]), "expected ascending integers"),
        (dict(lags=[3, 1]), "expected ascending integers"),
        (dict(lags=[0.5, 1.5]), "expected ascending integers"),
        (dict(lags=4), "expected ascending integers"),
        (dict(direction="back"), "did you mean 'backward'"),
        (dict(block=0), "block is 0"),
        (dict(alphas=[-1.0]), "positive"),
        (dict(folds=1), "expected 2 to 300"),
        (dict(X=np.full((300, 2), np.nan)), "NaN or infinite"),
        (dict(Y=np.zeros((5, 2))), r"expected \(300, n_targets\)"),
        (dict(segments=[0, 1]), "expected one label per sample"),
    ],
)
def test_bad_input_is_one_clear_line(rng, change, message):
    X, Y = problem(rng)
    given = {"X": X, "Y": Y, "segments": None, "lags": LAGS, "alphas": ALPHAS, **change}
    data = [given.pop(name) for name in ("X", "Y", "segments")]
    with pytest.raises(DataError, match=message) as caught:
        LaggedRidgeEncoder(**given).fit(*data)
    assert "\n" not in str(caught.value)


def test_predicting_from_other_features_is_one_clear_line(rng):
    X, Y = problem(rng)
    encoder = LaggedRidgeEncoder(LAGS, ALPHAS).fit(X, Y)
    with pytest.raises(DataError, match="X has 2 features, but LaggedRidgeEncoder is expecting 3"):
        encoder.predict(X[:, :2])
