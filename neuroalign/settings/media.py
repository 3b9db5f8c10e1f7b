"""What a config may say of networks that hear sound or watch video."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neuroalign.settings.networks import Pooled, Pretrained, Tapped


class Audio(Tapped, Pretrained):
    """A network of Hugging Face that hears the sound of a step after the sound before it."""

    family: Literal["audio"] = "audio"
    context_s: float = Field(
        16.0, ge=0, description="seconds that are heard up to the end of a step, the step among them"
    )
    batch: int = Field(8, ge=1, description="steps per forward pass")

    @property
    def facts(self) -> tuple[str, ...]:
        """The context."""
        return (f"context {self.context_s:g} s", *([self.tapped] if self.tapped else []))

    def described(self, name: str, layers: int, within: str) -> str:
        """Sound up to the end of a step."""
        read = f" ({self.tapped})" if self.tapped else ""
        return (
            f"The sound was heard by the network {name} ({self.origin}) in windows of up to "
            f"{self.context_s:g} s that end with a step, prepared as its own feature extractor says, and the "
            f"activations of {layers} layers{read}, averaged over the frames within the step, were read with "
            f"transformers (Wolf 2020) and stored as {self.dtype}."
        )


class Video(Pooled, Tapped, Pretrained):
    """A network of Hugging Face that watches clips of a fixed number of frames."""

    family: Literal["video"] = "video"
    context_s: float = Field(
        0.0,
        ge=0,
        description="seconds that are seen up to the end of a step, if more than the step",
    )
    batch: int = Field(4, ge=1, description="clips per forward pass")

    @property
    def facts(self) -> tuple[str, ...]:
        """The context."""
        seen = [f"context {self.context_s:g} s"] if self.context_s else []
        return (self.pooled, *seen, *([self.tapped] if self.tapped else []))

    def described(self, name: str, layers: int, within: str) -> str:
        """Clips that end with a step."""
        read = f" ({self.tapped})" if self.tapped else ""
        span = f"the last {self.context_s:g} s up to its end" if self.context_s else "it"
        return (
            f"Of every step, frames spread evenly over {span} were shown to the network {name} "
            f"({self.origin}), prepared as its own image processor says, and the activations of {layers} "
            f"layers{read}, {self.pooled}, were read with transformers "
            f"(Wolf 2020) and stored as {self.dtype}."
        )
