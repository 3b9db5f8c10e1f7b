"""Encoders: estimators that predict brain responses from network activations.

>>> from neuroalign.encoders import RidgeEncoder
>>> RidgeEncoder(alphas=[1.0, 10.0])
RidgeEncoder(alphas=[1.0, 10.0])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroalign.encoders.ridge import RidgeEncoder

__all__ = ["RidgeEncoder"]


def __getattr__(name: str) -> Any:
    """Import an estimator when it is first asked for."""
    if name == "RidgeEncoder":
        from neuroalign.encoders.ridge import RidgeEncoder

        return RidgeEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
