"""What arrays of a finished step have left behind."""

from __future__ import annotations

import ctypes

WORTH = 512
"""Smaller matrices leave so little that it is sooner used again than got anew."""


def hand_back(order: int) -> None:
    """Give freed memory back to the system, where the C library is glibc, after work on matrices of an order.

    Decompositions on several threads otherwise leave free pages between the arrays that are kept, about as
    many as these have.
    """
    if order < WORTH:
        return
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)
