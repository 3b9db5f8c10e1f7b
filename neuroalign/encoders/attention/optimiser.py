"""AdamW on whole arrays or some of their rows, with a state that can be written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

BETAS, SMALL = (0.9, 0.99), 1e-12


class RowAdam:
    """AdamW (Loshchilov & Hutter 2019) that touches only the rows it is given gradients of.

    Embeddings of targets that take no part in a step neither move nor decay, and cost nothing.

    Parameters
    ----------
    values : dict of tensors (n_rows, ...)
        Changed in place.
    decay : float
        Weight decay, times the rate of a step; of all but vectors.
    """

    def __init__(self, values: Mapping[str, Tensor], decay: float) -> None:
        self._values, self._decay = values, decay
        self._first = {name: torch.zeros_like(value) for name, value in values.items()}
        self._second = {name: torch.zeros_like(value) for name, value in values.items()}
        self._count = {name: torch.zeros(len(value), device=value.device) for name, value in values.items()}

    @torch.no_grad()
    def step(self, gradients: Mapping[str, Tensor], rate: float, rows: Tensor | None = None) -> None:
        """Move along the gradients; of some rows of every array, if `rows` are given."""
        at = slice(None) if rows is None else rows
        for name, gradient in gradients.items():
            value, first, second = self._values[name], self._first[name], self._second[name]
            count = self._count[name]
            steps = count[at] + 1
            moved = torch.lerp(gradient, first[at], BETAS[0])
            spread = torch.lerp(gradient * gradient, second[at], BETAS[1])
            correct = (1 - BETAS[1] ** steps).sqrt() / (1 - BETAS[0] ** steps)
            correct = correct.view(-1, *[1] * (gradient.ndim - 1))
            kept = value[at] * (1 - rate * self._decay) if gradient.ndim > 1 else value[at]
            value[at] = kept - rate * correct * moved / (spread.sqrt() + SMALL)
            first[at], second[at], count[at] = moved, spread, steps

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name."""
        parts = {"first": self._first, "second": self._second, "count": self._count}
        return {f"{part}/{name}": value for part, held in parts.items() for name, value in held.items()}


class Flat:
    """Parameters on one line, and their gradients: a step costs a few operations.

    Parameters
    ----------
    parameters : iterable of nn.Parameter
        They become views.

    Attributes
    ----------
    values, gradients : tensors (n,)
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        given = list(parameters)
        ends = torch.tensor([each.numel() for each in given]).cumsum(0).tolist()
        self.values = torch.cat([each.detach().flatten() for each in given]) if given else torch.empty(0)
        self.gradients = torch.zeros_like(self.values)
        for parameter, end in zip(given, ends, strict=True):
            part = slice(end - parameter.numel(), end)
            parameter.data = self.values[part].view_as(parameter)
            parameter.grad = self.gradients[part].view_as(parameter)
