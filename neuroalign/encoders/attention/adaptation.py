"""New people: what their targets are like, from few samples, by a network that stays as it is.

A new target looks where one of the known targets looks, we do not know which; what it reads out there is its
own. Before anything is measured, readouts come from a normal distribution around zero, with the covariance of
known readouts of one kind: targets that layers drive alike. For every known target this makes a Gaussian
process, whose evidence and mean are closed forms (Rasmussen & Williams 2006, chapter 2):

    p(y | target d, noise λ) ∝ |K_d + λ|^(-1/2) (y' (K_d + λ)⁻¹ y)^(-(n - 1)/2),    K_d = H_d S_d H_d'

with H_d what target d is answered and S_d the covariance of its kind. What is predicted is the mean over
known targets and noises by their probability. Noises are those that known targets have.

Dimensions: B samples, D known targets, V new ones, R readouts, Q noises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn import functional

from neuroalign.encoders.attention.mixture import Mixture
from neuroalign.encoders.attention.network import Keys, Network
from neuroalign.encoders.attention.tokens import Tokens
from neuroalign.encoders.attention.training import Place
from neuroalign.encoders.solvers.compute import host

MOST, WELL = 512, 0.5
"""Known targets that a new one is compared with: at most so many, predicted so well beside the best."""

NOISES, SILENT = (0.1, 0.3, 0.5, 0.7, 0.9), 1000.0
"""Quantiles of the noise of known targets that new ones may have, over the signal; and that of no signal."""

OF_A_KIND, MEMBERS = 20, 3
"""Least targets per kind; and how many of any kind the covariance of one counts beside its own."""

KEPT, ALL = 64, 0.995
"""Known targets kept for each new one: at most so many, fewer if they have so much of the probability."""

AT_ONCE, SAMPLES = 64, 32
"""Known targets whose answers are held at once, new ones that are compared with all, samples read at once."""


@dataclass(frozen=True)
class Known:
    """Known targets.

    Attributes
    ----------
    embeddings : tensor (D, E)
    noises : tensor (Q,)
        Variance of noise over that of the signal.
    """

    embeddings: Tensor
    noises: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, r: np.ndarray) -> Known:
        """Those of all embeddings that are predicted well; r (n_targets,) says how well."""
        r = np.clip(np.nan_to_num(r), 0.1, 0.98)
        well = np.flatnonzero(r >= WELL * np.quantile(r, 0.9))
        some = well[np.linspace(0, len(well) - 1, min(MOST, len(well))).round().astype(int)]
        noises = np.append(np.quantile(1 / r[well] ** 2 - 1, NOISES), SILENT)
        place = torch.from_numpy(some).to(embeddings.device)
        return cls(embeddings[place], torch.from_numpy(noises).to(embeddings.device))


@torch.no_grad()
def adapt(network: Network, known: Known, tokens: Tokens, wanted: np.ndarray, place: Place) -> Mixture:
    """New targets as mixtures of known ones.

    Parameters
    ----------
    network : Network
        In evaluation; it is not changed.
    known : Known
    tokens : Tokens
    wanted : array (n_samples, n_targets)
        Standardised responses.
    place : Place
    """
    batches = [
        network.shared(place.batch(network, tokens, rows))
        for rows in np.array_split(np.arange(len(tokens)), -(-len(tokens) // SAMPLES))
    ]
    roots, kinds = _covariances(network, known.embeddings, _driven(network, known.embeddings, batches))
    bases = _Bases.of(network, known.embeddings, batches, roots, kinds)
    parts = [
        _posterior(bases, torch.from_numpy(wanted[:, start : start + AT_ONCE]).to(bases.centre), known.noises)
        for start in range(0, wanted.shape[1], AT_ONCE)
    ]
    width = max(chosen.shape[1] for chosen, _, _ in parts)
    chosen, share, readouts = (
        torch.cat([functional.pad(p, (0, 0) * (p.ndim - 2) + (0, width - p.shape[1])) for p in each])
        for each in zip(*parts, strict=True)
    )
    offset = torch.cat(
        [
            -torch.einsum("vkr,vkr->v", bases.centre[which], weights)
            for which, weights in zip(chosen.split(AT_ONCE), readouts.split(AT_ONCE), strict=True)
        ]
    )
    return Mixture(known.embeddings, chosen, share.float(), readouts.float(), offset.float())


def _driven(network: Network, embeddings: Tensor, batches: Sequence[Sequence[Keys]]) -> np.ndarray:
    """How much every layer drives known targets (D, L), in shares."""
    parts = torch.cat([network.parts(embeddings, shared) for shared in batches], 1).std(1).T
    return host((parts / parts.sum(1, keepdim=True).clamp(min=1e-12)).double())


def _covariances(network: Network, embeddings: Tensor, driven: np.ndarray) -> tuple[Tensor, Tensor]:
    """Roots of the covariances of readouts (n_kinds, R, R), and the kind of every known target (D,)."""
    readouts = network.readouts(embeddings).double()
    everything = readouts.T @ readouts / len(readouts)
    count = min(driven.shape[1], len(driven) // OF_A_KIND, len(np.unique(driven.round(6), axis=0)))
    kinds = np.zeros(len(driven), int)
    if count > 1:
        kinds = KMeans(count, n_init=4, random_state=0).fit_predict(driven).astype(int)
    spare = torch.eye(len(everything)).to(everything) * (1e-9 * everything.diagonal().mean() + 1e-30)
    place = torch.from_numpy(kinds).to(readouts.device)
    roots = []
    for kind in range(count if count > 1 else 1):
        own = readouts[place == kind]
        covariance = (own.T @ own + MEMBERS * everything) / (len(own) + MEMBERS)
        roots.append(torch.linalg.cholesky(covariance + spare))
    return torch.stack(roots), place


@dataclass(frozen=True)
class _Bases:
    """For every known target, K = U diag(s) U', and what leads from U'y to readouts.

    Attributes
    ----------
    vectors : tensor (D, B, r)
    values : tensor (D, r)
    back : tensor (D, R, r)
    centre : tensor (D, R)
        Mean of what is answered.
    """

    vectors: Tensor
    values: Tensor
    back: Tensor
    centre: Tensor

    @classmethod
    def of(
        cls,
        network: Network,
        embeddings: Tensor,
        batches: Sequence[Sequence[Keys]],
        roots: Tensor,
        kinds: Tensor,
    ) -> _Bases:
        """A few known targets after the other."""
        parts = []
        for some, kind in zip(embeddings.split(AT_ONCE), kinds.split(AT_ONCE), strict=True):
            answered = torch.cat([network.answers(some, shared) for shared in batches]).double()
            centre = answered.mean(0)
            parts.append((*_decomposed((answered - centre).transpose(0, 1), roots[kind]), centre))
        return cls(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _decomposed(answered: Tensor, roots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors, values and way back, of centred answers (D, B, R) and roots of covariances (D, R, R)."""
    seen = answered @ roots
    if seen.shape[1] <= seen.shape[2]:
        values, vectors = torch.linalg.eigh(seen @ seen.mT)
    else:
        values, across = torch.linalg.eigh(seen.mT @ seen)
        vectors = seen @ across / values.clamp(min=1e-30).sqrt()[:, None]
    # What does not vary has no direction.
    some = values > 1e-9 * values[:, -1:]
    values, vectors = values * some, torch.where(some[:, None], vectors, 0.0)
    return vectors, values, roots @ (seen.mT @ vectors)


def _posterior(bases: _Bases, wanted: Tensor, noises: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Most probable known targets (V, k), their probability, and readouts weighted by it (V, k, R)."""
    free = wanted.shape[0] - 1
    # Noise is over the signal: the mean diagonal of K.
    noises = noises * (bases.values.sum() / bases.vectors.shape[0] / bases.vectors.shape[1] + 1e-30)
    wanted = wanted - wanted.mean(0)
    along = bases.vectors.mT @ wanted
    beyond = (wanted.square().sum(0) - along.square().sum(1)).clamp(min=0)
    evidence = []
    for noise in noises:
        raised = bases.values + noise
        determinant = free * noise.log() + (raised / noise).log().sum(1, keepdim=True)
        energy = (along.square() / raised[..., None]).sum(1) + beyond / noise
        evidence.append(-0.5 * determinant - 0.5 * free * (energy + 1e-30).log())
    probable = torch.softmax(torch.stack(evidence).flatten(0, 1), 0).view(len(noises), len(along), -1)
    most, order = probable.sum(0).T.sort(-1, descending=True)
    width = min(int((most.cumsum(-1) < ALL).sum(-1).max()) + 1, KEPT, most.shape[1])
    chosen, share = order[:, :width], most[:, :width]
    total = share.sum(-1, keepdim=True)
    factor = torch.zeros_like(along)
    for each, noise in zip(probable, noises, strict=True):
        factor += each[:, None] / (bases.values + noise)[..., None]
    inside = factor * along
    readouts = torch.stack(
        [bases.back[each] @ inside[each, :, v, None] for v, each in enumerate(chosen)]
    ).squeeze(-1)
    return chosen, share / total, readouts / total[..., None]
