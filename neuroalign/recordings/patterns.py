"""Files found by a pattern of the config, such as `betas/sub-{subject}_ses-{session}.npy`."""

from __future__ import annotations

import glob
import re
import string
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from neuroalign import bids
from neuroalign.errors import ConfigError, DataError, choices
from neuroalign.settings.dataset import Dataset

FIELDS = ("subject", "session", "task", "run")


def find_by_pattern(dataset: Dataset, setting: str, pattern: str, subject: str) -> dict[bids.Run, Path]:
    """Find the files of one subject, whatever their sessions and runs, in the order of these.

    Parameters
    ----------
    dataset : Dataset
        Its `session` and `runs` choose among the files, where the pattern has `{session}` and `{run}`.
    setting : str
        Key of the config that holds the pattern; named in messages.
    pattern : str
        Relative to the dataset, or absolute.
    subject : str

    Returns
    -------
    dict of Run to Path

    Raises
    ------
    ConfigError
        The pattern has a field that is not known.
    DataError
        No file fits.
    """
    fields = _fields(setting, pattern)
    known = {"subject": subject, "task": dataset.task}
    place = str(Path(dataset.path, pattern))
    wildcards = fill(place, {name: known.get(name, "\0") for name in FIELDS})
    expression, seen = "", set[str]()
    for text, field, _, _ in string.Formatter().parse(place):
        expression += re.escape(text)
        if field in known:
            expression += re.escape(known[field])
        elif field is not None:
            expression += f"(?P={field})" if field in seen else f"(?P<{field}>[A-Za-z0-9]+)"
            seen.add(field)
    rows = []
    for path in sorted(glob.glob(glob.escape(wildcards).replace("\0", "*"))):
        if match := re.fullmatch(expression, path):
            named = match.groupdict()
            row = {"session": named.get("session", ""), "run_entity": named.get("run", ""), "path": path}
            rows.append(row | {"task": dataset.task})
    table = pd.DataFrame(rows, columns=["session", "run_entity", "path", "task"])
    kept = bids.select(
        table,
        session=dataset.session if "session" in fields else None,
        run_entity=dataset.runs if "run" in fields and dataset.runs != "all" else None,
    )
    if kept.empty:
        shown = fill(pattern, {name: known.get(name, "*") for name in FIELDS})
        asked = f" of session {dataset.session or 'any'}, runs {dataset.runs}" if len(table) else ""
        raise DataError(f"sub-{subject}: no file '{shown}'{asked} in '{dataset.path}'; correct {setting}")
    found = {
        bids.Run(subject, row["session"], dataset.task, row["run_entity"]): Path(row["path"])
        for row in kept.to_dict("records")
    }
    return dict(sorted(found.items(), key=lambda entry: bids.run_order(entry[0])))


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """Write values into the fields of a pattern."""
    return pattern.format(**values)


def pattern_path(dataset: Dataset, setting: str, pattern: str, run: bids.Run) -> Path:
    """The file that a pattern names for one run.

    Raises
    ------
    ConfigError
        The pattern has a field that is not known.
    DataError
        There is no such file.
    """
    _fields(setting, pattern)
    values = {"subject": run.subject, "session": run.session, "task": run.task, "run": run.run_entity}
    path = Path(dataset.path, fill(pattern, values))
    if not path.is_file():
        raise DataError(f"{run}: no file '{path}'; add it or correct {setting}")
    return path


def _fields(setting: str, pattern: str) -> set[str]:
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(pattern) if field is not None}
    except ValueError as error:
        raise ConfigError(
            f"{setting}: '{pattern}' is no pattern ({error}); write fields as {{run}}"
        ) from None
    for field in sorted(fields - set(FIELDS)):
        raise ConfigError(f"{setting}: '{{{field}}}' is not known: {choices(field, FIELDS)}")
    return fields
