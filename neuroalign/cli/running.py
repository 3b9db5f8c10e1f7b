"""One command from its arguments to its exit status."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from neuroalign.artefacts.atomic import refusal
from neuroalign.cli.messages import complain, copied_to, of_the_machine
from neuroalign.cli.parser import build_parser
from neuroalign.errors import NeuroalignError, UnwritableError

AGAIN_S = 5.0
"""After so long a process that was told to end, and has not, is told again."""

_reminders: list[threading.Timer] = []
"""What will tell it again, once it was told."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        Exit status: 0; 2 for something the user can mend; 130 when interrupted, 143 when terminated.
    """
    given = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with copied_to(given.log):
            logging.basicConfig(
                stream=sys.stderr, level=logging.WARNING, format="neuroalign: %(message)s", force=True
            )
            logging.getLogger("neuroalign").setLevel(logging.INFO)
            status = _run(given, process=arguments is None)
            return 128 + signal.SIGTERM if _reminders else status
    except (OSError, RuntimeError) as error:
        reason = refusal(error)
        if given.debug or reason is None:
            raise
        complain(f"{getattr(error, 'filename', None) or 'a file'}: cannot be opened or written ({reason})")
        return 2
    finally:
        while _reminders:
            _reminders.pop().cancel()


def _run(given: argparse.Namespace, process: bool) -> int:
    """Run a command, which may be all that this process is for; what the user can mend becomes one line."""
    try:
        return int(given.run(given) or 0)
    except NeuroalignError as error:
        if given.debug:
            raise
        complain(str(error))
        if process and isinstance(error, UnwritableError):
            _leave(2)
        return 2
    except (OSError, MemoryError) as error:
        if given.debug:
            raise
        complain(of_the_machine(error))
        return 2
    except KeyboardInterrupt:
        print("neuroalign: interrupted", file=sys.stderr)
        return 130


def _terminated(number: int, frame: object) -> None:
    """End as after any error, so that nothing unfinished is left behind.

    What is raised while a library lets go of an object is lost (Python says that it ignores it), and the work
    goes on: so it is raised again until it is not lost.
    """
    again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGTERM))
    again.daemon = True
    again.start()
    _reminders.append(again)
    sys.exit(128 + number)


def _leave(status: int) -> None:
    """End without tidying up: HDF5 would try once more to write what it could not, and crash."""
    sys.stderr.flush()
    os._exit(status)
