"""Memory that a process keeps once it has it, instead of handing it back and asking anew at every step."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of glibc's mallopt (malloc.h)."""


def keep_freed_memory() -> None:
    """Let freed memory stay with the process until it ends, where the C library is glibc.

    Training takes and frees arrays of some dozen megabytes thousands of times. By default each comes as
    fresh pages, zeroed one by one: a third of the time, up to a half where processes share the machine.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
