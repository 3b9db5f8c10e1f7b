"""Targets that look as known ones do, with readouts of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuroalign.encoders.attention.network import Keys, Network
from neuroalign.encoders.attention.tokens import Tokens
from neuroalign.encoders.attention.training import Place

AT_ONCE = 128
"""Targets predicted at once."""


@dataclass(frozen=True)
class Mixture:
    """Targets as mixtures of known ones.

    Attributes
    ----------
    embeddings : tensor (D, E)
        Of known targets.
    chosen : int tensor (V, k)
        Which known targets a target looks as.
    share : tensor (V, k)
        How probably; rows sum to 1.
    readouts : tensor (V, k, R)
        What it reads out of what they are answered; weighted by how probable they are.
    offset : tensor (V,)
    """

    embeddings: Tensor
    chosen: Tensor
    share: Tensor
    readouts: Tensor
    offset: Tensor

    @torch.no_grad()
    def predicted(self, network: Network, tokens: Tokens, place: Place) -> np.ndarray:
        """Predictions (n_samples, n_targets), standardised."""
        return self.parts(network, tokens, place).sum(0) + self.offset.cpu().numpy()

    @torch.no_grad()
    def parts(self, network: Network, tokens: Tokens, place: Place, batch: int = 32) -> np.ndarray:
        """What every layer adds (n_layers, n_samples, n_targets)."""
        out = np.empty((len(network.layers), len(tokens), len(self.offset)), np.float32)
        for start in range(0, len(tokens), batch):
            rows = np.arange(start, min(start + batch, len(tokens)))
            shared = network.shared(place.batch(network, tokens, rows))
            answered = list(answers(network, self.embeddings, shared))
            for first in range(0, len(self.offset), AT_ONCE):
                part = slice(first, first + AT_ONCE)
                for number, (each, weights) in enumerate(
                    zip(answered, self._spread(network, part), strict=True)
                ):
                    out[number, rows, part] = (each.flatten(1) @ weights).cpu().numpy()
        return out

    def shares(self) -> Tensor:
        """How probably a target looks as a known one does (V, D)."""
        spread = self.share.new_zeros(len(self.share), len(self.embeddings))
        return spread.scatter_add_(1, self.chosen, self.share)

    def mean(self) -> Tensor:
        """Mean of the embeddings of known targets (V, E) by how probable they are."""
        return self.shares() @ self.embeddings

    def arrays(self) -> dict[str, Tensor]:
        """All but the offset, to be saved."""
        return {name: getattr(self, name) for name in ("embeddings", "chosen", "share", "readouts")}

    @classmethod
    def of(cls, arrays: Mapping[str, Tensor], name: str, offset: Tensor) -> Mixture:
        """The one that was saved under a name."""
        embeddings, chosen, share, readouts = (
            arrays[f"mixture/{part}/{name}"].to(offset.device)
            for part in ("embeddings", "chosen", "share", "readouts")
        )
        return cls(embeddings, chosen, share, readouts, offset)

    def _spread(self, network: Network, part: slice) -> Iterator[Tensor]:
        """Readouts of some targets in their places among those of all known ones (D · R, V), by layer."""
        chosen, readouts = self.chosen[part], self.readouts[part]
        spread = readouts.new_zeros(len(chosen), len(self.embeddings), readouts.shape[-1])
        spread.scatter_add_(1, chosen[..., None].expand_as(readouts), readouts)
        if network.sizes.prototypes:
            whole = spread.flatten(1).T
            yield from (whole for _ in network.layers)
        else:
            for each in spread.split(network.sizes.width, -1):
                yield each.flatten(1).T


def answers(network: Network, embeddings: Tensor, shared: Sequence[Keys]) -> Iterator[Tensor]:
    """What targets are answered by every layer (B, D, R of the layer)."""
    if network.sizes.prototypes:
        yield from (network.answers(embeddings, [each]) for each in shared)
    else:
        yield from network.answers(embeddings, shared).split(network.sizes.width, -1)
