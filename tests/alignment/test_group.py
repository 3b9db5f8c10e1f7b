"""Sign flips against scipy's permutation test, with nominal error rates."""

import numpy as np
import scipy.stats

from neuroalign.alignment.group import over_subjects, sign_flip
from neuroalign.settings.statistics import Inference


def test_all_signs_are_the_exact_test_of_scipy(rng):
    values = rng.standard_normal((8, 3)) + 0.5
    p, _ = sign_flip(values, 1000, rng)
    for target in range(3):
        peer = scipy.stats.permutation_test(
            (values[:, target],),
            np.mean,
            permutation_type="samples",
            alternative="greater",
            n_resamples=np.inf,
        )
        np.testing.assert_allclose(p[target], peer.pvalue)


def test_random_signs_are_calibrated_and_the_maximum_controls_the_family(rng):
    alone, family = [], []
    for _ in range(150):
        p, p_max = sign_flip(rng.standard_normal((12, 20)), 199, rng)
        alone.append((p <= 0.05).mean())
        family.append((p_max <= 0.05).any())
    assert abs(np.mean(alone) - 0.05) < 0.01
    low, high = scipy.stats.binom.interval(0.999, 150, 0.05)
    assert low <= np.sum(family) <= high


def test_one_subject_without_any_evidence_does_not_silence_the_others():
    settings = Inference(permutations=999)
    single = np.array([[0.001, 1.0], [0.001, 1.0], [0.001, 1.0], [1.0, 1.0]])
    data, method = over_subjects(np.zeros((4, 2)), single, settings, 0, [])
    assert method == "stouffer"
    p = data["p"][1]
    assert p[0] < 0.01
    assert p[1] > 0.99


def test_stouffer_is_nominal_where_p_values_are(rng):
    settings = Inference(permutations=999)
    single = rng.integers(1, 1001, (3, 20_000)) / 1000
    data, _ = over_subjects(np.zeros(single.shape), single, settings, 0, [])
    low, high = scipy.stats.binom.interval(0.999, 20_000, 0.05)
    assert low <= (data["p"][1] <= 0.05).sum() <= high
