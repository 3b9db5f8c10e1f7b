"""The errors a user may see: each message is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class NeuroalignError(ValueError):
    """A mistake in the input that the user can mend.

    The command line prints the message without a traceback and exits with status 2.
    """


class ConfigError(NeuroalignError):
    """The configuration does not say what neuroalign can do."""


class DataError(NeuroalignError):
    """A recording, a stimulus or an artefact is missing, damaged or does not fit."""


class UnwritableError(DataError):
    """The system does not let us write: the disk is full, or the folder closed to us."""


class NetworkError(NeuroalignError):
    """A network cannot be found, loaded or read at the layers asked for."""


def choices(received: object, allowed: Iterable[object]) -> str:
    """Say what was allowed instead of `received`, the nearest spelling first.

    >>> choices("rige", ["ridge", "banded"])
    "did you mean 'ridge'? (choices: ridge, banded)"
    """
    names = [str(name) for name in allowed]
    if not names:
        return "there is none to choose; add one, or leave it out"
    near = get_close_matches(str(received), names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"{hint}(choices: {', '.join(names)})"
