"""What happens inside the blocks of a transformer: attention, its heads, and the MLP.

A sub-layer is read where its output projection is: the projection's output is what the sub-layer gives,
before it is added to the residual stream (and before a network scales or normalises it again), and the
projection's input holds the heads side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from neuroalign.errors import NetworkError
from neuroalign.networks.base import relative_depth
from neuroalign.networks.tapping.choosing import Offer, depth_of
from neuroalign.networks.tapping.taps import Tap
from neuroalign.settings.networks import TapKind

ATTENTION = (
    ("attention", "output.dense"),  # BERT, RoBERTa, ELECTRA, DeBERTa
    ("attention", "o_proj"),  # ViT, DeiT, BEiT, DINOv2, DINOv3
    ("attention", "dense"),  # GPT-NeoX
    ("attention", "out_proj"),  # wav2vec 2.0, HuBERT
    ("attention", "out_lin"),  # DistilBERT
    ("attention.attn", "o"),  # MPNet
    ("attn.attention", "out_proj"),  # GPT-Neo
    ("attn", "c_proj"),  # GPT-2
    ("attn", "out_proj"),  # GPT-J
    ("attn", "Wo"),  # ModernBERT
    ("self_attn", "o_proj"),  # Llama, Qwen, Mistral, Gemma
    ("self_attn", "out_proj"),  # OPT, BART, CLIP, SigLIP, Whisper
    ("self_attn", "dense"),  # Phi
    ("self_attention", "dense"),  # Falcon, BLOOM
    ("layer.0.SelfAttention", "o"),  # T5
)
"""Attention of a block and, inside, its output projection."""

MLP = (
    "mlp.c_proj",  # GPT-2, GPT-Neo
    "mlp.fc2",  # ViT, CLIP, SigLIP, BEiT, DINOv2, Phi
    "mlp.down_proj",  # Llama, Qwen, Mistral, Gemma
    "mlp.weights_out",  # DINOv2 giant
    "mlp.dense_4h_to_h",  # GPT-NeoX, Falcon, BLOOM
    "mlp.fc_out",  # GPT-J
    "mlp.Wo",  # ModernBERT
    "mlp",  # mixtures of experts
    "ffn.lin2",  # DistilBERT
    "fc2",  # OPT, BART, Whisper
    "layer.1.DenseReluDense.wo",  # T5
    "feed_forward.output_dense",  # wav2vec 2.0, HuBERT, WavLM
    "output.dense",  # BERT, RoBERTa, ELECTRA, DeBERTa
)
"""Output projection of the MLP of a block."""


def sublayer_taps(
    model: Any, prefix: str, blocks: Sequence[str], depth: Sequence[float]
) -> dict[TapKind, list[Tap]]:
    """Find the sub-layers of every block; kinds that are not known of a network are left out.

    Parameters
    ----------
    model : torch.nn.Module
        What is run; may be without memory.
    prefix : str
        Goes before the paths to make names.
    blocks : sequence of str
        Paths of the blocks.
    depth : sequence of float
        Their relative depths, which their sub-layers have too.

    Returns
    -------
    dict
        Kind → taps of all blocks.
    """
    found: dict[TapKind, list[Tap]] = {"attention": [], "mlp": [], "heads": []}
    modules = dict(model.named_modules())
    heads = getattr(model.config.get_text_config(), "num_attention_heads", None)
    for block, at in zip(blocks, depth, strict=True):
        attention = next(
            ((inside, path) for inside, path in ATTENTION if f"{block}.{inside}.{path}" in modules), None
        )
        if attention is not None:
            whole, projection = f"{block}.{attention[0]}", f"{block}.{'.'.join(attention)}"
            found["attention"].append(Tap(prefix + projection, at, projection))
            found["heads"] += _heads(prefix + whole, projection, at, modules[projection], heads)
        mlp = next((f"{block}.{path}" for path in MLP if f"{block}.{path}" in modules), None)
        if mlp is not None:
            found["mlp"].append(Tap(prefix + mlp, at, mlp))
    return {kind: taps for kind, taps in found.items() if taps}


def _heads(name: str, path: str, depth: float, projection: torch.nn.Module, heads: Any) -> Iterator[Tap]:
    weight = projection.weight
    assert isinstance(weight, torch.Tensor)
    # A linear layer keeps (outputs, inputs), GPT-2's Conv1D the other way round.
    width = weight.shape[1] if isinstance(projection, torch.nn.Linear) else weight.shape[0]
    if not isinstance(heads, int) or width % heads:
        return
    for head in range(heads):
        yield Tap(f"{name}[head {head}]", depth, path, side="input", part=(head, heads))


def offered_taps(
    wanted: Sequence[TapKind], known: dict[TapKind, list[Tap]], source: str, architecture: str
) -> tuple[list[Tap], list[Tap]]:
    """Split what is known of a network into the kinds asked for and the others.

    Raises
    ------
    NetworkError
        A kind is asked for that is not known of the network.
    """
    for kind in wanted:
        if kind not in known:
            raise NetworkError(
                f"source '{source}': taps names '{kind}', which is not known of {architecture} (known: "
                f"{', '.join(known)}); write the paths of its modules in layers instead"
            )
    asked = [tap for kind in dict.fromkeys(wanted) for tap in known[kind]]
    return asked, [tap for kind, taps in known.items() if kind not in wanted for tap in taps]


def offer_of(
    model: Any,
    prefix: str,
    spine: Sequence[str],
    wanted: Sequence[TapKind],
    source: str,
    make: Callable[[str, float], Tap],
    order: Sequence[str] | None = None,
) -> Offer:
    """Say what can be read of a network: hidden states, sub-layers, any module.

    Parameters
    ----------
    model : torch.nn.Module
        What is run; may be without memory.
    prefix : str
        Goes before module paths to make names.
    spine : sequence of str
        Paths of the modules that make the hidden states: the embedding, then the blocks.
    wanted : sequence of str
        Kinds of taps asked for.
    source : str
        For messages.
    make : callable
        Makes a tap of a module path and its depth, or raises a NetworkError.
    order : sequence of str, optional
        Module paths by when they answer; by how they are written in the model, when left out.

    Raises
    ------
    NetworkError
        A kind is asked for that is not known of the network.
    """
    depth = relative_depth(spine)
    residual = [
        Tap(prefix + path, at, path, state=index)
        for index, (path, at) in enumerate(zip(spine, depth, strict=True))
    ]
    known: dict[TapKind, list[Tap]] = {
        "residual": residual,
        **sublayer_taps(model, prefix, spine[1:], depth[1:]),
    }
    offered, others = offered_taps(wanted, known, source, type(model).__name__)
    paths = list(_as_written(model)) if order is None else list(order)
    return Offer(offered, others, paths, lambda path: make(path, depth_of(path, spine, paths)), prefix)


def _as_written(model: torch.nn.Module, path: str = "") -> Iterator[str]:
    """Paths of all modules, what a module is made of before the module itself."""
    for name, child in model.named_children():
        inside = f"{path}.{name}" if path else name
        yield from _as_written(child, inside)
        yield inside
