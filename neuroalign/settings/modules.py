"""What a config may say of torch modules of one's own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue, model_validator

from neuroalign.settings.features import Scale
from neuroalign.settings.networks import (
    Images,
    Weighted,
)
from neuroalign.settings.section import Section


class Preprocessing(Section):
    """How an image is prepared for a network of one's own; the defaults are those of ImageNet."""

    size: int = Field(256, ge=1, description="pixels of the shorter side after resizing")
    crop: int = Field(224, ge=1, description="pixels of the square cut out of the middle")
    mean: tuple[float, float, float] = Field((0.485, 0.456, 0.406), description="of each colour, from 0 to 1")
    std: tuple[Scale, Scale, Scale] = Field((0.229, 0.224, 0.225), description="of each colour, from 0 to 1")

    @model_validator(mode="after")
    def _crops_what_is_there(self) -> Preprocessing:
        if self.crop > self.size:
            raise ValueError(f"crop is {self.crop} but size is {self.size}; expected a crop no larger")
        return self


class Module(Images, Weighted):
    """A torch module of one's own that is shown images."""

    family: Literal["module"] = "module"
    factory: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="package.module:function that makes the module",
    )
    arguments: dict[str, JsonValue] = Field({}, description="given to the factory")
    file: str | None = Field(None, description="weights: safetensors, or a torch state dict")
    preprocessing: Preprocessing = Preprocessing()

    @model_validator(mode="after")
    def _weights_come_from_the_file(self) -> Module:
        if self.weights == "pretrained" and self.file is None:
            raise ValueError("weights: pretrained needs a file of weights; give file, or set weights: random")
        if self.arguments.get("pretrained"):
            raise ValueError(
                "arguments.pretrained lets the factory find weights by itself, for the untrained twin too; "
                "save them and give file"
            )
        return self

    @property
    def named(self) -> str:
        """The factory."""
        return self.factory

    @property
    def facts(self) -> tuple[str, ...]:
        """Where the weights come from and how layers are pooled."""
        return (self.file if self.file and self.weights == "pretrained" else "random weights", self.pooled)

    def described(self, name: str, layers: int, within: str) -> str:
        """Images one by one."""
        shown = self.preprocessing
        return (
            f"Every image, its shorter side resized to {shown.size} pixels and its middle {shown.crop} × "
            f"{shown.crop} pixels cut out, was shown to the network {name} ({self.factory}, {self.weights} "
            f"weights), and the activations of {layers} layers, {self.pooled}, were read with forward hooks "
            f"and stored as {self.dtype}."
        )
