"""What readers make of damaged files, as one line that names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neuroalign.errors import DataError


@contextmanager
def reading(uri: str, what: str) -> Iterator[None]:
    """Turn whatever a reader makes of a damaged file into one line: it is no `what`, such as "an image"."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except FileNotFoundError:
        raise DataError(f"{uri}: no such file; add it or correct the events") from None
    except Exception as error:  # readers of media raise what they like
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{uri}: not {what} that can be read ({reason}); copy it anew") from None
