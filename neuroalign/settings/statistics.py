"""What a config may say of noise ceilings and of tests."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neuroalign.settings.section import Section

CLUSTERED = ("cluster", "tfce")
"""Corrections that look at neighbours, which only channels have."""


class Ceiling(Section):
    """How well any model could do."""

    method: Literal["auto", "subjects", "repeats", "none"] = Field(
        "auto", description="leave-one-subject-out, repeated runs, or whichever the data allow"
    )
    repeats: Literal["signal_power", "nsd", "split_half"] = Field(
        "signal_power",
        description="how repeated trials give it: analysis of variance, NSD's formula, or their halves",
    )
    bootstraps: int = Field(500, ge=50, le=1_000_000)
    block_s: float = Field(30.0, gt=0, description="seconds per bootstrap block")
    confidence: float = Field(0.95, gt=0.5, lt=1)


class Inference(Section):
    """Which targets are predicted better than chance."""

    method: Literal["circular_shift", "block"] = Field(
        "circular_shift", description="how time series are moved in the null; trials always change items"
    )
    permutations: int = Field(2000, ge=99, le=1_000_000)
    block_s: float = Field(20.0, gt=0, description="seconds per permuted block (block)")
    level: float = Field(0.05, gt=0, lt=0.5, description="error rate")
    correction: Literal["fdr", "max", "cluster", "tfce"] = Field(
        "fdr",
        description="what 'significant' means in maps: false discovery rate, or family-wise by the maximum, "
        "by clusters of neighbouring channels and latencies, or by threshold-free enhancement of them",
    )
    cluster_level: float = Field(
        0.01, gt=0, lt=0.5, description="one-sided p from which on targets form clusters (cluster)"
    )
    bootstraps: int = Field(
        200, ge=50, description="draws of held-out items for time courses of EEG and MEG epochs"
    )
