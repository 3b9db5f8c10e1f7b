"""The Universal Brain Encoder, small and faithful: what cross-attention is measured against.

Beliy, Wasserman, Zalcher & Irani (2024): The Wisdom of a Crowd of Brains: A Universal Brain Encoder.
arXiv:2406.12179. Written anew from its abstract and what its authors' public training scripts do; what the
network consists of was read in a public fork of them (github.com/ab4736/ube-2afc).

Taken over
    A voxel embedding of 256 numbers. Per layer, tokens are normalised and narrowed to 128; one head, whose
    queries are linear in the voxel embedding, whose keys are the narrowed tokens in 256 dimensions plus an
    embedding of the place that all layers share, whose values are the narrowed tokens, and whose scores are
    not scaled; norm, dropout of .25, an MLP of 4 × 128 with GELU around a residual. A readout, linear in
    the voxel embedding, of all layers side by side; no offset. Voxel embeddings begin at .1 / (2 √256).
    Loss: mean squared error − .1 · cosine, that of every image over the voxels of the step. Adam (AMSGrad) at
    1e-3, divided by ten when the upper quartile of validation r has not risen by .003 for more than four
    epochs. 32 images × 5,000 voxels per step; voxels are drawn for every image anew, and images of all
    subjects mix. The best epoch in validation is kept. A new subject: new embeddings, all else frozen, the
    same optimiser at 1e-3 throughout; the last epoch is kept.

Left out
    What changes tokens, not what is made of them: DINOv2 itself, its low-rank adaptation, images moved by a
    few pixels.

Had to be chosen
    Layers, numbers of tokens and of units: those of the simulation. The share of images for validation: .15,
    the last ones of every subject, as ours. Responses are standardised by the training images. 50 epochs of
    a new subject are fifty steps where images are few; it gets `STEPS_OF_NEW` at least. 30 epochs of all
    others: in one run on a simulated cortex validation was best at the tenth. Where subjects have fewer than
    5,000 voxels, as many are drawn as the one with the fewest has. What a voxel embedding is multiplied with
    is multiplied once per step, not once per image that draws the voxel.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuroalign.metrics import pearson

EMBEDDING, WIDTH, HIDDEN, DROPOUT = 256, 128, 4 * 128, 0.25
RATE, COSINE, IMAGES, VOXELS, HELD_OUT = 1e-3, 0.1, 32, 5000, 0.15
QUARTILE, RISE, PATIENCE, SLOWER, SLOWEST = 75, 0.003, 4, 0.1, 1e-7
EPOCHS, EPOCHS_OF_NEW, STEPS_OF_NEW = 30, 50, 400

TokensOf = Mapping[str, np.ndarray]


class Layer(nn.Module):
    """What a layer of the network says to voxels."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm_in, self.inward = nn.LayerNorm(units), nn.Linear(units, WIDTH)
        self.query, self.key = nn.Linear(EMBEDDING, EMBEDDING), nn.Linear(WIDTH, EMBEDDING)
        self.norm, self.dropout = nn.LayerNorm(WIDTH), nn.Dropout(DROPOUT)
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, tokens: Tensor, places: Tensor, embeddings: Tensor, at: Tensor | None) -> Tensor:
        """Answers (B, V, width) to the embeddings at (B, V), or to all (V, 256), from tokens (B, T, U)."""
        narrow = self.inward(self.norm_in(tokens))
        queries = spread(self.query(embeddings), at).expand(len(narrow), -1, -1)
        attended = self.norm(attend(queries, self.key(narrow) + places, narrow))
        dropped = self.dropout(attended)
        return dropped + self.down(functional.gelu(self.up(dropped)))

    def attention(self, tokens: Tensor, places: Tensor, embeddings: Tensor) -> Tensor:
        """Weights (B, V, T)."""
        keys = self.key(self.inward(self.norm_in(tokens))) + places
        return torch.softmax(self.query(embeddings) @ keys.transpose(1, 2), -1)


def spread(rows: Tensor, at: Tensor | None) -> Tensor:
    """Rows (B, V, n) for every image, or (1, V, n) that all images share."""
    return rows[None] if at is None else functional.embedding(at, rows)


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One head, unscaled; by whichever way was the fastest found."""
    if queries.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        # The fused one takes three times as long in bfloat16 on a CPU.
        kind = torch.get_autocast_dtype("cpu")
        queries, keys, values = queries.to(kind), keys.to(kind), values.to(kind)
        return torch.bmm(torch.softmax(torch.bmm(queries, keys.transpose(1, 2)), -1), values)
    heads = (queries[:, None], keys[:, None], values[:, None])
    return functional.scaled_dot_product_attention(*heads, scale=1.0)[:, 0]


class Network(nn.Module):
    """All layers, and the embeddings of all voxels of all subjects."""

    def __init__(self, units: Sequence[int], n_tokens: int, n_voxels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(each) for each in units)
        self.embeddings = started(n_voxels)
        begin = 1 / (2 * math.sqrt(32))
        self.places = nn.Parameter(begin * torch.randn(n_tokens, EMBEDDING))
        self.readout = nn.Parameter(begin * torch.randn(EMBEDDING, WIDTH * len(units)))

    def forward(self, tokens: Sequence[Tensor], voxels: Tensor) -> Tensor:
        """Predictions (B, V) of voxels (B, V), or of (V,) that all images share."""
        at = None
        if voxels.ndim == 2:  # what is linear in an embedding is computed once, however many images draw it
            voxels, at = torch.unique(voxels, return_inverse=True)
        embeddings = self.embeddings[voxels]
        pairs = zip(self.layers, tokens, strict=True)
        answers = torch.cat([layer(each, self.places, embeddings, at) for layer, each in pairs], -1)
        return (answers * spread(embeddings @ self.readout, at)).sum(-1)


def started(n_voxels: int) -> nn.Parameter:
    """Embeddings before training."""
    return nn.Parameter(0.1 / (2 * math.sqrt(EMBEDDING)) * torch.randn(n_voxels, EMBEDDING))


def loss_of(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error less a tenth of the mean cosine, of (B, V)."""
    return functional.mse_loss(found, wanted) - COSINE * functional.cosine_similarity(found, wanted).mean()


@dataclass
class Subject:
    """Where a subject's voxels are among all, and what makes responses standard."""

    tokens: list[Tensor]
    responses: Tensor
    voxels: Tensor
    mean: np.ndarray
    deviation: np.ndarray
    train: np.ndarray
    held: np.ndarray


class UniversalBrainEncoder:
    """The network with its recipe.

    Parameters
    ----------
    seed : int
    rate : float
        Learning rate.
    epochs : int
    precision : {"float32", "bfloat16"}
        Of products in training.
    """

    def __init__(
        self, seed: int = 0, rate: float = RATE, epochs: int = EPOCHS, precision: str = "float32"
    ) -> None:
        self.seed, self.rate, self.epochs, self.precision = seed, rate, epochs, precision

    def fit(self, people: Mapping[str, tuple[TokensOf, np.ndarray]]) -> UniversalBrainEncoder:
        """Learn from subject → (tokens, responses (item, voxel))."""
        torch.manual_seed(self.seed)
        draws = np.random.default_rng(self.seed)
        self.subjects: dict[str, Subject] = {}
        first = 0
        for name, (tokens, responses) in people.items():
            held = np.arange(round(len(responses) * (1 - HELD_OUT)), len(responses))
            self.subjects[name] = _subject(tokens, responses, first, held)
            first += responses.shape[1]
        example = next(iter(self.subjects.values())).tokens
        network = Network([each.shape[2] for each in example], example[0].shape[1], first)
        optimiser = torch.optim.Adam(network.parameters(), self.rate, amsgrad=True)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, "max", SLOWER, PATIENCE, RISE, "abs")
        best = -1.0
        for _ in range(self.epochs):
            self._epoch(network, optimiser, self.subjects, draws)
            metric = self._validated(network)
            if metric > best:
                best, self.network = metric, copy.deepcopy(network).eval()
            plateau.step(metric)
            if optimiser.param_groups[0]["lr"] < SLOWEST:
                break
        return self

    def add(self, name: str, tokens: TokensOf, responses: np.ndarray) -> UniversalBrainEncoder:
        """Learn the embeddings of a new subject; all else is frozen."""
        torch.manual_seed(self.seed)
        known = self.network.embeddings.data
        new = _subject(tokens, responses, 0, np.arange(0))
        network = copy.deepcopy(self.network).requires_grad_(False)
        network.embeddings = started(responses.shape[1])
        optimiser = torch.optim.Adam([network.embeddings], self.rate, amsgrad=True)
        draws = np.random.default_rng(self.seed)
        for _ in range(max(EPOCHS_OF_NEW, STEPS_OF_NEW // -(-len(responses) // IMAGES))):
            self._epoch(network, optimiser, {name: new}, draws)
        new.voxels = new.voxels + len(known)
        self.subjects[name] = new
        self.network.embeddings = nn.Parameter(torch.cat([known, network.embeddings.data]))
        return self

    @torch.no_grad()
    def predict(self, tokens: TokensOf, subject: str) -> np.ndarray:
        """Responses (item, voxel)."""
        of = self.subjects[subject]
        found = _predicted(self.network, [torch.from_numpy(each) for each in tokens.values()], of.voxels)
        return found * of.deviation + of.mean

    @torch.no_grad()
    def attention(self, tokens: TokensOf, subject: str) -> list[np.ndarray]:
        """Mean attention over items (voxel, token) by layer."""
        embeddings = self.network.embeddings[self.subjects[subject].voxels]
        found = []
        for layer, values in zip(self.network.layers, tokens.values(), strict=True):
            parts = [
                layer.attention(torch.from_numpy(part), self.network.places, embeddings).sum(0)
                for part in np.array_split(values, -(-len(values) // IMAGES))
            ]
            found.append((torch.stack(parts).sum(0) / len(values)).numpy())
        return found

    def _epoch(
        self,
        network: Network,
        optimiser: torch.optim.Optimizer,
        subjects: Mapping[str, Subject],
        draws: np.random.Generator,
    ) -> None:
        """See every training image of everybody once."""
        network.train()
        for tokens, wanted, voxels in _batches(list(subjects.values()), draws):
            optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
                found = network(tokens, voxels)
            loss_of(found.float(), wanted).backward()
            optimiser.step()

    @torch.no_grad()
    def _validated(self, network: Network) -> float:
        network.eval()
        r = [
            pearson(
                _predicted(network, [each[of.held] for each in of.tokens], of.voxels),
                of.responses[of.held].numpy(),
            )
            for of in self.subjects.values()
        ]
        return float(np.percentile(np.nan_to_num(np.concatenate(r)), QUARTILE))


def _subject(tokens: TokensOf, responses: np.ndarray, first: int, held: np.ndarray) -> Subject:
    train = np.setdiff1d(np.arange(len(responses)), held)
    mean, deviation = responses[train].mean(0), responses[train].std(0)
    standard = torch.from_numpy(((responses - mean) / deviation).astype(np.float32))
    voxels = torch.arange(first, first + responses.shape[1])
    shown = [torch.from_numpy(np.asarray(each, np.float32)) for each in tokens.values()]
    return Subject(shown, standard, voxels, mean, deviation, train, held)


def _batches(
    subjects: Sequence[Subject], draws: np.random.Generator
) -> Iterator[tuple[list[Tensor], Tensor, Tensor]]:
    """Tokens, responses (B, V) and voxels (B, V): images of all subjects mix, each with voxels of its own."""
    seen = [(number, row) for number, of in enumerate(subjects) for row in of.train]
    size = min([VOXELS, *(len(of.voxels) for of in subjects)])
    order = draws.permutation(len(seen))
    for part in np.array_split(order, -(-len(order) // IMAGES)):
        tokens, wanted, voxels = [], [], []
        for number, row in (seen[place] for place in part):
            of = subjects[number]
            some = torch.from_numpy(draws.choice(len(of.voxels), size, replace=False))
            tokens.append([each[row] for each in of.tokens])
            wanted.append(of.responses[row, some])
            voxels.append(of.voxels[some])
        layers = [torch.stack(each) for each in zip(*tokens, strict=True)]
        yield layers, torch.stack(wanted), torch.stack(voxels)


def _predicted(network: Network, tokens: Sequence[Tensor], voxels: Tensor) -> np.ndarray:
    """Predictions (item, voxel) in batches of images and voxels."""
    parts = [
        torch.cat([network(batch, some) for some in voxels.split(VOXELS)], 1)
        for batch in zip(*(each.split(IMAGES) for each in tokens), strict=True)
    ]
    return torch.cat(parts).numpy()
