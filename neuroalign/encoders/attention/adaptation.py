"""New people: embeddings of targets that a network was not trained on, from few samples.

The network stays as it is. What is known of a new target before anything is measured is that it is one like
those before: its embedding comes from a normal distribution, estimated from theirs. Its own is the one with
the highest posterior probability, given its responses and the noise that the other targets have. So a few
dozen samples suffice to say where a target looks and what for; to begin with the mean of the best-correlated
known targets, or to fit the readout anew, added nothing in simulations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from neuroalign.encoders.attention.network import Keys, Network
from neuroalign.encoders.attention.tokens import Tokens
from neuroalign.encoders.attention.training import Place, chunk_of

STEPS, RATE, BATCH = 60, 0.1, 64
"""Passes over all samples, the first step of an embedding in deviations of others, samples at once."""

LEAST_NOISE, SPARE = 0.05, 1e-4
"""The least variance of noise, and that of directions of embeddings in which known ones do not differ."""


@dataclass(frozen=True)
class Population:
    """What embeddings are like.

    Attributes
    ----------
    mean : tensor (E,)
    root : tensor (E, E)
        R of a covariance R R'.
    noise : float
        Variance of responses, of which all is 1, that the network does not explain.
    """

    mean: Tensor
    root: Tensor
    noise: float

    @classmethod
    def of(cls, embeddings: Tensor, r: np.ndarray) -> Population:
        """Of known targets, and how well each is predicted (n_targets,)."""
        apart = (embeddings - embeddings.mean(0)).double()
        covariance = apart.T @ apart / len(apart)
        spare = SPARE * covariance.diagonal().mean() + 1e-12
        root = torch.linalg.cholesky(covariance + spare * torch.eye(len(covariance)).to(covariance))
        noise = 1 - float(np.mean(np.square(np.nan_to_num(r))))
        return cls(embeddings.mean(0), root.to(embeddings), max(noise, LEAST_NOISE))


def adapt(
    network: Network, population: Population, tokens: Tokens, wanted: np.ndarray, place: Place
) -> tuple[Tensor, Tensor]:
    """Embeddings and offsets of targets that are new.

    Parameters
    ----------
    network : Network
        In evaluation; it is not changed.
    population : Population
    tokens : Tokens
    wanted : array (n_samples, n_targets)
        Standardised responses.
    place : Place

    Returns
    -------
    tensors (n_targets, E), (n_targets,)
    """
    with torch.no_grad():
        batches = [
            network.shared(place.batch(network, tokens, rows))
            for rows in np.array_split(np.arange(len(tokens)), -(-len(tokens) // BATCH))
        ]
    everything = torch.from_numpy(np.ascontiguousarray(wanted, np.float32)).to(place.device)
    responses = everything.split([len(each[0].tokens) for each in batches])
    drawn = torch.zeros(wanted.shape[1], len(population.mean), device=place.device, requires_grad=True)
    offset = torch.zeros(wanted.shape[1], device=place.device, requires_grad=True)
    optimiser = torch.optim.Adam([drawn, offset], lr=RATE)
    for step in tqdm(range(STEPS), desc="adapt", unit="step", disable=None):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / STEPS)
        drawn.grad, offset.grad = drawn.detach().clone(), torch.zeros_like(offset)
        for shared, response in zip(batches, responses, strict=True):
            _descend(network, population, shared, response, drawn, offset)
        optimiser.step()
    return (population.mean + drawn @ population.root.T).detach(), offset.detach()


def _descend(
    network: Network,
    population: Population,
    shared: Sequence[Keys],
    response: Tensor,
    drawn: Tensor,
    offset: Tensor,
) -> None:
    """Add the gradient of what one batch leaves unexplained, chunk by chunk of targets."""
    size = chunk_of(network, shared)
    for start in range(0, len(drawn), size):
        part = slice(start, start + size)
        embeddings = population.mean + drawn[part] @ population.root.T
        error = network.predict(embeddings, shared) + offset[part] - response[:, part]
        (error.square().sum() / (2 * population.noise)).backward()
