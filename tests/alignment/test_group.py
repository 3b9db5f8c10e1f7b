"""Sign flips against scipy's permutation test, with nominal error rates."""

import numpy as np
import scipy.stats

from neuroalign.alignment.group import sign_flip


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
