"""Causal language models of Hugging Face with their head, which says how likely the next token is."""

from __future__ import annotations

import torch
import transformers

from neuroalign.errors import NetworkError
from neuroalign.networks.devices import find_device
from neuroalign.networks.language.text_model import LoadedModel
from neuroalign.networks.pretrained import Saved
from neuroalign.networks.sources import weights_digest
from neuroalign.networks.tapping.layers import positions
from neuroalign.settings.networks import Device


def load_causal(network: Saved, device: Device) -> LoadedModel:
    """Read a causal language model with its head; it is asked for logits, not for layers.

    Raises
    ------
    NetworkError
        It cannot be read, has no head, or looks at what follows a word.
    """
    place = find_device(device)
    digest = weights_digest(network.located, network.source)
    model, report = network.ask(
        transformers.AutoModelForCausalLM.from_pretrained,
        network.located.folder,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise NetworkError(
            f"source '{network.source}': the weights lack '{sorted(report['missing_keys'])[0]}'; surprisal "
            "needs a causal language model with its head"
        )
    model.config.use_cache = False
    model.to(device=place).eval()
    tokens = torch.tensor([[0, 1, 2], [0, 1, 3]], device=place)
    with torch.inference_mode():
        first, second = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[:, :2]
    if not torch.allclose(first, second, rtol=1e-4, atol=1e-4):
        raise NetworkError(
            f"source '{network.source}': {type(model).__name__} looks at what follows a word; surprisal "
            "needs a causal language model"
        )
    provenance = {
        "model": network.source,
        "revision": network.located.revision,
        "weights_sha256": digest,
        "architecture": type(model).__name__,
        "device": place.type,
    }
    return LoadedModel(model, (), (), (), positions(model), provenance)
