"""Numbers as sentences and tables say them."""

from __future__ import annotations

import numpy as np

from neuroalign.report.numbers.tables import Estimate


def number(value: float, digits: int = 3) -> str:
    """A number for a sentence or a table; a dash for NaN, and no minus before zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−") if np.isfinite(value) else "–"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else "–"


def spread(found: Estimate, digits: int = 3, counted: bool = False) -> str:
    """A mean with its sd and interval, as far as the number of subjects allows."""
    if not found.n:
        return "not available"
    if found.n == 1:
        return f"{number(found.mean, digits)}{' (1 subject)' if counted else ''}"
    interval = f"95 % CI {number(found.low, digits)} to {number(found.high, digits)}"
    count = f", {found.n} subjects" if counted else ""
    return f"{number(found.mean, digits)} (sd {number(found.sd, digits)}, {interval}{count})"
