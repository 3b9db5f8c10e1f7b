"""Taps: the places of a network that are read, and the hooks that read them in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from neuroalign.errors import NetworkError

Receive = Callable[[int, torch.Tensor], None]
"""Takes the place of a tap among those read, and what was read there."""


@dataclass(frozen=True)
class Tap:
    """One place of a network that is read: a layer of the store.

    Attributes
    ----------
    name : str
        What the layer is called.
    depth : float
        Relative depth of its block, from 0 to 1.
    path : str
        The module, seen from what is run.
    side : "output" or "input"
        Which side of the module is read.
    state : int or None
        Read the library's own hidden state of this index instead of the module.
    part : tuple of int
        Which of how many equal parts of the units: a head of an attention sub-layer.
    """

    name: str
    depth: float
    path: str
    side: Literal["output", "input"] = "output"
    state: int | None = None
    part: tuple[int, int] = (0, 1)

    def of(self, whole: torch.Tensor) -> torch.Tensor:
        """Give this tap's part (…, units) of what was read."""
        index, count = self.part
        return whole if count == 1 else whole.chunk(count, dim=-1)[index]


def first_tensor(answer: Any) -> torch.Tensor | None:
    """Give what a module answered: the tensor itself, or the first one of a tuple, a list or a mapping."""
    if isinstance(answer, torch.Tensor):
        return answer
    if isinstance(answer, Mapping):
        answer = tuple(answer.values())
    if not isinstance(answer, tuple | list):
        return None
    return next((part for part in answer if isinstance(part, torch.Tensor)), None)


def read(
    model: torch.nn.Module,
    taps: Sequence[Tap],
    run: Callable[[], Sequence[torch.Tensor]],
    receive: Receive,
) -> None:
    """Run a model once and hand on what every tap reads, at the moment it is there.

    A module may change its input in place later in the pass, so what is received must be reduced or
    copied at once.

    Parameters
    ----------
    model : torch.nn.Module
        Holds the modules that the taps name.
    taps : sequence of Tap
    run : callable
        Runs the model and gives its hidden states, none where no tap asks for any.
    receive : callable
        Called with the place of a tap and a tensor (window, …), in no particular order.

    Raises
    ------
    NetworkError
        A module runs several times in a pass, or answers no array.
    """
    with _listening(model, taps, receive):
        states: list[torch.Tensor | None] = list(run())
    asked: dict[int, list[int]] = {}
    for place, tap in enumerate(taps):
        if tap.state is not None:
            asked.setdefault(range(len(states))[tap.state], []).append(place)
    for number, places in asked.items():
        state, states[number] = states[number], None  # let go once it is handed on
        assert state is not None
        for place in places:
            receive(place, taps[place].of(state))


@contextmanager
def _listening(model: torch.nn.Module, taps: Sequence[Tap], receive: Receive) -> Iterator[None]:
    asked: dict[str, list[int]] = {}
    for place, tap in enumerate(taps):
        if tap.state is None:
            asked.setdefault(tap.path, []).append(place)
    heard: set[str] = set()

    def listener(path: str) -> Callable[..., None]:
        def hear(module: Any, inputs: Any, output: Any) -> None:
            if path in heard:
                raise NetworkError(f"module '{path}' runs several times in one pass; name another layer")
            heard.add(path)
            for place in asked[path]:
                whole = first_tensor(output if taps[place].side == "output" else inputs)
                if whole is None:
                    raise NetworkError(f"module '{path}' answers no array; name another layer")
                receive(place, taps[place].of(whole))

        return hear

    hooks = [model.get_submodule(path).register_forward_hook(listener(path)) for path in asked]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    silent = [path for path in asked if path not in heard]
    if silent:
        raise NetworkError(f"module '{silent[0]}' does not run when the network is shown an item")
