"""Hugging Face models in memory: weights read or drawn, layers named, hidden states pooled."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from neuroalign.errors import NetworkError
from neuroalign.network_settings import Device, Pretrained
from neuroalign.networks.layers import measure, name_layers, positions, prefix_of
from neuroalign.networks.sources import Located, weights_digest

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


def describe(located: Located, source: str) -> tuple[str, ...]:
    """Names of the layers, from the configuration alone: the model is built without memory.

    Raises
    ------
    NetworkError
        The configuration is not that of a model that this version of transformers knows.
    """
    configuration = _configuration(located, source)
    with _quietly(), torch.device("meta"):
        model = _or_network_error(source, transformers.AutoModel.from_config, configuration)
    return name_layers(model)[0]


def load_tokenizer(located: Located, source: str) -> Any:
    """Load the fast tokenizer of a network, which tells where in the text each token lies.

    Raises
    ------
    NetworkError
        There is none.
    """
    # The library makes up an empty tokenizer for a folder without one.
    if not any(file for pattern in _TOKENIZER_FILES for file in located.folder.glob(pattern)):
        raise NetworkError(
            f"source '{source}': no tokenizer files; expected tokenizer.json beside config.json"
        )
    with _quietly():
        tokenizer = _or_network_error(
            source,
            transformers.AutoTokenizer.from_pretrained,
            located.folder,
            use_fast=True,
            truncation_side="left",
            trust_remote_code=False,
            local_files_only=True,
        )
    if not tokenizer.is_fast:
        raise NetworkError(
            f"source '{source}': {type(tokenizer).__name__} is not a fast tokenizer, so words cannot be "
            "found among its tokens; choose a network with a tokenizer.json"
        )
    return tokenizer


def load(located: Located, settings: Pretrained, seed: int) -> LoadedModel:
    """Read a network's weights, or draw them from the seed, and put it on its device.

    Raises
    ------
    NetworkError
        Weights are missing or other than `settings.sha256` says, or the device is not there.
    """
    source = settings.source
    device = _device(settings.device)
    configuration = _configuration(located, source)
    dtype = _compute_dtype(settings.dtype, device, configuration)
    digest = ""
    if settings.weights == "random":
        model = _drawn(configuration, seed, source)
    else:
        digest = weights_digest(located, source, settings.sha256)
        model = _read(located, source, dtype)
    layers, backbone, blocks = name_layers(model)
    model.config.use_cache = backbone.config.use_cache = False
    backbone.to(device=device, dtype=dtype).eval()
    units, final_norm = measure(backbone, layers, blocks, source)
    provenance = {
        "source": source,
        "revision": located.revision,
        "weights": settings.weights,
        "weights_sha256": digest,
        "seed": seed,
        "architecture": type(backbone).__name__,
        "config_sha256": hashlib.sha256(configuration.to_json_string().encode()).hexdigest(),
        "states": "hidden_states",
        "last_layer": "after the final norm" if final_norm else "as the last block gives it",
        "device": device.type,
        "compute_dtype": str(dtype).removeprefix("torch."),
        "versions": {
            name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")
        },
    }
    return LoadedModel(backbone, layers, units, positions(backbone), provenance)


def load_causal(located: Located, source: str, device: Device) -> LoadedModel:
    """Read a causal language model with its head; its one layer are the logits.

    Raises
    ------
    NetworkError
        It cannot be read, has no head, or looks at what follows a word.
    """
    place = _device(device)
    digest = weights_digest(located, source)
    with _quietly():
        model, report = _or_network_error(
            source,
            transformers.AutoModelForCausalLM.from_pretrained,
            located.folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    if report["missing_keys"]:
        raise NetworkError(
            f"source '{source}': the weights lack '{sorted(report['missing_keys'])[0]}'; surprisal needs a "
            "causal language model with its head"
        )
    model.config.use_cache = False
    model.to(device=place).eval()
    tokens = torch.tensor([[0, 1, 2], [0, 1, 3]], device=place)
    with torch.inference_mode():
        first, second = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[:, :2]
    if not torch.allclose(first, second, rtol=1e-4, atol=1e-4):
        raise NetworkError(
            f"source '{source}': {type(model).__name__} looks at what follows a word; surprisal needs a "
            "causal language model"
        )
    limit = positions(model)
    provenance = {"model": source, "revision": located.revision, "weights_sha256": digest}
    provenance |= {"architecture": type(model).__name__, "device": place.type}
    return LoadedModel(model, ("logits",), (model.config.vocab_size,), limit, provenance)


def _configuration(located: Located, source: str) -> Any:
    load_configuration = transformers.AutoConfig.from_pretrained
    return _or_network_error(
        source, load_configuration, located.folder, trust_remote_code=False, local_files_only=True
    )


def _drawn(configuration: Any, seed: int, source: str) -> Any:
    """Make a model with the library's own initial weights, from the seed alone."""
    with _quietly(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return _or_network_error(
            source, transformers.AutoModel.from_config, configuration, dtype=torch.float32
        )


def _read(located: Located, source: str, dtype: torch.dtype) -> Any:
    with _quietly():
        model, report = _or_network_error(
            source,
            transformers.AutoModel.from_pretrained,
            located.folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    # A pooler or an unused decoder may be absent; what the layers are made of may not.
    prefix = prefix_of(model)
    missing = [key for key in report["missing_keys"] if key.startswith(prefix) and "pooler" not in key]
    if missing:
        raise NetworkError(
            f"source '{source}': the weights lack {len(missing)} parameters, such as '{sorted(missing)[0]}'; "
            "they do not belong to this config.json"
        )
    return model


def _device(wanted: str) -> torch.device:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    if not there[wanted]:
        raise NetworkError(f"device is '{wanted}', but this machine has none; set device: auto")
    return torch.device(wanted)


def _compute_dtype(stored: str, device: torch.device, configuration: Any) -> torch.dtype:
    """Half precision only on an accelerator and if stored so; the wider-ranged half if trained in it."""
    if stored == "float32" or device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if configuration.dtype == torch.bfloat16 else torch.float16


def _or_network_error(source: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the library; what it says of a network it cannot read becomes one line."""
    try:
        return call(*args, **kwargs)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise NetworkError(
            f"source '{source}': transformers cannot read it ({reason}); is it a text network?"
        ) from None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the library's bars and hints off the terminal; what matters is checked here."""
    logging: Any = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
