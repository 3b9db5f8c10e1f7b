"""Encoders: estimators that predict brain responses from network activations.

>>> from neuroalign.encoders import RidgeEncoder
>>> RidgeEncoder(alphas=[1.0, 10.0])
RidgeEncoder(alphas=[1.0, 10.0])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroalign.encoders.attention.tokens import Tokens, grid, recent
    from neuroalign.encoders.banded import BandedRidgeEncoder
    from neuroalign.encoders.cross_attention import CrossAttentionEncoder
    from neuroalign.encoders.lagged import LaggedRidgeEncoder, lags_between
    from neuroalign.encoders.ridge import RidgeEncoder
    from neuroalign.encoders.stacking import StackedEncoder

__all__ = [
    "BandedRidgeEncoder",
    "CrossAttentionEncoder",
    "LaggedRidgeEncoder",
    "RidgeEncoder",
    "StackedEncoder",
    "Tokens",
    "grid",
    "lags_between",
    "recent",
]

_MODULES = {
    "BandedRidgeEncoder": "banded",
    "CrossAttentionEncoder": "cross_attention",
    "LaggedRidgeEncoder": "lagged",
    "RidgeEncoder": "ridge",
    "StackedEncoder": "stacking",
    "Tokens": "attention.tokens",
    "grid": "attention.tokens",
    "lags_between": "lagged",
    "recent": "attention.tokens",
}


def __getattr__(name: str) -> Any:
    """Import an estimator when it is first asked for."""
    if name in _MODULES:
        return getattr(import_module(f"neuroalign.encoders.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
