"""Whose responses a network learns: subjects as they are given, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuroalign.encoders.attention.network import Network
from neuroalign.encoders.attention.optimiser import RowAdam
from neuroalign.encoders.attention.tokens import Tokens, as_tokens
from neuroalign.encoders.solvers.compute import host
from neuroalign.encoders.solvers.targets import Targets
from neuroalign.errors import DataError


@dataclass
class Person:
    """A subject: what was shown, what was measured, and what is learned of the targets.

    Attributes
    ----------
    tokens : Tokens
    responses : array (n_samples, n_targets), float32
        Standardised by the training samples.
    train, validation : int arrays
        Samples.
    embeddings : tensor (n_targets, E)
    offset : tensor (n_targets,)
    """

    tokens: Tokens
    responses: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    embeddings: Tensor
    offset: Tensor
    optimiser: RowAdam = field(init=False, repr=False)


def people_of(tokens: Any, Y: Any) -> dict[str, tuple[Tokens, Any]]:
    """Subjects with their tokens and responses."""
    if Y is not None:
        return {"": (as_tokens(tokens), Y)}
    if not isinstance(tokens, Mapping) or not tokens:
        raise DataError("a fit needs responses: fit(tokens, Y), or fit({subject: (tokens, Y), …})")
    for name, each in tokens.items():
        if not isinstance(each, tuple | list) or len(each) != 2:
            raise DataError(f"subject '{name}' has no pair (tokens, Y); responses are missing")
    return {str(name): (as_tokens(shown), responses) for name, (shown, responses) in tokens.items()}


def checked_responses(responses: Any, n_samples: int, name: str) -> np.ndarray:
    """Responses (n_samples, n_targets) in float32 or float64.

    Raises
    ------
    DataError
        Another shape, no numbers, or NaN and infinite values.
    """
    targets = Targets(responses, n_samples)
    observed = host(responses).reshape(n_samples, targets.count).astype(targets.dtype, copy=False)
    wrong = np.flatnonzero(~np.isfinite(observed).all(axis=0))
    if len(wrong):
        of = f" of subject '{name}'" if name else ""
        raise DataError(
            f"{len(wrong)} targets{of} hold NaN or infinite values (first: {wrong[0]}); leave them out"
        )
    return observed


def scale_of(responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (n_targets,) of responses; 1 for what does not vary."""
    mean, deviation = responses.mean(axis=0, dtype=float), responses.std(axis=0, dtype=float)
    return mean, np.where(deviation > 1e-6 * (np.abs(mean) + deviation), deviation, 1.0)


def split(n_samples: int, held: Any, share: float, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation samples."""
    if held is None:
        count = max(2, round(share * n_samples))
        held = np.arange(n_samples - count, n_samples)
    held = np.asarray(held)
    if held.dtype == bool:
        held = np.flatnonzero(held)
    of = f" of subject '{name}'" if name else ""
    if (
        held.ndim != 1
        or held.dtype.kind not in "iu"
        or (len(held) and not 0 <= held.min() <= held.max() < n_samples)
    ):
        raise DataError(f"validation{of} are not indices from 0 to {n_samples - 1}")
    train_rows = np.setdiff1d(np.arange(n_samples), held)
    if len(held) < 2 or len(train_rows) < 2:
        raise DataError(
            f"{len(train_rows)} training and {len(held)} validation samples{of}; expected two or more of both"
        )
    return train_rows, np.unique(held)


def standardise(network: Network, people: Mapping[str, Person]) -> None:
    """Tell the network what tokens and places of the training samples are like."""
    for layer, name in zip(network.layers, network.sizes.units, strict=True):
        weights, means, squares = [], [], []
        for person in people.values():
            mean, deviation = person.tokens.moments(name, person.train)
            weights.append(len(person.train))
            means.append(mean)
            squares.append(deviation**2 + mean**2)
        mean = np.average(means, axis=0, weights=weights)
        spread = np.average(squares, axis=0, weights=weights) - mean**2
        layer.mean.copy_(torch.from_numpy(mean))
        layer.deviation.copy_(torch.from_numpy(np.sqrt(np.maximum(spread, 1e-12))))
        places = [
            person.tokens.positions[name].reshape(-1, layer.origin.shape[0]) for person in people.values()
        ]
        lowest, highest = _range(np.concatenate(places))
        layer.origin.copy_(torch.from_numpy(lowest))
        layer.extent.copy_(torch.from_numpy(np.where(highest > lowest, highest - lowest, 1.0)))


def _range(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest of every dimension of places (n, n_dims); 0 where there is none."""
    found = np.isfinite(places)
    lowest = np.where(found, places, np.inf).min(axis=0)
    highest = np.where(found, places, -np.inf).max(axis=0)
    some = found.any(axis=0)
    return np.where(some, lowest, 0.0), np.where(some, highest, 0.0)
