"""A network of any family: its section is chosen by `family`.

A family is a module below `networks`; `networks.families` knows which.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from neuroalign.settings.features import Features, Handmade
from neuroalign.settings.media import Audio, Video
from neuroalign.settings.modules import Module
from neuroalign.settings.networks import Multimodal, Network, Text, Vision

FAMILIES: dict[str, type[Network]] = {
    "text": Text,
    "vision": Vision,
    "audio": Audio,
    "video": Video,
    "multimodal": Multimodal,
    "module": Module,
    "handmade": Handmade,
    "features": Features,
}
"""The section of every family, by its name."""


def _family(raw: Any) -> str:
    return str(raw.get("family", "text") if isinstance(raw, dict) else getattr(raw, "family", "text"))


AnyNetwork = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Vision, Tag("vision")]
    | Annotated[Audio, Tag("audio")]
    | Annotated[Video, Tag("video")]
    | Annotated[Multimodal, Tag("multimodal")]
    | Annotated[Module, Tag("module")]
    | Annotated[Handmade, Tag("handmade")]
    | Annotated[Features, Tag("features")],
    Discriminator(_family),
]
"""A network of any family."""
