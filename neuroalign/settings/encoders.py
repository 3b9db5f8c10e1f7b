"""What a config may say of encoders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from neuroalign.settings.section import Section

Encoder = Literal["ridge", "banded_ridge", "cross_attention", "stack"]
STACKED = ("ridge", "cross_attention")
"""What the encoder `stack` mixes."""


class Alphas(Section):
    """A logarithmic grid of regularisation strengths, for features of unit total variance."""

    lowest: float = Field(1e-2, gt=0)
    highest: float = Field(1e6, gt=0)
    count: int = Field(17, ge=1, le=200)

    @model_validator(mode="after")
    def _ordered(self) -> Alphas:
        if self.highest <= self.lowest and self.count > 1:
            raise ValueError(f"highest ({self.highest:g}) must exceed lowest ({self.lowest:g}); swap them")
        return self

    def values(self) -> list[float]:
        """The grid, ascending."""
        if self.count == 1:
            return [self.lowest]
        ratio = (self.highest / self.lowest) ** (1 / (self.count - 1))
        return [self.lowest * ratio**step for step in range(self.count)]


class Ridge(Section):
    """Settings of the ridge encoders, banded or not."""

    alphas: Alphas = Alphas()


class BandedRidge(Section):
    """Settings of banded ridge: nuisance and network features, each with a weight of their own."""

    candidates: int = Field(8, ge=3, le=10_000, description="pairs of weights tried for every target")


ASK_TOGETHER = 300
"""Targets from which on they ask by prototypes, where it is left open."""


class CrossAttention(Section):
    """Settings of cross-attention: every target asks, the words of the last seconds answer."""

    window_s: float = Field(10.0, gt=0, description="seconds before a sample whose words it may look at")
    layers: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all", description="module paths of the layers to look at; a network takes those that it has"
    )
    queries: Literal["auto", "voxel", "prototype"] = Field(
        "auto",
        description="every target asks for itself, or mixes what shared prototypes ask; left to it, "
        "prototypes where there are more targets than some hundred",
    )
    width: int = Field(32, ge=1, le=8192, description="dimensions of a word inside the encoder")
    embedding: int = Field(64, ge=1, le=8192, description="dimensions of what is learned of a target")
    steps: int | None = Field(None, ge=1, description="training steps at most; by the samples when left out")
    universal: bool = Field(False, description="one network for all subjects instead of one for each")
    device: Literal["auto", "cpu", "cuda"] = Field("auto")

    def asking(self, n_targets: int) -> CrossAttention:
        """The same settings for so many targets in all, with it decided who asks.

        Prototypes predicted no worse from 300 targets on in simulated cortices, and cost a tenth.
        """
        if self.queries != "auto":
            return self
        return self.model_copy(update={"queries": "prototype" if n_targets >= ASK_TOGETHER else "voxel"})
