"""Ridge regression and cross-attention mixed, once both are fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroalign.artefacts import layout
from neuroalign.settings.config import Study
from neuroalign.settings.encoders import STACKED
from neuroalign.stages.asked import known
from neuroalign.stages.fitting.saved import save_fit
from neuroalign.stages.opened import activations_of, networks_beside, open_made, samples_of

if TYPE_CHECKING:
    import xarray as xr


def fit_stack(study: Study, subject: str, network: str) -> None:
    """Mix what ridge regression and cross-attention predict of one subject."""
    from neuroalign.alignment.evaluation.stack import Parts, evaluate_stack

    known("stack", study.encoders, "encoder")
    known(network, study.fitted_networks(), "network")

    def made(pattern: str, encoder: str) -> xr.Dataset:
        return open_made(study, pattern, subject=subject, network=network, encoder=encoder)

    ridge, attention = STACKED
    scores, predictions = evaluate_stack(
        *samples_of(study, subject),
        activations_of(study, network),
        study.design,
        Parts(
            made(layout.SCORES, ridge), made(layout.PREDICTIONS, ridge), made(layout.PREDICTIONS, attention)
        ),
        study.cross_attention.window_s,
        networks_beside(study),
    )
    save_fit(study, scores, predictions, subject=subject, network=network, encoder="stack")
