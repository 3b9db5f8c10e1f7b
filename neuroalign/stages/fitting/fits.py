"""The stages that fit: every layer by itself, or whatever else an encoder sees at once."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.errors import ConfigError
from neuroalign.settings.config import Study
from neuroalign.stages.asked import asked_for, known
from neuroalign.stages.fitting.attention import fit_attention
from neuroalign.stages.fitting.by_layer import fit_by_layer
from neuroalign.stages.fitting.stacks import fit_stack

UNIVERSAL = ("cross_attention",)
"""Encoders that several subjects may share."""


def fit(study: Study, subject: str, network: str, encoder: str) -> None:
    """Fit and score every layer of one network for one subject."""
    asked_for(study, subject=subject, network=network, encoder=encoder)
    if network != layout.NUISANCE and encoder == "cross_attention":
        return fit_attention(study, [subject], network)
    if network != layout.NUISANCE and encoder == "stack":
        return fit_stack(study, subject, network)
    return fit_by_layer(study, subject, network, encoder)


def joint(study: Study, network: str, encoder: str) -> None:
    """Fit one network of an encoder for all subjects together, and score every one of them."""
    known(encoder, UNIVERSAL, "encoder of several subjects")
    if not study.cross_attention.universal:
        raise ConfigError(
            "cross_attention.universal is false: every subject has a network of its own; set it to true, or "
            "use `neuroalign fit`"
        )
    fit_attention(study, study.subjects(), network)
