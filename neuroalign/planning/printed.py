"""The plan for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from neuroalign.planning.measured import Measured
from neuroalign.planning.table import Need


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def printed(needs: Sequence[Need], memory_mb: float = math.inf) -> str:
    """The jobs with their memory, time and disk, what they come to, and which need more than is allowed."""
    rows = [("job", "memory", "time", "disk")]
    rows += [(need.job, size(need.memory_mb), duration(need.seconds), size(need.disk_mb)) for need in needs]
    seconds, disk = sum(need.seconds for need in needs), sum(need.disk_mb for need in needs)
    most = max(need.memory_mb for need in needs)
    total = f"{len(needs)} jobs: {size(most)} at most, {duration(seconds)} in all, {size(disk)} on disk"
    above = [need.job for need in needs if need.memory_mb > memory_mb]
    if above:
        listed = ", ".join(above[:3]) + (" …" if len(above) > 3 else "")
        total += (
            f"\nabove resources.memory ({size(memory_mb)}), which only fits by layers keep to: {listed}; "
            "raise it, or fit fewer targets"
        )
    return f"{aligned(rows)}\n{total}"


def compared(found: Sequence[Measured]) -> str:
    """The jobs that ran, with planned and true peaks; those that the plan was wrong about are marked."""
    if not found:
        return "no benchmarks yet: run the study first"
    rows = [("job", "planned", "true", "share", "time", "took", "")]
    for one in found:
        wrong = "" if one.good else "too little" if one.share > 1 else "too much"
        took = (duration(one.need.seconds), duration(one.seconds))
        peak = (size(one.need.memory_mb), size(one.memory_mb), f"{one.share:.2f}")
        rows.append((one.need.job, *peak, *took, wrong))
    shares = [one.share for one in found]
    good = sum(one.good for one in found)
    total = f"{good} of {len(found)} jobs took .5 to 1 of what was planned"
    return f"{aligned(rows)}\n{total} ({min(shares):.2f} to {max(shares):.2f})"


def size(mb: float) -> str:
    """MiB as a person reads them."""
    return f"{mb / 1024:.1f} GiB" if mb >= 1024 else f"{mb:.0f} MiB"


def duration(seconds: float) -> str:
    """Seconds as a person reads them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
