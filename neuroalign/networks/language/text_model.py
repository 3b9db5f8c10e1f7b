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
from neuroalign.networks.pretrained import Saved, prefix_of
from neuroalign.networks.sources import locate
from neuroalign.networks.tapping.layers import backbone_of, measure, name_layers, positions
from neuroalign.networks.tapping.probe import Probe, probe
from neuroalign.networks.tapping.sublayers import offer_of
from neuroalign.networks.tapping.taps import Receive, Tap, read
from neuroalign.settings.networks import Pretrained, Text

_TOKENIZER_FILES = ("tokenizer.json", "vocab*", "*.model", "*.spm", "*.tiktoken")


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, with the names and sizes of its layers.

    Attributes
    ----------
    backbone : torch.nn.Module
        What is run: the model, or the encoder of an encoder-decoder.
    taps : tuple of Tap
        All layers.
    kept : tuple of int
        Those asked for.
    units : tuple
        Number of units of every layer.
    max_tokens : int or None
        The longest sequence it has positions for.
    provenance : dict
        Where the weights come from and how they are run.
    """

    backbone: Any
    taps: tuple[Tap, ...]
    kept: tuple[int, ...]
    units: tuple[int, ...]
    max_tokens: int | None
    provenance: dict[str, Any]

    def read(self, ids: torch.Tensor, mask: torch.Tensor, receive: Receive) -> None:
        """Show it token ids (window, token); hand on what kept layers answer (window, token, unit)."""
        device = self.backbone.device
        taps = [self.taps[index] for index in self.kept]
        from_library = any(tap.state is not None for tap in taps)

        def run() -> Sequence[torch.Tensor]:
            output = self.backbone(
                input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=from_library
            )
            return output.hidden_states if from_library else ()

        def by_window(place: int, answer: torch.Tensor) -> None:
            # Some blocks (OPT) lay all tokens in one row.
            receive(place, answer.view(*ids.shape, -1) if answer.ndim == 2 else answer)

        try:
            with torch.inference_mode():
                read(self.backbone, taps, run, by_window)
        except torch.OutOfMemoryError:
            raise NetworkError(
                f"{ids.numel()} tokens are too many for the memory of {device}; lower batch_tokens"
            ) from None

    def pool(
        self, states: torch.Tensor, at: torch.Tensor, share: torch.Tensor, dtype: str, layer: int
    ) -> np.ndarray:
        """Weighted mean (window, unit) of the states at the places `at` (window, sub-token)."""
        rows = torch.arange(len(at), device=states.device)[:, None]
        picked = states[rows, at.to(states.device)].float()  # (window, sub-token, unit)
        pooled = (picked * share.to(states.device)[:, :, None]).sum(dim=1).to(getattr(torch, dtype))
        if not bool(torch.isfinite(pooled).all()):
            raise NetworkError(
                f"layer '{self.taps[layer].name}' gives values beyond {dtype}, or not numbers; "
                "set dtype: float32, and if it is float32 check the weights"
            )
        return np.asarray(pooled.cpu().numpy())


def saved(settings: Pretrained, weights: bool = True) -> Saved:
    """Find a text network, downloading it if need be."""
    located = locate(settings.source, settings.revision, weights)
    return Saved(located, settings.source, "a text network", ("input_ids",), backbone_of)


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


def describe(network: Saved, settings: Text) -> tuple[tuple[Tap, ...], tuple[int, ...]]:
    """Find the layers, and which of them are asked for, without reading weights.

    Raises
    ------
    NetworkError
        The network cannot be read, or a layer is not there.
    """
    return _choose(network.skeleton(), settings)


def probe_without_weights(network: Saved) -> Probe | None:
    """What modules answer for two tokens, found without memory; None where a network looks at values."""
    return probe_language(backbone_of(network.skeleton()))


def probe_language(backbone: Any) -> Probe | None:
    """The same of a language model that was built without memory."""
    backbone.eval()
    backbone.config.pad_token_id = None  # or the library looks for padding among the tokens
    ids = torch.zeros((1, 2), dtype=torch.long, device="meta")

    def run() -> Sequence[torch.Tensor]:
        # No mask: it would be looked at, and there is nothing to see.
        states: Sequence[torch.Tensor] = backbone(input_ids=ids, output_hidden_states=True).hidden_states
        return states

    try:
        return probe(backbone, run)
    except (RuntimeError, NotImplementedError, ValueError, TypeError):
        return None


def load(network: Saved, settings: Text, seed: int) -> LoadedModel:
    """Read a network's weights, or draw them from the seed, and put it on its device.

    Raises
    ------
    NetworkError
        Weights are missing or other than `settings.sha256` says, or the device is not there, or a
        module asked for answers nothing that has tokens.
    """
    model, provenance = network.load(settings, seed)
    layers, backbone, blocks = name_layers(model)
    model.config.use_cache = backbone.config.use_cache = False
    seen, final_norm = measure(backbone, layers, blocks, network.source)
    provenance["states"] = "hidden_states"
    provenance["last_layer"] = "after the final norm" if final_norm else "as the last block gives it"
    provenance["taps"] = list(settings.taps)
    provenance["versions"]["tokenizers"] = importlib.metadata.version("tokenizers")
    taps, kept = _choose(model, settings)
    units = tuple(units_of(tap, seen) for tap in taps)
    return LoadedModel(backbone, taps, kept, units, positions(backbone), provenance)


def _choose(model: Any, settings: Text) -> tuple[tuple[Tap, ...], tuple[int, ...]]:
    layers, backbone, _ = name_layers(model)
    prefix = prefix_of(model, backbone)

    def make(path: str, depth: float) -> Tap:
        return Tap(prefix + path, depth, path)

    spine = [name.removeprefix(prefix) for name in layers]
    return offer_of(backbone, prefix, spine, settings.taps, settings.source, make).choose(settings.layers)


def units_of(tap: Tap, seen: Probe) -> int:
    """Number of units of a layer, where the network was shown one window of two tokens.

    Raises
    ------
    NetworkError
        The module answers something else than an array for every token.
    """
    if tap.state is not None:
        return seen.states[tap.state][-1]
    if tap.path in seen.repeated:
        raise NetworkError(f"module '{tap.path}' runs several times in one pass; name another layer")
    shape = (seen.outputs if tap.side == "output" else seen.inputs).get(tap.path, ())
    if shape[:-1] not in ((1, 2), (2,)):
        raise NetworkError(
            f"module '{tap.path}' answers {shape or 'nothing'}, not one array for every token; "
            "name another layer"
        )
    return shape[-1] // tap.part[1]
