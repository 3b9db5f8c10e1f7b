"""What a config may say of networks of Hugging Face that are shown words or images.

Those of sound and video are in `media`, modules of one's own in `modules`, features without a network in
`features`; `families` chooses among all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from neuroalign.settings.prompting import Prompted
from neuroalign.settings.section import Section

Device = Literal["auto", "cpu", "cuda", "mps"]
Layers = Literal["all"] | tuple[str, ...]
TapKind = Literal["residual", "attention", "mlp", "heads"]
COMPUTING = ("layers", "taps", "dtype", "untrained", "device", "batch", "batch_tokens")
"""Settings that say which activations are kept and how they are computed, not what they are."""


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

    @property
    def has_tokens(self) -> bool:
        """Whether single tokens are kept, such as the patches of an image."""
        return bool(getattr(self, "tokens", False))

    def described(self, name: str, layers: int, within: str) -> str:
        """A sentence for the methods: what network `name` was shown, `layers` of which were read.

        `within` says how far the context of a word reaches.
        """
        return f"The network {name} ({self.named}) has {layers} layers, stored as {self.dtype}."

    @property
    def trained(self) -> bool:
        """Whether it learned what it answers, so that an untrained twin would be a control."""
        return False

    def twin(self) -> Network | None:
        """The same network with random weights, where it is to stand beside this one as a control."""
        return None

    def conditions(self, name: str) -> Mapping[str, Network]:
        """The networks that this one stands for, by name: more than itself where it has several prompts."""
        return {name: self}


class Weighted(Network):
    """A network with weights that were trained, or are drawn."""

    weights: Literal["pretrained", "random"] = Field("pretrained")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9A-Fa-f]{1,64}$",
        description="expected sha256 of the weights file, or its beginning",
    )
    untrained: bool = Field(True, description="also run a twin with random weights as a control")
    device: Device = Field("auto")

    @property
    def trained(self) -> bool:
        """Whether its weights were trained."""
        return self.weights == "pretrained"

    def twin(self) -> Network | None:
        """The same network with random weights, unless it is one itself or none is wanted."""
        if not self.untrained or not self.trained:
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


class Tapped(Section):
    """Where the blocks of a transformer are read."""

    taps: tuple[TapKind, ...] = Field(
        ("residual",),
        min_length=1,
        description="what 'layers' chooses from: residual stream, attention, its heads, MLP",
    )

    @property
    def tapped(self) -> str:
        """Where the blocks are read, in words; empty where it is the residual stream alone."""
        if self.taps == ("residual",):
            return ""
        words = {
            "residual": "residual stream",
            "attention": "attention",
            "mlp": "MLP",
            "heads": "single heads",
        }
        return ", ".join(words[kind] for kind in dict.fromkeys(self.taps))


class Text(Tapped, Prompted, Pretrained):
    """A language model that is shown words after the words before them."""

    family: Literal["text"] = "text"
    context: int = Field(32, ge=0, description="words shown before the word itself")
    subtokens: Literal["mean", "last"] = Field("mean", description="how sub-tokens of a word are joined")
    batch_tokens: int = Field(4096, ge=1, description="tokens per forward pass, padding included")

    @property
    def facts(self) -> tuple[str, ...]:
        """The context, the prompt before it and where blocks are read."""
        return (f"context {self.context} words", *filter(None, (self.prompted, self.tapped)))

    def described(self, name: str, layers: int, within: str) -> str:
        """Words after words."""
        read = f" ({self.tapped})" if self.tapped else ""
        joined = {"mean": "averaged over a word's sub-tokens", "last": "taken at a word's last sub-token"}
        prompt = f" the {self.prompted} and" if self.prompt else ""
        return (
            f"Every word was shown to the network {name} ({self.origin}) after{prompt} up to {self.context} "
            f"preceding words from {within}, and the activations of {layers} layers{read}, "
            f"{joined[self.subtokens]}, were read with transformers (Wolf 2020) and stored as {self.dtype}."
        )


class Pooled(Section):
    """What is kept of what a layer answers for pictures, and how many are shown at once."""

    pooling: Literal["mean", "class", "flatten"] = Field(
        "mean", description="mean over patches, the class token, or everything, randomly projected"
    )
    projection: int = Field(4096, ge=1, description="dimensions that pooling: flatten leaves of a layer")
    tokens: bool = Field(False, description="also keep single patches, for cross-attention")
    batch: int = Field(32, ge=1, description="images per forward pass")

    @property
    def pooled(self) -> str:
        """What is kept of a layer, in words."""
        return {
            "mean": "averaged over patches",
            "class": "taken at the class token",
            "flatten": f"projected at random (Li 2006) to {self.projection} dimensions",
        }[self.pooling] + (" and at single patches" if self.tokens else "")


class Images(Pooled):
    """How images are shown, one by one."""

    frames: int = Field(4, ge=1, description="of video: pictures of a step that are shown and averaged")


class Vision(Images, Tapped, Pretrained):
    """An image model of Hugging Face."""

    family: Literal["vision"] = "vision"

    @property
    def facts(self) -> tuple[str, ...]:
        """How layers are pooled."""
        return (self.pooled, *([self.tapped] if self.tapped else []))

    def described(self, name: str, layers: int, within: str) -> str:
        """Images one by one."""
        read = f" ({self.tapped})" if self.tapped else ""
        return (
            f"Every image was shown to the network {name} ({self.origin}), prepared as its own image "
            f"processor says, and the activations of {layers} layers{read}, {self.pooled}, were "
            f"read with transformers (Wolf 2020) and stored as {self.dtype}."
        )


class Multimodal(Tapped, Prompted, Pretrained):
    """A language model that is shown images, film or sound with a prompt."""

    family: Literal["multimodal"] = "multimodal"
    at: Literal["last", "generated"] = Field(
        "last", description="the last token of the prompt, or the mean over what the network then says"
    )
    new_tokens: int = Field(8, ge=1, description="tokens it says at most (generated)")
    frames: int = Field(4, ge=1, description="of video: pictures of a step that are shown together")
    batch: int = Field(8, ge=1, description="items per forward pass")

    @property
    def read_at(self) -> str:
        """At which tokens layers are read, in words."""
        if self.at == "last":
            return "at the last token of the prompt"
        return f"averaged over up to {self.new_tokens} tokens said"

    @property
    def facts(self) -> tuple[str, ...]:
        """The prompt, the tokens and where blocks are read."""
        return tuple(filter(None, (self.prompted, self.read_at, self.tapped)))

    def described(self, name: str, layers: int, within: str) -> str:
        """What is shown, with the prompt."""
        read = f" ({self.tapped})" if self.tapped else ""
        said = f"with the {self.prompted}" if self.prompt else "without a prompt"
        return (
            f"Every stimulus (an image, the sound of a step or, of film, {self.frames} frames spread evenly "
            f"over a step) was shown to the network {name} ({self.origin}) {said}, put together by its own "
            f"processor, and the activations of {layers} layers of its language model{read}, {self.read_at}, "
            f"were read with transformers (Wolf 2020) and stored as {self.dtype}."
        )


def expanded(path: str) -> str:
    """A path with `~` and ${VARIABLES} filled in.

    Raises
    ------
    ValueError
        A variable is not set.
    """
    filled = os.path.expanduser(os.path.expandvars(path))
    unset = re.search(r"\$\{?(\w+)", filled)
    if unset:
        raise ValueError(f"the environment variable {unset[1]} is not set; export it or write the path")
    return filled
