"""What arrays of a finished step have left behind."""

from __future__ import annotations

import ctypes


def hand_back() -> None:
    """Give freed memory back to the system, where the C library is glibc.

    Decompositions on several threads otherwise leave free pages between the arrays that are kept, about as
    many as these have.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)
