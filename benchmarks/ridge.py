"""How much faster and leaner than its peers is neuroalign's ridge family, on this machine, now?

    python benchmarks/ridge.py                   every case: about 25 minutes on two cores
    python benchmarks/ridge.py ridge lagged      some
    python benchmarks/ridge.py --quick           far smaller problems: minutes, and no figures to quote

Prints a Markdown table, line by line. README.md says what its columns mean.
"""

from __future__ import annotations

import sys

from cases import CASES
from table import print_table

if __name__ == "__main__":
    sys.exit(print_table(CASES, __doc__ or ""))
