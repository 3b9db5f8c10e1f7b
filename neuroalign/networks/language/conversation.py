"""Pictures or sound and a prompt as inputs of a network: words by its chat template, tokens; and batches."""

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


HEARD = ("Qwen2AudioProcessor", "AudioFlamingo3Processor")
"""Processors of sound that mark what they pad, for networks that then leave it out."""

_LEAST_FRAMES = 8
"""Frames of the spectrogram that become two tokens of sound, in all of these.

Where there is one only, the library takes it for a mark that is still to be spelled out (Qwen2-Audio).
"""


class Processor:
    """The processor of a network, and what it makes of the prompt.

    Parameters
    ----------
    saved : Saved
    prompt : str

    Attributes
    ----------
    sees, hears : bool
        Whether the network reads pictures, and sound.
    described : str
        Which processor, and a digest of its settings and vocabulary.
    rate_hz : int
        Sampling rate of sound.
    least_s, most_s : float
        How short and how long a sound may be.

    Raises
    ------
    NetworkError
        There is no processor of images or sound and text, or it cannot place them in the prompt.
    """

    def __init__(self, saved: Saved, prompt: str) -> None:
        self.saved, self.prompt = saved, prompt
        self.processor = _load(saved)
        name = type(self.processor).__name__
        extractor = getattr(self.processor, "feature_extractor", None)
        self.sees = hasattr(self.processor, "image_processor")
        self.hears = name in HEARD
        has_words = hasattr(self.processor, "tokenizer")
        if extractor is not None and has_words and not (self.sees or self.hears):
            raise NetworkError(
                f"source '{saved.source}': {name} prepares sound in a way that is not read here; choose a "
                f"network whose processor is {' or '.join(HEARD)}"
            )
        if not has_words or not (self.sees or self.hears):
            raise NetworkError(
                f"source '{saved.source}': no processor of images or sound and text; save the model's "
                "processor (preprocessor_config.json, tokenizer.json) beside config.json"
            )
        settings = json.dumps(self.processor.to_dict(), sort_keys=True, default=str)
        vocabulary = self.processor.tokenizer.get_vocab()
        content = settings + json.dumps(vocabulary, sort_keys=True)
        self.described = f"{name}, sha256 {hashlib.sha256(content.encode()).hexdigest()[:12]}"
        # What cannot be prepared is told at once.
        if self.sees:
            self.see([np.zeros((32, 48, 3), np.uint8)])
        if self.hears and extractor is not None:
            self.rate_hz, hop = int(extractor.sampling_rate), int(extractor.hop_length)
            self.most_s = float(getattr(self.processor, "max_audio_len", None) or extractor.chunk_length)
            self.least_s = _LEAST_FRAMES * hop / self.rate_hz
            self.hear(np.zeros(_LEAST_FRAMES * hop, np.float32))

    def see(self, pictures: Sequence[np.ndarray]) -> Inputs:
        """Inputs of some pictures (row, column, 3), uint8, in order, with the prompt."""
        text = self.text("image", len(pictures))
        return self._made(text, images=[[Image.fromarray(picture) for picture in pictures]])

    def hear(self, wave: np.ndarray) -> Inputs:
        """Inputs of a sound (sample,) at `rate_hz`, with the prompt."""
        return self._made(self.text("audio", 1), audio=[wave], sampling_rate=self.rate_hz)

    def check_several(self, count: int) -> None:
        """Raise a NetworkError if not as many pictures can be shown in one conversation."""
        try:
            self.see([np.zeros((32, 48, 3), np.uint8)] * count)
        except NetworkError as error:
            # One can be shown, which was tried before.
            raise NetworkError(
                f"source '{self.saved.source}': its processor does not take {count} images in one "
                "conversation, as a film is shown; set frames: 1, or choose a network that takes several "
                f"({error})"
            ) from None

    @property
    def marks(self) -> list[int]:
        """The tokens in whose place pictures and sounds are put."""
        # Of the model: some processors call so the mark that stands in the text (Gemma 3).
        names = [f"{kind}_token_{end}" for kind in ("image", "audio") for end in ("id", "index")]
        ids = {getattr(self.saved.configuration, name, None) for name in names}
        return sorted(number for number in ids if number is not None)

    def text(self, kind: str, count: int) -> str:
        """Everything that is said, with the marks of as many pictures ("image") or sounds ("audio")."""
        if self.processor.chat_template is not None:
            said = [{"type": "text", "text": self.prompt}] if self.prompt else []
            content = [*({"type": kind} for _ in range(count)), *said]
            text: str = self.saved.ask(
                self.processor.apply_chat_template,
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=False,
            )
            return text
        mark = getattr(self.processor, f"{kind}_token", None)
        if mark is None:
            raise NetworkError(
                f"source '{self.saved.source}': {type(self.processor).__name__} has neither a chat template "
                f"nor an {kind} token, so where the {kind} goes is not known; add chat_template.jinja"
            )
        return f"{mark * count}{self.prompt}"

    def _made(self, text: str, **shown: Any) -> Inputs:
        begin = self.processor.tokenizer.bos_token
        made = self.saved.ask(
            self.processor,
            text=[text],
            return_tensors="pt",
            # A template that begins the text itself must not see it begun twice.
            add_special_tokens=not (begin and text.startswith(begin)),
            **shown,
        )
        return {name: values for name, values in made.items() if isinstance(values, torch.Tensor)}


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
        # The mask of a spectrogram is no row of tokens, even where it is as long as one.
        if values.shape == ids.shape and not values.is_floating_point() and "feature" not in name:
            # Of what else there is for each token, zero is text.
            end = more.get(name, torch.zeros_like(said)).to(values.dtype)
            out[name] = torch.cat([values, end], dim=1)
    return out
