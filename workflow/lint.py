"""Run `snakemake --lint`, without its demand for a conda environment or a container in every rule.

All rules are commands of one package, which also the Snakefile imports: one environment, pinned in
constraints.txt, holds both, and a second one by rule could only disagree with it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTLED = "Specify a conda environment or container for each rule."
CLEAN = "Congratulations"


def main() -> int:
    """Print what Snakemake says; exit status 1 if anything but that demand is left."""
    ran = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    text = ran.stdout + ran.stderr
    titles = re.findall(r"^    \* (.+):$", text, re.MULTILINE)
    if (titles and set(titles) <= {SETTLED}) or CLEAN in text:
        print("snakemake --lint: clean")
        return 0
    print(text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
