"""An image and a prompt as inputs of a network: words by its chat template, tokens, pixels; and batches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from neuroalign.errors import NetworkError
from neuroalign.networks.pretrained import Saved

Inputs = dict[str, torch.Tensor]
"""What a network takes, by name; the first axis is that of items, or of their parts in order."""


class Processor:
    """The processor of a network, and what it makes of the prompt.

    Parameters
    ----------
    saved : Saved
    prompt : str

    Attributes
    ----------
    text : str
        Everything that is said, with the mark of the image.
    described : str
        Which processor, and a digest of its settings and vocabulary.

    Raises
    ------
    NetworkError
        There is no processor of images and text, or it cannot place the image in the prompt.
    """

    def __init__(self, saved: Saved, prompt: str) -> None:
        self.saved = saved
        self.processor = _load(saved)
        if not hasattr(self.processor, "image_processor") or not hasattr(self.processor, "tokenizer"):
            raise NetworkError(
                f"source '{saved.source}': no processor of images and text; save the model's processor "
                "(preprocessor_config.json, tokenizer.json) beside config.json"
            )
        self.text = self._templated(prompt)
        settings = json.dumps(self.processor.to_dict(), sort_keys=True, default=str)
        vocabulary = self.processor.tokenizer.get_vocab()
        content = settings + json.dumps(vocabulary, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        self.described = f"{type(self.processor).__name__}, sha256 {digest}"
        self.prepare(np.zeros((32, 48, 3), np.uint8))  # what cannot be prepared is told at once

    def prepare(self, image: np.ndarray) -> Inputs:
        """Inputs of one image (row, column, 3), uint8, with the prompt."""
        begin = self.processor.tokenizer.bos_token
        made = self.saved.ask(
            self.processor,
            images=[Image.fromarray(image)],
            text=[self.text],
            return_tensors="pt",
            # A template that begins the text itself must not see it begun twice.
            add_special_tokens=not (begin and self.text.startswith(begin)),
        )
        return {name: values for name, values in made.items() if isinstance(values, torch.Tensor)}

    def _templated(self, prompt: str) -> str:
        if self.processor.chat_template is not None:
            said = [{"type": "text", "text": prompt}] if prompt else []
            conversation = [{"role": "user", "content": [{"type": "image"}, *said]}]
            text: str = self.saved.ask(
                self.processor.apply_chat_template, conversation, add_generation_prompt=True, tokenize=False
            )
            return text
        mark = getattr(self.processor, "image_token", None)
        if mark is None:
            raise NetworkError(
                f"source '{self.saved.source}': {type(self.processor).__name__} has neither a chat template "
                "nor an image token, so where the image goes is not known; add chat_template.jinja"
            )
        return f"{mark}{prompt}"


def _load(saved: Saved) -> Any:
    """The processor of a network; images are prepared by the same code, with or without torchvision.

    Networks that are shown film as well (Qwen2-VL, SmolVLM) have processors that transformers makes with
    torchvision only.
    """
    local = {"trust_remote_code": False, "local_files_only": True}
    try:
        return saved.ask(
            transformers.AutoProcessor.from_pretrained, saved.located.folder, backend="pil", **local
        )
    except NetworkError as error:
        if "video processor" not in str(error).lower():
            raise
    if not transformers.utils.is_torchvision_available():
        raise NetworkError(
            f"source '{saved.source}': its processor prepares film as well, for which transformers needs the "
            "package torchvision, which is not installed; pip install torchvision, in the version that goes "
            f"with torch {torch.__version__}"
        ) from None
    processor = saved.ask(transformers.AutoProcessor.from_pretrained, saved.located.folder, **local)
    processor.image_processor = saved.ask(
        transformers.AutoImageProcessor.from_pretrained, saved.located.folder, backend="pil", **local
    )
    return processor


def alike(prepared: Sequence[Inputs]) -> list[list[int]]:
    """Which of some inputs can be joined: those of one length and of arrays of one shape.

    >>> one, two = {"input_ids": torch.zeros(1, 3)}, {"input_ids": torch.zeros(1, 4)}
    >>> alike([one, two, one])
    [[0, 2], [1]]
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, inputs in enumerate(prepared):
        key = tuple((name, values.shape[1:]) for name, values in sorted(inputs.items()))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def joined(some: Sequence[Inputs]) -> Inputs:
    """Inputs of several items, one after the other."""
    return {name: torch.cat([inputs[name] for inputs in some]) for name in some[0]}


def prolonged(inputs: Inputs, said: torch.Tensor) -> Inputs:
    """Inputs with more tokens (item, token) of text at the end."""
    ids = inputs["input_ids"]
    more = {"input_ids": said, "attention_mask": torch.ones_like(said)}
    out = dict(inputs)
    for name, values in inputs.items():
        if values.shape == ids.shape and not values.is_floating_point():
            # Of what else there is for each token, zero is text.
            end = more.get(name, torch.zeros_like(said)).to(values.dtype)
            out[name] = torch.cat([values, end], dim=1)
    return out
