"""What a config may say of a network: one section for every family, chosen by `family`.

A family is a module below `networks`; `networks.families` knows which.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from neuroalign.section import Section

Device = Literal["auto", "cpu", "cuda", "mps"]
Layers = Literal["all"] | tuple[str, ...]


class Network(Section):
    """What all families share."""

    family: str
    layers: Layers = Field("all", description="module paths, see `neuroalign layers`")
    dtype: Literal["float16", "float32"] = Field("float32", description="precision of the stored activations")

    @property
    def named(self) -> str:
        """Where the network comes from, for tables and messages."""
        return self.family

    @property
    def facts(self) -> tuple[str, ...]:
        """What else to know of how it is run, in a few words each."""
        return ()

    def described(self, name: str, layers: int, within: str) -> str:
        """A sentence for the methods: what network `name` was shown, `layers` of which were read.

        `within` says how far the context of a word reaches.
        """
        raise NotImplementedError

    def twin(self) -> Network | None:
        """The same network with random weights, where it is to stand beside this one as a control."""
        return None


class Weighted(Network):
    """A network with weights that were trained, or are drawn."""

    weights: Literal["pretrained", "random"] = Field("pretrained")
    sha256: str | None = Field(None, description="expected sha256 of the weights file, or its beginning")
    untrained: bool = Field(True, description="also run a twin with random weights as a control")
    device: Device = Field("auto")

    def twin(self) -> Network | None:
        """The same network with random weights, unless it is one itself or none is wanted."""
        if not self.untrained or self.weights == "random":
            return None
        return self.model_copy(update={"weights": "random", "sha256": None})


class Pretrained(Weighted):
    """A Hugging Face model."""

    source: str = Field(
        description="name on the Hugging Face hub, a folder, or package:FOLDER inside an installed package"
    )
    revision: str | None = Field(None, description="hub revision: a commit, tag or branch")

    @property
    def named(self) -> str:
        """The source."""
        return self.source

    @property
    def origin(self) -> str:
        """Source, revision and kind of weights."""
        revision = f", revision {self.revision}" if self.revision else ""
        return f"{self.source}{revision}, {self.weights} weights"


class Text(Pretrained):
    """A language model that is shown words after the words before them."""

    family: Literal["text"] = "text"
    context: int = Field(32, ge=0, description="words shown before the word itself")
    subtokens: Literal["mean", "last"] = Field("mean", description="how sub-tokens of a word are joined")
    batch_tokens: int = Field(4096, ge=1, description="tokens per forward pass, padding included")

    @property
    def facts(self) -> tuple[str, ...]:
        """The context."""
        return (f"context {self.context} words",)

    def described(self, name: str, layers: int, within: str) -> str:
        """Words after words."""
        joined = {"mean": "averaged over a word's sub-tokens", "last": "taken at a word's last sub-token"}
        return (
            f"Every word was shown to the network {name} ({self.origin}) after up to {self.context} "
            f"preceding words from {within}, and the activations of {layers} layers, "
            f"{joined[self.subtokens]}, were read with transformers (Wolf 2020) and stored as {self.dtype}."
        )


class Images(Section):
    """How images are shown, and what is kept of what a layer answers."""

    pooling: Literal["mean", "class", "flatten"] = Field(
        "mean", description="mean over patches, the class token, or everything, randomly projected"
    )
    projection: int = Field(4096, ge=1, description="dimensions that pooling: flatten leaves of a layer")
    tokens: bool = Field(False, description="also keep single patches, for cross-attention")
    batch: int = Field(32, ge=1, description="images per forward pass")

    @model_validator(mode="after")
    def _tokens_have_the_units_of_the_layer(self) -> Images:
        if self.tokens and self.pooling == "flatten":
            raise ValueError(
                "tokens: true keeps the units of a layer, which pooling: flatten mixes; set pooling: mean"
            )
        return self

    @property
    def pooled(self) -> str:
        """What is kept of a layer, in words."""
        return {
            "mean": "averaged over patches",
            "class": "taken at the class token",
            "flatten": f"projected at random to {self.projection} dimensions",
        }[self.pooling] + (", and at single patches," if self.tokens else "")


class Vision(Images, Pretrained):
    """An image model of Hugging Face."""

    family: Literal["vision"] = "vision"

    @property
    def facts(self) -> tuple[str, ...]:
        """How layers are pooled."""
        return (self.pooled.rstrip(","),)

    def described(self, name: str, layers: int, within: str) -> str:
        """Images one by one."""
        return (
            f"Every image was shown to the network {name} ({self.origin}), prepared as its own image "
            f"processor says, and the activations of {layers} layers, {self.pooled.rstrip(',')}, were "
            f"read with transformers (Wolf 2020) and stored as {self.dtype}."
        )


FAMILIES: dict[str, type[Network]] = {"text": Text, "vision": Vision}
"""The section of every family, by its name."""


def _family_of(raw: Any) -> Any:
    return raw.get("family", "text") if isinstance(raw, dict) else getattr(raw, "family", None)


AnyNetwork = Annotated[
    Annotated[Text, Tag("text")] | Annotated[Vision, Tag("vision")],
    Discriminator(_family_of),
]
"""A network of any family."""
