"""What the command line says where something is wrong: one line, copied to a log if asked."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

LONGEST_LINE = 900
"""Characters of a message to the user."""


def complain(message: str) -> None:
    """One line to the user, whatever the message was broken into or quotes.

    Characters that a terminal would obey are written out; of a long message the middle is left out, since
    it begins with the place and ends with what to do.
    """
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(message.split()))
    if len(line) > LONGEST_LINE:
        line = f"{line[: LONGEST_LINE // 2]} … {line[-LONGEST_LINE // 3 :]}"
    print(f"neuroalign: error: {line}", file=sys.stderr)


def of_the_machine(error: OSError | MemoryError) -> str:
    """Say what a disk or a memory could not do."""
    if isinstance(error, MemoryError):
        return f"not enough memory ({error or 'no more is said'}); give the job more, or a smaller part"
    place = f"{error.filename}: " if error.filename is not None else ""
    return (
        f"{place}{error.strerror or error or type(error).__name__}; is a folder where one should be, "
        "may it be written to, and is there space left? Make it so, or change output in the config"
    )


class _Both(io.TextIOBase):
    """A text stream that writes to two."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        self.first, self.second = first, second

    def write(self, text: str) -> int:
        self.second.write(text)
        return self.first.write(text)

    def flush(self) -> None:
        self.first.flush()
        self.second.flush()

    def isatty(self) -> bool:
        return self.first.isatty()

    def fileno(self) -> int:
        return self.first.fileno()


@contextmanager
def copied_to(log: Path | None) -> Iterator[None]:
    """Let whatever is written to stderr, tracebacks too, also reach the file `log`."""
    if log is None:
        yield
        return
    import traceback

    log.parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    with log.open("w", encoding="utf-8") as file:
        sys.stderr = cast(TextIO, _Both(terminal, file))
        try:
            yield
        except Exception:
            file.write(traceback.format_exc())
            raise
        finally:
            sys.stderr = terminal
