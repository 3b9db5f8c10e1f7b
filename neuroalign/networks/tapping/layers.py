"""The layers of a Hugging Face model: found generically, named by module path, measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from neuroalign.errors import NetworkError
from neuroalign.networks.pretrained import prefix_of
from neuroalign.networks.tapping.probe import Probe, probe


def backbone_of(model: Any) -> Any:
    """Give what is run: the model, or the encoder of an encoder-decoder."""
    return model.get_encoder() if model.config.is_encoder_decoder else model


def name_layers(model: Any) -> tuple[tuple[str, ...], Any, Any]:
    """Names of the layers, what is run, and its list of blocks.

    The blocks are the outermost module list as long as the network is deep. The embedding is the
    outermost module that holds the token embedding but not the blocks. A network that shares one
    block among all depths (ALBERT) has no path for each: its layers are `hidden_states.k`.
    """
    backbone = backbone_of(model)
    prefix = prefix_of(model, backbone)
    modules = dict(backbone.named_modules())
    count = backbone.config.get_text_config().num_hidden_layers
    lists = [
        name
        for name, module in modules.items()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    ]
    if not lists:
        return tuple(f"hidden_states.{index}" for index in range(count + 1)), backbone, None
    blocks = min(lists, key=lambda name: name.count("."))
    tokens = backbone.get_input_embeddings()
    parts = next(name for name, module in modules.items() if module is tokens).split(".")
    outer = (".".join(parts[:size]) for size in range(1, len(parts) + 1))
    embedding = next(name for name in outer if not f"{blocks}.".startswith(f"{name}."))
    names = (embedding, *(f"{blocks}.{index}" for index in range(count)))
    return tuple(prefix + name for name in names), backbone, modules[blocks]


def measure(backbone: Any, layers: tuple[str, ...], blocks: Any, source: str) -> tuple[Probe, bool]:
    """What modules answer for two tokens, and whether the last layer is more than its block's output."""
    last: list[torch.Tensor] = []
    ids = torch.zeros((1, 2), dtype=torch.long, device=backbone.device)

    def keep(module: Any, inputs: Any, output: Any) -> None:
        # Blocks return a tensor in some networks, a tuple in others.
        last.append(output[0] if isinstance(output, tuple) else output)

    def run() -> Sequence[torch.Tensor]:
        states: Sequence[torch.Tensor] = backbone(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True
        ).hidden_states
        last.append(states[-1])
        return states

    hook = blocks[-1].register_forward_hook(keep) if blocks is not None else None
    seen = probe(backbone, run)
    if hook is not None:
        hook.remove()
    if len(seen.states) != len(layers):
        raise NetworkError(
            f"source '{source}': {len(seen.states)} hidden states for {len(layers)} layers; "
            f"{type(backbone).__name__} is not built of one list of blocks, choose another network"
        )
    same = last[0].shape == last[-1].shape and torch.equal(last[0], last[-1])
    return seen, not same


def positions(backbone: Any) -> int | None:
    """Give the longest sequence that the network has positions for; None where positions are relative."""
    limit = getattr(backbone.config.get_text_config(), "max_position_embeddings", None)
    for name, module in backbone.named_modules():
        # RoBERTa and its kin count positions from behind the padding's own.
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            limit = module.num_embeddings - padding - 1
    return limit if limit is not None and limit > 0 else None
