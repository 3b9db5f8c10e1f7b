"""Stimuli reconstructed from continuous EEG and MEG: how well, layer by layer."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neuroalign.report.evidence import Evidence

ABOUT = (
    "All channels at all lags together predict the features of every layer, its leading principal "
    "components, "
    "through the same folds. r is the mean over the folds of what was held out; of a layer with several "
    "components their mean, and that of the one that comes back best, which is picked after the fact."
)
COLUMNS = ("whose", "layer_name", "components", "r", "best_component", "r_of_the_best")


def reconstructed(evidence: Evidence) -> list[str]:
    """Networks whose features were reconstructed."""
    return list(dict.fromkeys(network for _, network in evidence.reconstructions))


def reconstruction_table(evidence: Evidence, network: str) -> pd.DataFrame:
    """Mean r of every subject and layer; of the nuisance features by themselves."""
    rows = []
    for (subject, name), found in evidence.reconstructions.items():
        if name != network:
            continue
        r = np.asarray(found["r"].mean("fold"), float)
        for layer, values in zip(found["layer"].values, r, strict=True):
            there = values[np.isfinite(values)]
            best = {"best_component": int(there.argmax()) + 1, "r_of_the_best": there.max()}
            rows.append(
                {"whose": subject, "layer_name": str(layer), "components": len(there), "r": there.mean()}
                | (best if len(there) > 1 else {"best_component": None, "r_of_the_best": np.nan})
            )
        nuisance = np.asarray(found["nuisance_r"].mean("fold"), float)
        if len(nuisance):
            rows.append(
                {
                    "whose": subject,
                    "layer_name": "nuisance",
                    "components": len(nuisance),
                    "r": nuisance.mean(),
                }
            )
    return pd.DataFrame(rows, columns=list(COLUMNS))
