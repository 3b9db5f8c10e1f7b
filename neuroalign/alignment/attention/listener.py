"""A subject as cross-attention sees it: responses, folds, and what every sample looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.alignment.attention.looked_at import Layers, reach, tokens_of
from neuroalign.alignment.evaluation.held_out import held_out, inputs, sample_of_event, sides
from neuroalign.artefacts.arrays import Activations
from neuroalign.design.clocks import reaching
from neuroalign.design.features import SubjectDesign, design_subject
from neuroalign.design.folds import Fold
from neuroalign.design.resample import remove_drifts
from neuroalign.design.trials import are_trials
from neuroalign.encoders.attention.tokens import Tokens
from neuroalign.errors import DataError
from neuroalign.settings.design import Design


@dataclass(frozen=True)
class Listener:
    """A subject with all that is fitted.

    Attributes
    ----------
    responses : Dataset
    observed : array (n_samples, n_valid_targets)
    design : SubjectDesign
        Its nuisance features are used.
    folds : list of Fold
    tokens : Tokens
    reach : array (n_places, n_axes)
        Where fields are read: lags in seconds, or places of an image.
    shown : list of (train, test) arrays, one per fold
        Digests of what the network saw in either.
    high_pass_hz : float
        Of the responses, where features are to be filtered as they are; 0 for none.
    warnings : list of str
    """

    responses: xr.Dataset
    observed: np.ndarray
    design: SubjectDesign
    folds: list[Fold]
    tokens: Tokens
    reach: np.ndarray
    shown: list[tuple[np.ndarray, np.ndarray]]
    high_pass_hz: float
    warnings: list[str]

    @classmethod
    def of(
        cls,
        responses: xr.Dataset,
        events: pd.DataFrame,
        activations: Activations,
        layers: Layers,
        design: Design,
        window_s: float,
        beside: Sequence[Activations] = (),
    ) -> Listener:
        """Place a subject's words and folds; see `evaluate_attention` and `read_layers`."""
        valid = responses["valid"].values
        placed = design_subject(responses, events, design, beside, activations)
        lag = 0.0 if are_trials(responses) else max(placed.lag, window_s)
        folds, warnings = held_out(responses, events, activations, design, lag)
        own = reaching(events, activations)
        tokens = tokens_of(responses, own, layers, window_s)
        sample, seen = sample_of_event(own, responses), inputs(own, activations)
        shown = [sides(fold, sample, seen) for fold in folds]
        observed = responses["response"].values[:, valid]
        cut = float(responses.attrs.get("high_pass_hz", 0.0)) if design.filter else 0.0
        where = reach(responses, window_s)
        return cls(responses, observed, placed, folds, tokens, where, shown, cut, warnings)

    def without_drifts(self, predicted: np.ndarray) -> np.ndarray:
        """Predictions of all samples (n_samples, n_targets) less the drifts that the responses were freed of.

        A linear model takes them out of its features, which comes to the same.
        """
        if not self.high_pass_hz:
            return predicted
        runs, out = self.responses["run"].values.astype(str), np.empty(predicted.shape, np.float32)
        for run in dict.fromkeys(runs):
            at = runs == run
            out[at] = remove_drifts(predicted[at], self.high_pass_hz, float(self.responses.attrs["tr"]))
        return out


def check_together(listeners: Mapping[str, Listener], refuse: bool) -> None:
    """Refuse subjects of one network that hold out different runs, or what another one is trained on."""
    if len(listeners) < 2:
        return
    (first, one), *others = listeners.items()
    labels = [fold.label for fold in one.folds]
    for name, each in others:
        if [fold.label for fold in each.folds] != labels:
            raise DataError(
                f"cross_attention.universal: sub-{name} holds out {', '.join(f.label for f in each.folds)}, "
                f"sub-{first} {', '.join(labels)}; one network for all needs the same runs of all"
            )
    for number, label in enumerate(labels):
        trained, tested = (
            np.unique(np.concatenate([each.shown[number][side] for each in listeners.values()]))
            for side in (0, 1)
        )
        shared = len(np.intersect1d(trained, tested))
        if shared and refuse:
            raise DataError(
                f"cross_attention.universal: {shared} stimuli that fold {label} holds out of one subject are "
                "in the training data of another; set universal: false, or design.folds.shared_items: allow"
            )
