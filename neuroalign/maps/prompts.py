"""Which maps a comparison of prompts holds: the prompt preferred, and what is unique to each."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroalign.maps.scores import SIGNIFICANT_ONLY, UNMASKED, VARIANCE, ScoreMap

UNIQUE = "What only this prompt explains: R² of all prompts less R² of all but this one"
SHARED = "What several prompts explain: R² of all prompts less R² of the nuisance and all unique parts"


def prompt_maps(comparison: xr.Dataset) -> list[ScoreMap]:
    """List the maps of a comparison of prompts.

    Parameters
    ----------
    comparison : xr.Dataset
        What the stages `prompts` and `prompts_group` write: dims `prompt` and `target`.
    """

    def values(name: str) -> np.ndarray:
        return np.asarray(comparison[name].values, np.float32)

    names, texts = (comparison[name].values.astype(str) for name in ("prompt", "text"))
    levels = {
        str(number): f"{name}: {text}"
        for number, (name, text) in enumerate(zip(names, texts, strict=True), 1)
    }
    fitted = values("preferred") >= 0
    preferred = np.where(fitted, values("preferred") + 1, np.float32(np.nan))
    significant = np.asarray(comparison["significant"].values).astype(bool)
    shown = np.where(significant, preferred, np.float32(np.nan))
    about = "Number of the prompt whose chosen layer predicts best in the training folds"
    chosen = "Held-out correlation with the prompt that the training folds chose, mean over folds"
    by_how_much = "Inner correlation with the prompt preferred less that with the next, in the training folds"
    held = "held-out, mean over folds, negative where features cost more than they bring"
    correlation = "Pearson correlation"
    return [
        ScoreMap("preferredPrompt", shown, about, "arbitrary", SIGNIFICANT_ONLY, levels=levels),
        ScoreMap("preferredPromptUnmasked", preferred, about, "arbitrary", UNMASKED, levels=levels),
        ScoreMap("preferredPromptR", values("preferred_r"), chosen, correlation, UNMASKED),
        ScoreMap("promptMargin", values("margin"), by_how_much, correlation, UNMASKED),
        ScoreMap(
            "rByPrompt", values("r"), "Held-out correlation with each prompt", correlation, UNMASKED, "prompt"
        ),
        ScoreMap("uniqueR2ByPrompt", values("unique"), f"{UNIQUE}; {held}", VARIANCE, UNMASKED, "prompt"),
        ScoreMap("sharedR2OfPrompts", values("shared"), f"{SHARED}; {held}", VARIANCE, UNMASKED),
    ]
