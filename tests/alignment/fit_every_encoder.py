"""Fit one listener with every encoder and save scores and predictions: run as a process of its own.

    python tests/alignment/fit_every_encoder.py FOLDER

The number of threads comes from OMP_NUM_THREADS, as a user would set it.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from neuroalign.alignment.attention.evaluate import evaluate_attention
from neuroalign.alignment.attention.fold import FoldAttention
from neuroalign.alignment.evaluation.evaluate import evaluate
from neuroalign.alignment.fitting.banded_ridge import FoldBandedRidge
from neuroalign.alignment.fitting.lagged_ridge import FoldLaggedRidge
from neuroalign.alignment.fitting.ridge import FoldRidge
from neuroalign.artefacts.arrays import save_arrays
from neuroalign.settings.design import Design, Lags
from neuroalign.settings.encoders import CrossAttention

ALPHAS = np.logspace(-1, 4, 6)
SETTINGS = CrossAttention(window_s=8.0, width=8, embedding=8, steps=20)


def main(folder: Path) -> None:
    from conftest import hear  # beside this file, where a script finds it and a collector of tests does not

    heard = hear()
    lags = Lags(start_s=0.0, stop_s=8.0)
    encoders = {
        "ridge": (Design(), FoldRidge(ALPHAS)),
        "banded_ridge": (Design(), FoldBandedRidge(ALPHAS, candidates=6, seed=0)),
        "lagged_ridge": (Design(lags=lags), FoldLaggedRidge.of(heard.responses, lags, ALPHAS)),
    }
    found = {
        name: evaluate(
            heard.responses, heard.events, heard.activations, design, encoder, folder / "partial", name
        )
        for name, (design, encoder) in encoders.items()
    }
    given = {"01": (heard.responses, heard.events)}
    attention = FoldAttention(SETTINGS, ALPHAS, 0)
    found["cross_attention"] = evaluate_attention(
        given, heard.activations, Design(), attention, folder / "attention", "cross_attention"
    )["01"]
    for name, (scores, predictions) in found.items():
        save_arrays(scores, folder / f"{name}-scores.nc")
        save_arrays(predictions, folder / f"{name}-predictions.nc")
    (folder / "threads").write_text(str(torch.get_num_threads()), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
