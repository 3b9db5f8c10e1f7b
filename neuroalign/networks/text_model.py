"""A text model of Hugging Face in memory: its tokenizer, its layers, and what they answer for a word."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from neuroalign.errors import NetworkError
from neuroalign.network_settings import Pretrained
from neuroalign.networks.layers import backbone_of, measure, name_layers, positions
from neuroalign.networks.pretrained import Saved
from neuroalign.networks.sources import locate

_TOKENIZER_FILES = ("tokenizer.json", "vocab*", "*.model", "*.spm", "*.tiktoken")


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, with the names and sizes of its layers.

    Attributes
    ----------
    backbone : torch.nn.Module
        What is run: the model, or the encoder of an encoder-decoder.
    layers, units : tuple
        Module path and number of units of every layer.
    max_tokens : int or None
        The longest sequence it has positions for.
    provenance : dict
        Where the weights come from and how they are run.
    """

    backbone: Any
    layers: tuple[str, ...]
    units: tuple[int, ...]
    max_tokens: int | None
    provenance: dict[str, Any]

    def hidden_states(self, ids: torch.Tensor, mask: torch.Tensor) -> Sequence[torch.Tensor]:
        """States (window, token, unit) of every layer, as the library gives them."""
        device = self.backbone.device
        try:
            with torch.inference_mode():
                output = self.backbone(
                    input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=True
                )
        except torch.OutOfMemoryError:
            raise NetworkError(
                f"{ids.numel()} tokens are too many for the memory of {device}; lower batch_tokens"
            ) from None
        states: Sequence[torch.Tensor] = output.hidden_states
        return states

    def pool(
        self, states: torch.Tensor, at: torch.Tensor, share: torch.Tensor, dtype: str, layer: int
    ) -> np.ndarray:
        """Weighted mean (window, unit) of the states at the places `at` (window, sub-token)."""
        rows = torch.arange(len(at), device=states.device)[:, None]
        picked = states[rows, at.to(states.device)].float()  # (window, sub-token, unit)
        pooled = (picked * share.to(states.device)[:, :, None]).sum(dim=1).to(getattr(torch, dtype))
        if not bool(torch.isfinite(pooled).all()):
            raise NetworkError(
                f"layer '{self.layers[layer]}' gives values beyond {dtype}, or not numbers; "
                "set dtype: float32, and if it is float32 check the weights"
            )
        return np.asarray(pooled.cpu().numpy())


def saved(settings: Pretrained, weights: bool = True) -> Saved:
    """Find a text network, downloading it if need be."""
    return Saved(
        locate(settings.source, settings.revision, weights), settings.source, "a text network", backbone_of
    )


def load_tokenizer(network: Saved) -> Any:
    """Load the fast tokenizer of a network, which tells where in the text each token lies.

    Raises
    ------
    NetworkError
        There is none.
    """
    # The library makes up an empty tokenizer for a folder without one.
    folder = network.located.folder
    if not any(file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)):
        raise NetworkError(
            f"source '{network.source}': no tokenizer files; expected tokenizer.json beside config.json"
        )
    tokenizer = network.ask(
        transformers.AutoTokenizer.from_pretrained,
        folder,
        use_fast=True,
        truncation_side="left",
        trust_remote_code=False,
        local_files_only=True,
    )
    if not tokenizer.is_fast:
        raise NetworkError(
            f"source '{network.source}': {type(tokenizer).__name__} is not a fast tokenizer, so words cannot "
            "be found among its tokens; choose a network with a tokenizer.json"
        )
    return tokenizer


def load(network: Saved, settings: Pretrained, seed: int) -> LoadedModel:
    """Read a network's weights, or draw them from the seed, and put it on its device.

    Raises
    ------
    NetworkError
        Weights are missing or other than `settings.sha256` says, or the device is not there.
    """
    model, provenance = network.load(settings, seed)
    layers, backbone, blocks = name_layers(model)
    model.config.use_cache = backbone.config.use_cache = False
    units, final_norm = measure(backbone, layers, blocks, network.source)
    provenance["states"] = "hidden_states"
    provenance["last_layer"] = "after the final norm" if final_norm else "as the last block gives it"
    provenance["versions"]["tokenizers"] = importlib.metadata.version("tokenizers")
    return LoadedModel(backbone, layers, units, positions(backbone), provenance)
