"""A finished run beside its plan: what Snakemake measured of every job, and what was foreseen."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neuroalign.planning.table import Need

LEAST, MOST = 0.5, 1.0
"""A plan is good where the true peak is between these shares of it."""


@dataclass(frozen=True)
class Measured:
    """One job: planned and true.

    Attributes
    ----------
    need : Need
    memory_mb : float
        Largest resident set that was seen, in MiB.
    seconds : float
    """

    need: Need
    memory_mb: float
    seconds: float

    @property
    def share(self) -> float:
        """True peak over planned peak."""
        return self.memory_mb / self.need.memory_mb

    @property
    def good(self) -> bool:
        """Whether the plan neither promised too little nor wasted more than half."""
        return LEAST <= self.share <= MOST


def read_measured(folder: str | Path, plan: Mapping[str, Need]) -> list[Measured]:
    """Read the benchmarks of a run, of those jobs that the plan knows.

    A job too quick for its memory to be looked at tells nothing, and is left out.

    Parameters
    ----------
    folder : str or Path
        The folder `benchmarks` of the output.
    plan : mapping of name to Need
    """
    folder, found = Path(folder), []
    for path in sorted(folder.rglob("*.tsv")):
        need = plan.get(path.relative_to(folder).with_suffix("").as_posix())
        with path.open(encoding="utf-8", newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"), None)
        if need is not None and row is not None and row["max_rss"] not in ("-", "NA", ""):
            found.append(Measured(need, float(row["max_rss"]), float(row["s"])))
    return found
