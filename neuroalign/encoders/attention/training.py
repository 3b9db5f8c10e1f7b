"""How the shared network and everybody's embeddings are learned.

A step takes some samples of one subject and some of its targets. What a target loses does not depend on other
targets, so that each chunk of them goes forwards and backwards before the next begins: memory is that of one
chunk, whatever the number of targets. Samples, targets and dropped units of a step follow from the seed and
its number, and training that was cut short goes on as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from neuroalign.encoders.attention.checkpoint import Checkpoint
from neuroalign.encoders.attention.network import Keys, Network
from neuroalign.encoders.attention.optimiser import Flat, RowAdam
from neuroalign.encoders.attention.people import Person
from neuroalign.encoders.attention.schedule import Portions, Schedule
from neuroalign.encoders.attention.tokens import Tokens
from neuroalign.metrics import pearson

ATTENTION_VALUES = 2**22
"""Weights of attention that a chunk of targets may hold."""

EVALUATIONS, PATIENCE = 40, 14
"""How often validation is looked at, and how often in a row it may fail to improve."""

EMBEDDINGS_FASTER = 5.0
"""Learning rate of embeddings over that of the shared weights."""


@dataclass(frozen=True)
class Place:
    """Where a network computes, and in what.

    Attributes
    ----------
    device : torch.device
    precision : {"float32", "bfloat16"}
        Of attention and what follows from it.
    """

    device: torch.device
    precision: str

    def cast(self) -> AbstractContextManager[Any]:
        """Products in the precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def batch(
        self, network: Network, tokens: Tokens, rows: np.ndarray
    ) -> list[tuple[Tensor, Tensor | None, Tensor]]:
        """Tokens of some samples, as `Network.shared` takes them."""
        found = []
        for name in network.sizes.units:
            batch = tokens.batch(name, rows)
            present = None if batch.present is None else torch.from_numpy(batch.present).to(self.device)
            values, places = (torch.from_numpy(each).to(self.device) for each in (batch.values, batch.places))
            found.append((values, present, places))
        return found


def chunk_of(network: Network, shared: Sequence[Keys]) -> int:
    """Targets at once, so that their attention, or their mixtures, are not too many values."""
    sizes = network.sizes
    if sizes.prototypes:
        return max(16, ATTENTION_VALUES // (sizes.prototypes * sizes.embedding))
    return max(16, ATTENTION_VALUES // max(each.tokens.shape[0] * each.tokens.shape[1] for each in shared))


def train(
    network: Network, people: dict[str, Person], schedule: Schedule, place: Place, checkpoint: Path | None
) -> dict[str, np.ndarray]:
    """Teach the network and the embeddings; both are left as they did best in validation.

    Parameters
    ----------
    network : Network
    people : dict of Person
    schedule : Schedule
    place : Place
    checkpoint : Path, optional
        Folder to leave the state in now and then, and to go on from.

    Returns
    -------
    dict of arrays (n_targets,)
        Pearson r in validation, by subject.

    Raises
    ------
    DataError
        The checkpoint is of another network or other data.
    """
    small, free = (Flat(each) for each in network.decaying())
    shared = RowAdam({"small": small.values[None], "free": free.values}, schedule.decay)
    for person in people.values():
        learned = {"embeddings": person.embeddings, "offset": person.offset}
        person.optimiser = RowAdam(learned, schedule.embedding_decay)
    keeper = Checkpoint(network, shared, people, schedule, checkpoint)
    every = max(1, schedule.steps // EVALUATIONS)
    bar = tqdm(total=schedule.steps, initial=keeper.step, unit="step", desc="train", disable=None)
    portions = Portions({name: person.train for name, person in people.items()}, schedule)
    with bar:
        while keeper.step < schedule.steps and keeper.waited < PATIENCE:
            name, rows = portions.at(keeper.step)
            rate = schedule.rate * schedule.factor(keeper.step)
            draws = np.random.default_rng([schedule.seed, keeper.step])
            _step(network, people[name], rows, schedule, place, rate, draws)
            shared.step({"small": small.gradients[None], "free": free.gradients}, rate)
            keeper.step += 1
            bar.update()
            if keeper.step % every == 0 or keeper.step == schedule.steps:
                r = {name: validated(network, person, place) for name, person in people.items()}
                mean = float(np.mean([np.nanmean(each) for each in r.values()]))
                keeper.evaluated(mean, r)
                bar.set_postfix(r=f"{mean:.3f}", best=f"{keeper.best:.3f}")
    return keeper.finish()


def _step(
    network: Network,
    person: Person,
    rows: np.ndarray,
    schedule: Schedule,
    place: Place,
    rate: float,
    draws: np.random.Generator,
) -> None:
    """Gradients of the shared weights, and a step of a subject's embeddings."""
    some = _drawn(len(person.embeddings), schedule.targets, draws)
    dropped = torch.Generator(place.device).manual_seed(int(draws.integers(2**62)))
    wanted = person.responses[rows] if some is None else person.responses[np.ix_(rows, some)]
    at = None if some is None else torch.from_numpy(some).to(place.device)
    embeddings, offset = (each if at is None else each[at] for each in (person.embeddings, person.offset))
    own = backward(
        network,
        place.batch(network, person.tokens, rows),
        embeddings,
        offset,
        torch.from_numpy(wanted).to(place.device),
        place,
        dropped,
    )
    person.optimiser.step(own, EMBEDDINGS_FASTER * rate, at)


def _drawn(n_targets: int, most: int, draws: np.random.Generator) -> np.ndarray | None:
    """The targets of a step, ascending; None for all."""
    return None if n_targets <= most else np.sort(draws.choice(n_targets, most, replace=False))


def backward(
    network: Network,
    batch: Sequence[tuple[Tensor, Tensor | None, Tensor]],
    embeddings: Tensor,
    offset: Tensor,
    wanted: Tensor,
    place: Place,
    draws: torch.Generator | None,
) -> dict[str, Tensor]:
    """Gradients of the mean squared error, chunk by chunk of targets; the network's own stay with it.

    Parameters
    ----------
    network : Network
    batch : sequence
        See `Network.shared`.
    embeddings, offset : tensors (V, E), (V,)
        Of the targets.
    wanted : tensor (B, V)
        Standardised responses.
    place : Place
    draws : torch.Generator or None
        None drops no units.

    Returns
    -------
    dict of tensors
        "embeddings" and "offset".
    """
    network.zero_grad(set_to_none=False)
    with place.cast():
        formed = network.shared(batch, draws)
    leaves = [Keys(each.tokens.detach().requires_grad_(), each.absent) for each in formed]
    embeddings, offset = (each.detach().clone().requires_grad_() for each in (embeddings, offset))
    size = chunk_of(network, leaves)
    for start in range(0, len(embeddings), size):
        part = slice(start, start + size)
        with place.cast():
            found = network.predict(embeddings[part], leaves, draws)
        error = found.float() + offset[part] - wanted[:, part]
        (error.square().sum() / wanted.numel()).backward()
    reached = [(each.tokens, grad_of(leaf.tokens)) for each, leaf in zip(formed, leaves, strict=True)]
    torch.autograd.backward([each for each, _ in reached], [each for _, each in reached])
    return {"embeddings": grad_of(embeddings), "offset": grad_of(offset)}


def grad_of(value: Tensor) -> Tensor:
    """The gradient that has been taken."""
    assert value.grad is not None
    return value.grad


@torch.no_grad()
def predicted(
    network: Network,
    tokens: Tokens,
    embeddings: Tensor,
    offset: Tensor,
    place: Place,
    rows: np.ndarray | None = None,
    batch: int = 32,
) -> np.ndarray:
    """Predictions (n_samples, n_targets), standardised, of all samples or some."""
    rows = np.arange(len(tokens)) if rows is None else rows
    out = np.empty((len(rows), len(embeddings)), np.float32)
    for start in range(0, len(rows), batch):
        with place.cast():
            shared = network.shared(place.batch(network, tokens, rows[start : start + batch]))
            size = chunk_of(network, shared)
            for first in range(0, len(embeddings), size):
                part = slice(first, first + size)
                found = network.predict(embeddings[part], shared).float() + offset[part]
                out[start : start + batch, part] = found.cpu().numpy()
    return out


@torch.no_grad()
def parts_of(
    network: Network, tokens: Tokens, embeddings: Tensor, place: Place, batch: int = 32
) -> np.ndarray:
    """What every layer adds to predictions (n_layers, n_samples, n_targets)."""
    out = np.empty((len(network.layers), len(tokens), len(embeddings)), np.float32)
    for start in range(0, len(tokens), batch):
        rows = np.arange(start, min(start + batch, len(tokens)))
        shared = network.shared(place.batch(network, tokens, rows))
        size = chunk_of(network, shared)
        for first in range(0, len(embeddings), size):
            part = slice(first, first + size)
            out[:, rows, part] = network.parts(embeddings[part], shared).cpu().numpy()
    return out


def validated(network: Network, person: Person, place: Place) -> np.ndarray:
    """Pearson r (n_targets,) in the samples held out for validation."""
    rows = person.validation
    found = predicted(network, person.tokens, person.embeddings, person.offset, place, rows)
    return pearson(found, person.responses[rows])
