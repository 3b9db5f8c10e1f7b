"""Features made elsewhere over time: rows with times of their own, that no stimulus has to name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.own.courses import Course, open_course
from neuroalign.networks.own.one_layer import OneLayer, RowWindow
from neuroalign.networks.own.run_files import file_of_run
from neuroalign.settings.features import Features

_ROWS_AT_ONCE = 4096

RUN_COLUMNS = ["subject", "session", "task", "run"]


@dataclass(frozen=True)
class _Part:
    """The rows of a file that belong to a run."""

    course: Course
    rows: np.ndarray


class TimedFeatures(OneLayer):
    """Time courses, one for every run; see `base.OpenNetwork` and `base.OwnClock` for what it offers.

    Parameters
    ----------
    settings : Features
        `timed`.
    layer : str
        Name of the one layer.
    """

    def __init__(self, settings: Features, layer: str) -> None:
        super().__init__(settings, layer, clock=settings.clock)
        self._parts: dict[str, _Part] = {}
        self._courses: dict[str, Course] = {}
        self._digests: dict[str, bytes] = {}

    def time_course(self, events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Items and events of its own: a row of the features each; see `base.OwnClock`."""
        runs = events[RUN_COLUMNS].drop_duplicates()
        shown, first, tables, total = [], dict[str, int](), [], 0
        for found in runs.to_dict("records"):
            run = {str(key): str(value) for key, value in found.items()}
            name = self._open(run)
            course = self._parts[name].course
            n = len(course.onsets)
            if name not in first:
                first[name], total = total, total + n
                tables.append(pd.DataFrame({"uri": name, "position": np.arange(n)}))
            own = pd.DataFrame({"onset": course.onsets, "duration": course.durations})
            shown.append(own.assign(**run, item=first[name] + np.arange(n)))
        items = pd.concat(tables, ignore_index=True)
        items = items.assign(
            item=np.arange(total),
            passage=items["uri"].map({name: number for number, name in enumerate(first)}),
            sentence=0,
            modality="moment",
            text="",
            digest=items["uri"].map(lambda name: self._digest(name).hex()),
        )
        return items, pd.concat(shown, ignore_index=True)[[*RUN_COLUMNS, "onset", "duration", "item"]]

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if runs differ in their number of features, or one is not finite."""
        widths: dict[str, int] = {}
        for name in items["uri"].unique():
            self._digest(name)
            course = self._parts[name].course
            widths[course.path] = int(course.values.shape[1])
        first, *others = widths.items()
        for path, width in others:
            if width != first[1]:
                raise DataError(
                    f"'{path}' has {width} features, '{first[0]}' has {first[1]}; give the same ones in "
                    "all runs"
                )
        self.units = (first[1],)

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[RowWindow]:
        """The row of each of `rows` (all, when left out) of the items table."""
        picked = items if rows is None else items.iloc[list(rows)]
        found = []
        for name, position in zip(picked["uri"], picked["position"], strict=True):
            text = self._digest(name) + str(position).encode()
            digest = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
            found.append(RowWindow(digest=digest, file=name, row=int(position)))
        return found

    def _open(self, run: Mapping[str, str]) -> str:
        """Open the rows of one run; give the name under which they are known."""
        path = file_of_run(self.settings.path, run)
        if path not in self._courses:
            self._courses[path] = open_course(path, self.settings)
        course = self._courses[path]
        name = path if course.runs is None else f"{path}::{run['run']}"
        if name not in self._parts:
            self._parts[name] = _Part(*course.of_run(run["run"]))
        return name

    def _rows(self, file: str, rows: np.ndarray) -> Any:
        part = self._parts[file]
        return part.course.values[part.rows[rows]]

    def _digest(self, name: str) -> bytes:
        """A hash of times and features: two files that say the same are the same stimulus."""
        if name not in self._digests:
            course = self._parts[name].course
            digest = hashlib.sha256(np.stack([course.onsets, course.durations]).tobytes())
            for start in range(0, len(course.onsets), _ROWS_AT_ONCE):
                rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(course.onsets)))
                some = self._read(name, rows)
                wrong = ~np.isfinite(some).all(axis=1)
                if wrong.any():
                    raise DataError(
                        f"'{course.path}': row {start + int(wrong.argmax()) + 1} holds values that are not "
                        f"numbers, or beyond {self.settings.dtype}; features must be finite"
                    )
                digest.update(some.tobytes())
            self._digests[name] = digest.digest()
        return self._digests[name]


def course_problems(
    settings: Features, events: pd.DataFrame, ends: Mapping[tuple[str, str], float]
) -> list[str]:
    """Say what is wrong with features over time, by their times and shapes: a line for each file.

    Parameters
    ----------
    settings : Features
    events : DataFrame
        Of all subjects: their subjects, sessions, tasks and runs are looked for.
    ends : mapping of (subject, run) to float
        Seconds after which a recording ends, where that is known.

    Returns
    -------
    list of str
    """
    network, problems, widths = TimedFeatures(settings, ""), list[str](), dict[str, int]()
    for run in events[RUN_COLUMNS].drop_duplicates().to_dict("records"):
        known = {str(key): str(value) for key, value in run.items()}
        try:
            course = network._parts[network._open(known)].course
        except (NetworkError, DataError) as error:
            problems.append(str(error))
            continue
        widths.setdefault(course.path, int(course.values.shape[1]))
        who = f"sub-{known['subject']} {known['run']}"
        end, last = ends.get((known["subject"], known["run"]), np.inf), course.onsets + course.durations
        if course.onsets[0] > end or last.max() < 0:
            problems.append(
                f"'{course.path}': all {len(last)} rows, from {course.onsets[0]:g} to {last.max():g} s, lie "
                f"outside the recording of {who}, which ends at {end:g} s; correct start_s or the times"
            )
    first = next(iter(widths), "")
    problems += [
        f"'{path}' has {width} features, '{first}' has {widths[first]}; give the same ones in all runs"
        for path, width in widths.items()
        if width != widths[first]
    ]
    return list(dict.fromkeys(problems))
