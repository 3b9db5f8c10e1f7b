"""The plan as a table on disk: what each job needs, written once and read wherever rules are.

It imports next to nothing, since every job on a cluster reads it anew.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neuroalign.artefacts import layout
from neuroalign.artefacts.atomic import replacing
from neuroalign.settings.config import Study

SNAKEMAKE_MB = 500
"""What a job on a cluster takes beside its command: two processes of Snakemake that watch over it, of some
210 MB each."""

UNPLANNED_MB, UNPLANNED_MIN = 16_000, 240
"""What a job asks for where there is no plan of it."""

LEAST_MIN, SLACK = 10, 4
"""Minutes that any job gets, and how many times the expected time it may take: machines differ."""

_COLUMNS = ("job", "memory_mb", "seconds", "disk_mb")


@dataclass(frozen=True)
class Need:
    """What one job is expected to need.

    Attributes
    ----------
    job : str
        Its name, as its log and benchmark have it, such as ``fit/sub-01_network-gpt2_encoder-ridge``.
    memory_mb : int
        Most memory that it holds at a time, in MiB.
    seconds : int
    disk_mb : int
        What it leaves on disk, in MiB.
    """

    job: str
    memory_mb: int
    seconds: int
    disk_mb: int


def plan_digest(study: Study, subjects: Iterable[str]) -> str:
    """A short hash of what a plan is made from, but for the data: another study needs another plan."""
    plain = json.dumps([study.model_dump(mode="json"), list(subjects)], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:12]


def plan_path(study: Study) -> Path:
    """Where the plan of a study lies."""
    return Path(study.output, layout.PLAN)


def save_plan(needs: Iterable[Need], digest: str, path: str | Path) -> None:
    """Write a plan in one step."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {digest}\n")
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows((need.job, need.memory_mb, need.seconds, need.disk_mb) for need in needs)


class Plan:
    """A plan on disk, read when first asked.

    Parameters
    ----------
    path : str or Path
    digest : str
        From `plan_digest`; a plan of another study counts as none.
    """

    def __init__(self, path: str | Path, digest: str) -> None:
        self._path, self._digest = Path(path), digest
        self._needs: dict[str, Need] | None = None

    @property
    def needs(self) -> dict[str, Need]:
        """Need by name of the job; empty where there is no plan."""
        if self._needs is None:
            found = self._read()
            if not found:
                return {}  # it may yet be written
            self._needs = found
        return self._needs

    def memory_mb(self, job: str, attempt: int = 1) -> int:
        """What a job asks for in MB (10⁶ bytes): twice as much at the second attempt."""
        need = self.needs.get(job)
        first = UNPLANNED_MB if need is None else (need.memory_mb + SNAKEMAKE_MB) * 2**20 / 1e6
        return math.ceil(first * attempt)

    def minutes(self, job: str, attempt: int = 1) -> int:
        """How long a job may take, in minutes."""
        need = self.needs.get(job)
        first = UNPLANNED_MIN if need is None else max(LEAST_MIN, math.ceil(SLACK * need.seconds / 60))
        return first * attempt

    def _read(self) -> dict[str, Need]:
        try:
            with self._path.open(encoding="utf-8", newline="") as file:
                if file.readline().strip() != f"# {self._digest}":
                    return {}
                rows = csv.DictReader(file, delimiter="\t")
                return {
                    row["job"]: Need(row["job"], *(int(row[key]) for key in _COLUMNS[1:])) for row in rows
                }
        except (OSError, KeyError, TypeError, ValueError):
            return {}
