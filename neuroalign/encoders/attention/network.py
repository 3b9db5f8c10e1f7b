"""The network that all voxels share: their embeddings ask, the tokens of a stimulus answer.

For a layer with tokens F and a target with embedding e,

    x = norm(F) W                                every token in C dimensions; their mean as one more
    a = softmax(τ [x · q(e) / √C + p · s(e)])    a weight per token; p: functions of its place
    o = Σ_token a x,   h = o + MLP(norm(o))
    ŷ = Σ_layer h · r(e) + b

with q, s and r linear in e: queries are folded through to the C dimensions of the tokens, so that keys and
values are formed once for all targets. A query that is quadratic in the place makes of the attention a
Gaussian window: a population receptive field (Dumoulin & Wandell 2008), or a delay in time.

With prototypes, K embeddings that belong to nobody ask instead, and a target mixes what they are answered.

Dimensions: B samples, T tokens, U units, P functions of a place, C width, E embedding, V targets,
K prototypes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 3
"""Cosines and sines of a place beside its square."""

DECIDED = 2.0
"""How much sharper targets choose among prototypes than they would to begin with."""


@dataclass(frozen=True)
class Sizes:
    """What a network is made of; two networks of equal sizes take each other's weights.

    Attributes
    ----------
    units, dims : dict of int
        Of the tokens of every layer, and of their places.
    width, embedding : int
        C and E.
    prototypes : int
        K; 0 if every target asks for itself.
    gaps : bool
        Whether samples may lack tokens: then there is one more that says nothing.
    """

    units: Mapping[str, int]
    dims: Mapping[str, int]
    width: int
    embedding: int
    prototypes: int
    gaps: bool


class Attend(torch.autograd.Function):
    """Σ_token softmax(q · k) v for every sample and target, where v are the first columns of k.

    Attention is kept from forward to backward; beside it, one array of its size is made.
    """

    @staticmethod
    def forward(context: Any, queries: Tensor, keys: Tensor, width: int, absent: Tensor | None) -> Tensor:
        """Attended values (B, V, C) of queries (V, D), keys (B, T, D) and where tokens are absent (B, T)."""
        attention = weights(queries, keys, absent)
        attended = torch.bmm(attention, keys[..., :width])
        context.save_for_backward(queries, keys, attention, attended)
        return attended

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of queries and keys."""
        queries, keys, attention, attended = context.saved_tensors
        gradient = gradients[0].contiguous()
        width = gradient.shape[-1]
        scores = torch.bmm(gradient, keys[..., :width].transpose(1, 2))
        scores -= (gradient * attended).sum(-1, keepdim=True)
        scores *= attention
        of_keys = None
        if context.needs_input_grad[1]:
            of_keys = torch.bmm(scores.transpose(1, 2), _of_all(queries, keys))
            of_keys[..., :width] += torch.bmm(attention.transpose(1, 2), gradient)
        return torch.bmm(scores, keys).sum(0), of_keys, None, None


def weights(queries: Tensor, keys: Tensor, absent: Tensor | None) -> Tensor:
    """Attention (B, V, T) of queries (V, D) to keys (B, T, D)."""
    scores = torch.bmm(_of_all(queries, keys), keys.transpose(1, 2))
    if absent is not None:
        scores.masked_fill_(absent[:, None], -math.inf)
    return torch.softmax(scores, -1)


def _of_all(queries: Tensor, keys: Tensor) -> Tensor:
    """Queries (V, D) for every sample of keys (B, T, D): `matmul` would transpose what comes of it."""
    return queries.expand(len(keys), -1, -1)


def kept(values: Tensor, dropout: float, draws: torch.Generator) -> Tensor:
    """0 where a value is dropped, else what makes up for it; shares are of 1/256, a random byte per value."""
    dropped = round(256 * dropout)
    size = (-(-values.numel() // 8),)
    numbers = torch.empty(size, dtype=torch.int64, device=values.device)
    keep = (
        numbers.random_(-(2**63), None, generator=draws)
        .view(torch.uint8)[: values.numel()]
        .view(values.shape)
        >= dropped
    )
    return keep.to(values.dtype).mul_(256 / (256 - dropped))


@dataclass(frozen=True)
class Keys:
    """Tokens of a layer as queries see them.

    Attributes
    ----------
    tokens : tensor (B, T, C + P)
    absent : bool tensor (B, T) or None
    """

    tokens: Tensor
    absent: Tensor | None


class Layer(nn.Module):
    """One layer of the stimulus' network, seen by any number of targets.

    Parameters
    ----------
    n_units, n_dims : int
        Of tokens and of their places.
    sizes : Sizes
    dropout : float
        Of hidden units of the MLP.
    """

    mean: Tensor
    deviation: Tensor
    origin: Tensor
    extent: Tensor

    def __init__(self, n_units: int, n_dims: int, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        width, embedding = sizes.width, sizes.embedding
        n_functions = 2 * n_dims + n_dims * (n_dims - 1) // 2 + 2 * FREQUENCIES * n_dims + 3
        self.width, self.gaps, self.dropout = width, sizes.gaps, dropout
        self.register_buffer("mean", torch.zeros(n_units))
        self.register_buffer("deviation", torch.ones(n_units))
        self.register_buffer("origin", torch.zeros(n_dims))
        self.register_buffer("extent", torch.ones(n_dims))
        self.inward = nn.Linear(n_units, width)
        self.query = nn.Linear(embedding, width, bias=False)
        self.place = nn.Linear(embedding, n_functions, bias=False)
        self.readout = nn.Linear(embedding, width, bias=False)
        self.sharpness = nn.Parameter(torch.zeros(1))
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def keys(self, values: Tensor, present: Tensor | None, places: Tensor) -> Keys:
        """Tokens (B, T, U) narrowed, with their mean behind them, and the functions of their places."""
        standard = (values - self.mean).mul_(1 / self.deviation)
        inward = self.inward(functional.layer_norm(standard, standard.shape[-1:]))
        some = None
        if present is None:
            average = inward.mean(1, keepdim=True)
        else:
            inward = inward * present[..., None]
            count = present.sum(1).clamp(min=1)[:, None, None]
            average, some = inward.sum(1, keepdim=True) / count, present.any(1, keepdim=True)
        special = [average, torch.zeros_like(average)] if self.gaps else [average]
        where = self.functions(places, len(special)).expand(len(values), -1, -1)
        tokens = torch.cat([torch.cat([inward, *special], 1), where], -1)
        if present is None or some is None:
            return Keys(tokens, None)
        return Keys(tokens, ~torch.cat([present, some, torch.ones_like(some)], 1))

    def ask(self, embeddings: Tensor) -> Tensor:
        """Queries (V, C + P)."""
        sharpness = self.sharpness.exp()
        content = self.query(embeddings) * (sharpness / math.sqrt(self.width))
        return torch.cat([content, self.place(embeddings) * sharpness], -1)

    def answer(self, embeddings: Tensor, keys: Keys, draws: torch.Generator | None = None) -> Tensor:
        """What targets are answered (B, V, C); with `draws`, hidden units are dropped."""
        queries, tokens = self.ask(embeddings), keys.tokens
        if torch.is_autocast_enabled(tokens.device.type):
            kind = torch.get_autocast_dtype(tokens.device.type)
            queries, tokens = queries.to(kind), tokens.to(kind)
        attended = Attend.apply(queries, tokens, self.width, keys.absent)
        inside = functional.gelu(self.up(self.norm(attended)))
        if draws is not None and self.dropout:
            inside = inside * kept(inside, self.dropout, draws)
        return attended + self.down(inside)

    def functions(self, places: Tensor, n_special: int) -> Tensor:
        """Functions (B or 1, T + n_special, P) of places (B or 1, T, dims).

        Powers, products and waves of the place, and flags: of tokens that are nowhere, of the mean, and of
        the one that says nothing.
        """
        at = 2 * (places - self.origin) / self.extent - 1
        nowhere = at.isnan().any(-1, keepdim=True)
        at = torch.where(nowhere, 0.0, at).clamp(-1.5, 1.5)
        first, second = torch.triu_indices(at.shape[-1], at.shape[-1], 1, device=at.device)
        turns = [math.pi / 2 * k * at for k in range(1, FREQUENCIES + 1)]
        waves = [wave(turn) for turn in turns for wave in (torch.cos, torch.sin)]
        here = torch.cat([at, at**2, at[..., first] * at[..., second], *waves], -1) * ~nowhere
        functions = functional.pad(torch.cat([here, nowhere.to(here.dtype)], -1), (0, 2, 0, n_special))
        for number in range(n_special):
            functions[:, places.shape[1] + number, here.shape[-1] + 1 + number] = 1
        return functions


class Layers(nn.ModuleList):
    """Layers in order, known as such."""

    def __iter__(self) -> Iterator[Layer]:
        return super().__iter__()  # type: ignore[return-value]

    def __getitem__(self, number: int) -> Layer:  # type: ignore[override]
        return super().__getitem__(number)  # type: ignore[return-value]


class Network(nn.Module):
    """All layers, and what prototypes there are. Embeddings are not part of it.

    Parameters
    ----------
    sizes : Sizes
    dropout : float
    """

    def __init__(self, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.sizes = sizes
        self.layers = Layers(
            Layer(n_units, sizes.dims[name], sizes, dropout) for name, n_units in sizes.units.items()
        )
        if sizes.prototypes:
            self.prototypes = nn.Parameter(torch.randn(sizes.prototypes, sizes.embedding))
            self.mixing = nn.Linear(sizes.embedding, sizes.prototypes)

    def decaying(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters that decay in training, and those that do not: how prototypes are mixed.

        Decay would have every target listen to all prototypes alike.
        """
        free = list(self.mixing.parameters()) if self.sizes.prototypes else []
        known = {id(each) for each in free}
        return [each for each in self.parameters() if id(each) not in known], free

    def shared(
        self, batch: Sequence[tuple[Tensor, Tensor | None, Tensor]], draws: torch.Generator | None = None
    ) -> list[Keys]:
        """What all targets see of a batch, one per layer.

        Keys; with prototypes, what these are answered, as the readout sees it: (B, K, E).

        Parameters
        ----------
        batch : sequence of (values, present, places)
            Of every layer.
        draws : torch.Generator, optional
            Given in training.
        """
        keys = [layer.keys(*tokens) for layer, tokens in zip(self.layers, batch, strict=True)]
        if not self.sizes.prototypes:
            return keys
        return [
            Keys(layer.answer(self.prototypes, each, draws) @ layer.readout.weight, None)
            for layer, each in zip(self.layers, keys, strict=True)
        ]

    def predict(
        self, embeddings: Tensor, shared: Sequence[Keys], draws: torch.Generator | None = None
    ) -> Tensor:
        """Predictions (B, V), in units of standardised responses, less what is constant."""
        if self.sizes.prototypes:
            return self._mixed(embeddings, _total(each.tokens for each in shared))
        parts = (self._part(number, embeddings, each, draws) for number, each in enumerate(shared))
        return _total(parts)

    def parts(self, embeddings: Tensor, shared: Sequence[Keys]) -> Tensor:
        """What every layer adds to the prediction (L, B, V)."""
        if self.sizes.prototypes:
            return torch.stack([self._mixed(embeddings, each.tokens) for each in shared])
        return torch.stack([self._part(number, embeddings, each, None) for number, each in enumerate(shared)])

    def answers(self, embeddings: Tensor, shared: Sequence[Keys]) -> Tensor:
        """What targets read out, linearly (B, V, L · C); with prototypes (B, V, E)."""
        if self.sizes.prototypes:
            return torch.einsum(
                "vk,bke->bve", self._mixture(embeddings), _total(each.tokens for each in shared)
            )
        found = [layer.answer(embeddings, each) for layer, each in zip(self.layers, shared, strict=True)]
        return torch.cat(found, -1)

    def readouts(self, embeddings: Tensor) -> Tensor:
        """With what weights (V, L · C) they read it out; with prototypes (V, E)."""
        if self.sizes.prototypes:
            return embeddings
        return torch.cat([layer.readout(embeddings) for layer in self.layers], -1)

    def attention(self, number: int, embeddings: Tensor, keys: Keys) -> Tensor:
        """Attention (B, V, T) to the tokens of a layer."""
        layer = self.layers[number]
        if not self.sizes.prototypes:
            return weights(layer.ask(embeddings), keys.tokens, keys.absent)
        asked = weights(layer.ask(self.prototypes), keys.tokens, keys.absent)
        return torch.einsum("vk,bkt->bvt", self._mixture(embeddings), asked)

    def field(self, number: int, embeddings: Tensor, places: Tensor) -> Tensor:
        """Attention (V, T) to places (T, dims) of a layer where all tokens say the same."""
        layer = self.layers[number]
        asking = self.prototypes if self.sizes.prototypes else embeddings
        functions = layer.functions(places[None], 0)[0]
        found = torch.softmax(layer.ask(asking)[:, layer.width :] @ functions.T, -1)
        return self._mixture(embeddings) @ found if self.sizes.prototypes else found

    def _part(self, number: int, embeddings: Tensor, keys: Keys, draws: torch.Generator | None) -> Tensor:
        layer = self.layers[number]
        answered = layer.answer(embeddings, keys, draws)
        return (answered * layer.readout(embeddings)).sum(-1)

    def _mixture(self, embeddings: Tensor) -> Tensor:
        """How much a target listens to every prototype (V, K)."""
        return torch.softmax(DECIDED * self.mixing(embeddings), -1)

    def _mixed(self, embeddings: Tensor, answered: Tensor) -> Tensor:
        """Σ_k m_k (answered_k · e): one product for all targets and samples."""
        asked = self._mixture(embeddings)[:, :, None] * embeddings[:, None]
        return answered.flatten(1) @ asked.flatten(1).T


def _total(parts: Iterable[Tensor]) -> Tensor:
    """Their sum; there is at least one."""
    return reduce(torch.add, parts)
