"""Text networks, encoders and decoders: a word in its context in, the word's activations out.

A word is shown after the words before it in its passage, never before the words that follow. The
activations are the library's own `hidden_states`, or what modules answer inside the blocks, at the word's
sub-tokens. A prompt, if there is one, stands before the context of every word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.base import Layer, Window
from neuroalign.networks.language.text_model import (
    LoadedModel,
    describe,
    load,
    load_tokenizer,
    probe_without_weights,
    saved,
    units_of,
)
from neuroalign.settings.networks import Text

_NO_LIMIT = 1 << 20
"""Tokenizers without a maximum claim an astronomic one."""


@dataclass(frozen=True, kw_only=True)
class TextWindow(Window):
    """A word after its context.

    Attributes
    ----------
    text : str
        Prompt, context and word, joined by spaces; the word comes last.
    word_start : int
        Character at which the word begins.
    """

    text: str
    word_start: int


@dataclass(frozen=True)
class _Encoded:
    """A window as token ids, and the first and last place of the word among them."""

    ids: list[int]
    word: list[int]


def layer_names(settings: Text) -> list[str]:
    """List the module paths of a text network's layers, the embedding first, without reading its weights.

    Raises
    ------
    NetworkError
        The network cannot be found, or is not a text network.
    """
    return [layer.name for layer in layer_table(settings)]


def layer_table(settings: Text) -> list[Layer]:
    """List the layers with their units, where these can be known without reading weights.

    Raises
    ------
    NetworkError
        As `layer_names`.
    """
    network = saved(settings, weights=False)
    taps, kept = describe(network, settings)
    seen = probe_without_weights(network)
    return [
        Layer(tap.name, tap.depth, index in kept, None if seen is None else units_of(tap, seen))
        for index, tap in enumerate(taps)
    ]


def open_network(settings: Text, seed: int = 0) -> TextNetwork:
    """Load a text network and its tokenizer.

    Parameters
    ----------
    settings : Text
    seed : int
        Draws the weights of a random network; pretrained ones do not depend on it.

    Returns
    -------
    TextNetwork

    Raises
    ------
    NetworkError
        The network, its fast tokenizer, its weights, the device or a layer cannot be had.
    """
    network = saved(settings, weights=settings.weights == "pretrained")
    # An unknown layer is told before the weights are read.
    describe(network, settings)
    return TextNetwork(settings, load_tokenizer(network), load(network, settings, seed))


class TextNetwork:
    """A text network in memory; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Text
    tokenizer : transformers.PreTrainedTokenizerFast
    model : LoadedModel
    """

    def __init__(self, settings: Text, tokenizer: Any, model: LoadedModel) -> None:
        self.settings = settings
        self.tokenizer = tokenizer
        self.model = model
        self.layers = tuple(tap.name for tap in model.taps)
        self.depth = tuple(tap.depth for tap in model.taps)
        self.units = model.units
        self.kept = model.kept
        self.places: tuple[np.ndarray, ...] = ()
        self.token_units: tuple[int, ...] = ()
        limits = [tokenizer.model_max_length, model.max_tokens or _NO_LIMIT]
        self.max_tokens = min(limits) if min(limits) < _NO_LIMIT else None
        self.lead = [settings.prompt] if settings.prompt else []
        self._refuse_long_prompt()
        vocabulary = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()[:12]
        self.provenance: dict[str, Any] = {
            **model.provenance,
            "context": settings.context,
            "subtokens": settings.subtokens,
            "dtype": settings.dtype,
            "batch_tokens": settings.batch_tokens,
            "tokenizer": f"{type(tokenizer).__name__}, {len(tokenizer)} tokens, sha256 {vocabulary}",
            "max_tokens": self.max_tokens or 0,
            **({"prompt": settings.prompt} if settings.prompt else {}),
        }

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if there is no item, an item is not a word, or a word has no token."""
        if items.empty:
            raise DataError("items: the table is empty; a network needs at least one word")
        other = sorted(set(items["modality"]) - {"text"})
        if other:
            raise DataError(
                f"items: modality '{other[0]}' cannot be shown to a text network; expected 'text'"
            )
        words = items["text"].drop_duplicates().tolist()
        for word, encoding in zip(words, self._tokenize(words).encodings, strict=True):
            if not any(stop > 0 for _, stop in encoding.offsets):
                raise DataError(
                    f"items: the word {word!r} has no token in this network; add it to stimuli.skip"
                )

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[TextWindow]:
        """Show each of `rows` (all, when left out) of the items table after its context.

        The context is up to `context` words before the item, in its passage only. Where the passage
        has just begun, so that the context is incomplete, the digest also holds the passage: the
        first "The" of two stories is shown alike but counts as two inputs, in equal stories as one.
        """
        rows = range(len(items)) if rows is None else rows
        passage = items["passage"].to_numpy()
        ordered = items.assign(row=np.arange(len(items))).sort_values(["passage", "position"], kind="stable")
        needed = ordered[ordered["passage"].isin(np.unique(passage[list(rows)]))]
        place: dict[int, tuple[list[str], str, int]] = {}
        for _, group in needed.groupby("passage"):
            words = [str(word) for word in group["text"]]
            whole = hashlib.sha256(" ".join(words).encode()).hexdigest()
            place.update({row: (words, whole, rank) for rank, row in enumerate(group["row"])})
        return [self._window(*place[row]) for row in rows]

    def _window(self, words: list[str], passage: str, rank: int) -> TextWindow:
        shown = words[max(rank - self.settings.context, 0) : rank + 1]
        fitting = self._fit(shown)
        text = " ".join([*self.lead, *fitting])
        word_start = len(text) - len(fitting[-1])
        truncated = len(fitting) < len(shown)
        incomplete = rank < self.settings.context and not truncated
        seen = f"{text}\0{word_start}\0{passage if incomplete else ''}"
        digest = int.from_bytes(hashlib.sha256(seen.encode()).digest()[:8], "little")
        return TextWindow(digest=digest, truncated=truncated, text=text, word_start=word_start)

    def _fit(self, words: list[str]) -> list[str]:
        """Drop words after the prompt until the network's maximum holds the rest; the last one stays."""
        text = " ".join([*self.lead, *words])
        special = self.tokenizer.num_special_tokens_to_add(pair=False)
        # No tokenizer makes more tokens than bytes (and a leading mark): most windows need no count.
        if self.max_tokens is None or len(text.encode()) + special + 1 <= self.max_tokens:
            return words
        begin = len(" ".join([*self.lead, ""]))
        spans = [span for span in self._tokenize([text]).encodings[0].offsets if span[1] > 0]
        surplus = len(spans) + special - self.max_tokens
        if surplus <= 0:
            return words
        spans = [span for span in spans if span[1] > begin]
        if surplus >= len(spans):
            return words[-1:]
        first, start = 0, begin
        while start < spans[surplus][0] and first < len(words) - 1:
            start += len(words[first]) + 1
            first += 1
        return words[first:]

    def _refuse_long_prompt(self) -> None:
        """A prompt must leave room for a word."""
        if self.max_tokens is None or not self.lead:
            return
        count = len(self._tokenize(self.lead).encodings[0].ids)
        if count > self.max_tokens // 2:
            raise NetworkError(
                f"prompt '{self.settings.prompt[:40]}': {count} tokens, but the network takes no more than "
                f"{self.max_tokens} in all; use at most half of them for the prompt"
            )

    def _tokenize(self, texts: list[str], limit: int | None = None) -> Any:
        return self.tokenizer(
            texts,
            truncation=limit is not None,
            max_length=limit,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )

    def encode(self, windows: Sequence[TextWindow]) -> list[_Encoded]:
        """Token ids of every window, and which of them are the word's.

        A sub-token is the word's if it ends after the word's start: byte-level tokenizers join the
        space before a word to it. A word beyond the maximum by itself keeps its last tokens.
        """
        encodings = self._tokenize([window.text for window in windows], self.max_tokens).encodings
        found = []
        for window, encoding in zip(windows, encodings, strict=True):
            spans = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
            word = [
                index
                for index, ((_, stop), special) in enumerate(spans)
                if stop > window.word_start and not special
            ]
            if not word:
                raise DataError(
                    f"items: the word {window.text[window.word_start :]!r} has no token in this network; "
                    "add it to stimuli.skip"
                )
            found.append(_Encoded(list(encoding.ids), word))
        return found

    def run(
        self, windows: Sequence[TextWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Activations (n_windows, n_units) of every kept layer, in the order of `windows`.

        Windows of like length share a batch, padded on the right; `advance` is called with the
        number of windows in a batch when it is done.

        Raises
        ------
        NetworkError
            Activations are not finite in the dtype asked for, or the device's memory is too small.
        """
        encoded = self.encode(windows)
        kind = np.dtype(self.settings.dtype)
        found = [np.empty((len(windows), self.units[index]), kind) for index in self.kept]
        for batch in batches([len(item.ids) for item in encoded], self.settings.batch_tokens):
            self._run_batch([encoded[index] for index in batch], batch, found)
            if advance is not None:
                advance(len(batch))
        return found

    def _run_batch(self, encoded: list[_Encoded], rows: list[int], found: list[np.ndarray]) -> None:
        """Fill in some rows of what is found."""
        at, share = self._pooling([item.word for item in encoded])

        def receive(place: int, states: torch.Tensor) -> None:
            layer = self.kept[place]
            found[place][rows] = self.model.pool(states, at, share, self.settings.dtype, layer)

        self.model.read(*self.padded([item.ids for item in encoded]), receive)

    def padded(self, sequences: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and attention mask, both (window, token).

        Decoders may have no pad token, or one that was added and has no embedding; any other does.
        """
        pad = self.tokenizer.pad_token_id
        known = self.model.backbone.get_input_embeddings().num_embeddings
        pad = pad if pad is not None and pad < known else 0
        ids = torch.full((len(sequences), max(map(len, sequences))), pad)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
            mask[row, : len(sequence)] = 1
        return ids, mask

    def _pooling(self, words: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Places of each word's sub-tokens and their weights, both (window, sub-token).

        Short words repeat their last sub-token with weight 0: the states of padding are never read.
        """
        if self.settings.subtokens == "last":
            words = [word[-1:] for word in words]
        longest = max(map(len, words))
        at = torch.tensor([word + word[-1:] * (longest - len(word)) for word in words])
        share = torch.tensor([[1 / len(word)] * len(word) + [0.0] * (longest - len(word)) for word in words])
        return at, share


def batches(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Yield indices in batches whose tokens, padding included, keep to the budget; the longest go first.

    Memory runs out at once or never, and the first batches do not promise too early an end.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        size = max(budget // lengths[order[start]], 1)
        yield order[start : start + size]
        start += size
