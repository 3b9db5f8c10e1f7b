"""Features checked and centred, where they are computed with."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroalign.encoders.solvers.compute import Array, Compute, Dtype, host
from neuroalign.encoders.solvers.moments import in_float64
from neuroalign.encoders.solvers.targets import number_type
from neuroalign.errors import DataError


def check_features(features: Any) -> Any:
    """Features as they are, if they are (n_samples, n_features) numbers.

    Raises
    ------
    DataError
        Another shape, or no numbers.
    """
    if hasattr(features, "toarray"):
        raise DataError("X is sparse, which is not supported; give X.toarray()")
    if not (hasattr(features, "shape") and hasattr(features, "dtype")):
        features = np.asarray(features)
    shape = tuple(features.shape)
    if len(shape) != 2:
        raise DataError(f"X has shape {shape}; expected (n_samples, n_features). Reshape your data")
    if 0 in shape:
        what = "feature(s)" if shape[0] else "sample(s)"
        raise DataError(f"X has 0 {what} (shape={shape}) while a minimum of 1 is required.")
    number_type(features, "X")
    return features


def centre(features: Any, compute: Compute, dtype: Dtype) -> tuple[Array, np.ndarray]:
    """Features about their means, in the dtype, and the means (n_features,) in float64 on the host.

    Raises
    ------
    DataError
        NaN or infinite values.
    """
    here = compute.copy(features, dtype)
    mean = sum(rows.sum(0) for rows in in_float64(here)) / len(here)
    check_finite(here, mean, compute)
    here -= compute.xp.astype(mean, here.dtype)
    return here, host(mean)


def check_finite(features: Array, total: Array, compute: Compute) -> None:
    """Refuse features whose `total` over samples shows NaN or infinite values.

    Raises
    ------
    DataError
        NaN or infinite values.
    """
    xp = compute.xp
    if not bool(xp.all(xp.isfinite(total))):
        wrong = int(xp.sum(xp.astype(~xp.isfinite(features), xp.int64)))
        what = (
            f"{wrong} NaN or infinite values; remove or impute them"
            if wrong
            else "values too large to add up"
        )
        raise DataError(f"X holds {what}")
