"""What every module of a network answers: their shapes, their order, found in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from neuroalign.networks.tapping.taps import first_tensor

Shape = tuple[int, ...]


@dataclass
class Probe:
    """What was seen while a network ran once.

    Attributes
    ----------
    outputs, inputs : dict of shape
        Module path → shape of the first array it answered, and of the first it was given.
    order : list of str
        Modules in the order in which they answered.
    repeated : set of str
        Modules that ran more than once.
    states : list of shape
        The library's hidden states, if it gives any.
    embedding : str
        The outermost module that answered the first hidden state; empty if there is none.
    made_last : set of str
        All modules that answered the last hidden state.
    """

    outputs: dict[str, Shape] = field(default_factory=dict)
    inputs: dict[str, Shape] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    repeated: set[str] = field(default_factory=set)
    states: list[Shape] = field(default_factory=list)
    embedding: str = ""
    made_last: frozenset[str] = frozenset()


def probe(model: torch.nn.Module, run: Callable[[], Sequence[torch.Tensor]]) -> Probe:
    """Run a network once and note what its modules answer.

    Parameters
    ----------
    model : torch.nn.Module
        May be without memory, if what `run` shows it is, too.
    run : callable
        Runs it and gives its hidden states, if any.
    """
    seen = Probe()
    # The arrays are kept to the end: their identity tells which module made a hidden state.
    made: dict[str, Any] = {}

    def listener(path: str) -> Callable[..., None]:
        def hear(module: Any, inputs: Any, output: Any) -> None:
            if path in seen.outputs:
                seen.repeated.add(path)
            given, answer = first_tensor(inputs), first_tensor(output)
            if answer is None:
                return
            seen.outputs[path] = tuple(answer.shape)
            if given is not None:
                seen.inputs[path] = tuple(given.shape)
            seen.order.append(path)
            made[path] = answer

        return hear

    hooks = [module.register_forward_hook(listener(path)) for path, module in model.named_modules() if path]
    try:
        with torch.inference_mode():
            states = run()
    finally:
        for hook in hooks:
            hook.remove()
    if states:
        seen.states = [tuple(state.shape) for state in states]
        makers = [path for path, answer in made.items() if answer is states[0]]
        seen.embedding = min(makers, key=lambda path: path.count("."), default="")
        seen.made_last = frozenset(path for path, answer in made.items() if answer is states[-1])
    return seen


def block_paths(model: torch.nn.Module, count: int) -> list[str]:
    """Paths of the blocks: the entries of the outermost module list that is `count` long; may be none."""
    lists = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    ]
    if not lists:
        return []
    outermost = min(lists, key=lambda name: name.count("."))
    return [f"{outermost}.{index}" for index in range(count)]
