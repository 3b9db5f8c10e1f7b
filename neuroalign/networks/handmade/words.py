"""Handmade features of words as a network: how long they are, and how unexpected."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from neuroalign.errors import NetworkError
from neuroalign.networks.base import kept_layers, relative_depth
from neuroalign.networks.handmade.items import check_modality
from neuroalign.networks.language.causal import load_causal
from neuroalign.networks.language.text import TextNetwork, TextWindow, batches
from neuroalign.networks.language.text_model import load_tokenizer, saved
from neuroalign.settings.features import Handmade
from neuroalign.settings.networks import Text

_BATCH_TOKENS = 1024
"""Tokens per forward pass: each has a logit for every word of the vocabulary."""


class HandmadeWords:
    """Feature sets of words; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Handmade
        With features of words.

    Raises
    ------
    NetworkError
        The model of surprisal cannot be had, or is not a causal language model.
    """

    def __init__(self, settings: Handmade) -> None:
        self.settings = settings
        self.layers: tuple[str, ...] = settings.features
        self.depth = relative_depth(self.layers)
        self.kept = kept_layers(settings.layers, self.layers)
        self.units = (1,) * len(self.layers)
        self.places: tuple[np.ndarray, ...] = ()
        self.token_units: tuple[int, ...] = ()
        self.surprise = Surprise(settings) if settings.model is not None else None
        self.provenance: dict[str, Any] = {
            "source": settings.named,
            "dtype": settings.dtype,
            "context": settings.context if self.surprise else 0,
            **(self.surprise.provenance if self.surprise else {"versions": {}}),
        }

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if an item is not a word, or one that the model of surprisal has no token for."""
        check_modality(self.settings, items)
        if self.surprise is not None:
            self.surprise.reader.check_items(items)

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[TextWindow]:
        """Each of `rows` (all, when left out) of the items table, after its context if that matters."""
        if self.surprise is not None:
            return self.surprise.reader.windows(items, rows)
        texts = items["text"].iloc[list(range(len(items)) if rows is None else rows)]
        return [TextWindow(digest=_digest(text), text=text, word_start=0) for text in texts]

    def run(
        self, windows: Sequence[TextWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Features (n_windows, 1) of every kept layer."""
        found = []
        for layer in self.kept:
            if self.layers[layer] == "word_length":
                values = np.array([word_length(window.text[window.word_start :]) for window in windows])
            else:
                assert self.surprise is not None
                values = self.surprise.of(windows)
            found.append(values.astype(self.settings.dtype)[:, None])
        if advance is not None:
            advance(len(windows))
        return found


def word_length(word: str) -> int:
    """Letters and digits of a word, without the marks about it.

    >>> word_length("'Don't!'")
    4
    """
    return sum(character.isalnum() for character in word)


class Surprise:
    """A causal language model that is asked how unexpected a word was.

    Parameters
    ----------
    settings : Handmade
        With `model`.

    Attributes
    ----------
    reader : TextNetwork
        Puts words after their context, and tells their sub-tokens.
    """

    def __init__(self, settings: Handmade) -> None:
        assert settings.model is not None
        about = Text(
            source=settings.model,
            revision=settings.revision,
            context=settings.context,
            device=settings.device,
        )
        network = saved(about)
        tokenizer = load_tokenizer(network)
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if begin is None:
            raise NetworkError(
                f"model '{settings.model}': its tokenizer has no token that begins a text, so a first word "
                "has no surprisal; choose another model"
            )
        self.begin = int(begin)
        model = load_causal(network, settings.device)
        self.reader = TextNetwork(about, tokenizer, model)
        if self.reader.max_tokens is not None:
            self.reader.max_tokens -= 1  # the token that begins the text comes before all others
        self.provenance = {
            **model.provenance,
            "tokenizer": self.reader.provenance["tokenizer"],
            "versions": {
                name: importlib.metadata.version(name) for name in ("torch", "transformers", "tokenizers")
            },
        }

    def of(self, windows: Sequence[TextWindow]) -> np.ndarray:
        """Surprisal (window,) in bits: −Σ log2 p(sub-token | what is before it), over a word's sub-tokens."""
        encoded = self.reader.encode(windows)
        ids, words = [], []
        for each in encoded:
            ahead = 0 if each.ids[0] == self.begin else 1
            ids.append([self.begin] * ahead + each.ids)
            words.append([place + ahead for place in each.word])
        found = np.empty(len(windows))
        for batch in batches([len(each) for each in ids], _BATCH_TOKENS):
            tokens, mask = self.reader.padded([ids[index] for index in batch])
            bits = self._bits(tokens, mask)
            for row, index in enumerate(batch):
                found[index] = bits[row, [place - 1 for place in words[index]]].sum()
        return found

    def _bits(self, tokens: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        """−log2 p (window, token − 1) of every token but the first."""
        backbone = self.reader.model.backbone
        tokens = tokens.to(backbone.device)
        with torch.inference_mode():
            logits = (
                backbone(input_ids=tokens, attention_mask=mask.to(backbone.device)).logits[:, :-1].float()
            )
            chosen = logits.gather(2, tokens[:, 1:, None])[:, :, 0]
            nats = logits.logsumexp(dim=2) - chosen
        return np.asarray(nats.double().cpu().numpy() / np.log(2))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
