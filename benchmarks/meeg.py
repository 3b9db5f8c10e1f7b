"""How much faster and leaner than its peers is neuroalign on EEG and MEG, on this machine, now?

    python benchmarks/meeg.py                 every case: about 25 minutes on two cores
    python benchmarks/meeg.py epoched         some
    python benchmarks/meeg.py --quick         far smaller problems: minutes, and no figures to quote

Prints a Markdown table, line by line. README.md says what its columns mean.
"""

from __future__ import annotations

import sys

import flops
import ours
import peers
from cases import ALPHAS, Case, Rival
from problem import Shape
from table import print_table

CASES = (
    Case(
        "trf",
        Shape(100_000, 16, 128, ALPHAS, metric="r", lags=40),
        ours.lagged,
        (
            Rival("mTRFpy", peers.mtrf, 10),
            Rival("MNE, ReceptiveField of TimeDelayingRidge", peers.mne_cross_validated, 10, once=True),
        ),
        flops.lagged,
    ),
    Case(
        "epoched",
        Shape(16_540, 768, 63 * 100, ALPHAS),
        ours.ridge,
        (Rival("scikit-learn RidgeCV at every latency", peers.sklearn_by_latency, 50, once=True),),
        flops.ridge,
    ),
)

if __name__ == "__main__":
    sys.exit(print_table(CASES, __doc__ or ""))
