"""Files that are whole or not there: written under a temporary name, then moved into place.

The temporary lies in a hidden folder beside its place, `.NAME.XXXXXXXX`. One that a killed process left
behind is removed by the next that makes the same file, since no two processes ever make one at a time.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroalign.errors import UnwritableError

_REFUSED = {
    errno.ENOSPC: "no space left on the disk: free some, then run again",
    errno.EDQUOT: "your quota is used up: free some, then run again",
    errno.EFBIG: "larger than files may be here: raise the limit (ulimit -f), then run again",
    errno.EACCES: "you may not write there: give another 'output', or ask who owns it",
    errno.EPERM: "you may not write there: give another 'output', or ask who owns it",
    errno.EROFS: "it is mounted read-only: give another 'output'",
}
"""What a user can mend, by number of the system's error."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it into place if the block ends well.

    The temporary is a file name that does not exist yet; the block may make a file or a folder
    there. On an error it is removed and what stood at `path` stays.

    Raises
    ------
    UnwritableError
        The folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _discard_left_behind(path)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary = folder / path.name
    try:
        with _writing(path):
            yield temporary
            if temporary.is_dir() and path.is_dir():
                shutil.rmtree(path)
            os.replace(temporary, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _discard_left_behind(path: Path) -> None:
    """Remove temporaries of this file that a killed process left."""
    name = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}")
    for other in path.parent.iterdir():
        if name.fullmatch(other.name) and other.is_dir():
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the system says of a full disk or a closed folder into one line."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if reason := refusal(error):
            raise UnwritableError(
                f"{path}: cannot be written ({reason}); results made before are as they were"
            ) from None
        raise


def refusal(error: BaseException) -> str | None:
    """Why the system did not let us write, and what to do; None where the error is another one.

    HDF5 tells of the system's error by its text alone.
    """
    number = getattr(error, "errno", None) or 0
    told = [text for code, text in _REFUSED.items() if os.strerror(code) in str(error)]
    if not isinstance(error, OSError | RuntimeError):
        return None
    return _REFUSED.get(number) or next(iter(told), None)
