"""Files of features by the run that they belong to."""

from __future__ import annotations

from collections.abc import Mapping

from neuroalign.errors import NetworkError


def file_of_run(pattern: str, run: Mapping[str, str]) -> str:
    """Fill in a pattern with {subject}, {session}, {task} and {run}.

    Parameters
    ----------
    pattern : str
    run : mapping
        `subject`, `session` and `task`, and `run`, a label such as ``ses-01_run-2``.

    Raises
    ------
    NetworkError
        The pattern holds another field.

    Examples
    --------
    >>> file_of_run("sub-{subject}_{run}.npy", {"subject": "01", "run": "ses-a_run-2"})
    'sub-01_2.npy'
    """
    session, _, number = run["run"].rpartition("_")
    fields = {
        "subject": run.get("subject", ""),
        "session": run.get("session") or session.removeprefix("ses-"),
        "task": run.get("task", ""),
        "run": number.removeprefix("run-"),
    }
    try:
        return pattern.format(**fields)
    except (KeyError, IndexError, ValueError):
        raise NetworkError(
            f"path '{pattern}' holds a field that is not known; write {{subject}}, {{session}}, {{task}} or "
            "{run}"
        ) from None
