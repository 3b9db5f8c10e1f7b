"""How well predictions fit, as every encoder scores itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroalign.encoders.solvers.arguments import Metric, check_metric
from neuroalign.encoders.solvers.compute import host
from neuroalign.encoders.solvers.targets import Targets
from neuroalign.errors import DataError
from neuroalign.metrics import pearson, r_squared


def scored(predicted: np.ndarray, Y: Any, metric: Metric) -> np.ndarray:
    """Score per target (n_targets,) of predictions (n_samples, n_targets) or (n_samples,).

    Pearson r, or R² against the mean of Y; NaN if Y is constant.

    Raises
    ------
    DataError
        Y has other samples or targets, or the metric is unknown.
    """
    n_samples = len(predicted)
    count = Targets(Y, n_samples).count
    predicted, observed = predicted.reshape(n_samples, -1), host(Y).reshape(n_samples, -1)
    if count != predicted.shape[1]:
        raise DataError(f"Y has {count} targets; expected the {predicted.shape[1]} that were fitted")
    if check_metric(metric) == "r":
        return pearson(predicted, observed)
    return r_squared(predicted, observed, observed.mean(axis=0, dtype=np.float64))
