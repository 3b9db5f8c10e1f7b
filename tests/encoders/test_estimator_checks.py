"""The checks of scikit-learn for its estimators."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from neuroalign.encoders import RidgeEncoder

NOT_APPLICABLE = {
    "check_dtype_object": "features are arrays of numbers; others are refused in one line",
    "check_n_features_in_after_fitting": "the number is checked; but responses are called Y, not y",
    "check_supervised_y_no_nan": "a target that is not finite stays NaN and leaves the others alone",
}


@pytest.mark.filterwarnings("ignore:Skipping check:sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [RidgeEncoder(alphas=[0.1, 1.0, 10.0], folds=3), RidgeEncoder(alphas=[1.0], folds=2, device="cpu")],
    expected_failed_checks=lambda _: NOT_APPLICABLE,
)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)
