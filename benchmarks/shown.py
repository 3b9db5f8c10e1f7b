"""The networks of extraction.py, with random weights, and what they are shown: drawn images and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RESIDUAL = ("residual",)
EVERYWHERE = ("residual", "attention", "mlp", "heads")
IMAGE_SIZE, PATCH = 224, 16
BATCH = 16
WORDS = 256


@dataclass(frozen=True)
class Way:
    """A network and what is kept of it."""

    name: str
    modality: str
    taps: tuple[str, ...] = RESIDUAL
    tokens: bool = False


WAYS = (
    Way("ViT-B/16, pooled", "image"),
    Way("ViT-B/16, with tokens", "image", tokens=True),
    Way("ViT-B/16, residual + attention + MLP + heads", "image", EVERYWHERE),
    Way("BERT-base, words in 256 words", "text"),
    Way("BERT-base, residual + attention + MLP + heads", "text", EVERYWHERE),
)


@dataclass(frozen=True)
class Shown:
    """A network in memory, some items, and its bare pass.

    Attributes
    ----------
    network : OpenNetwork
        Ours.
    items : DataFrame
        What is shown; words after the first ones, which are only context.
    rows : range
        The items that are looked at.
    batches : list of tuple of tensor
        The same, as the model takes them.
    forward : callable
        The model alone, given a batch; the module is `model`.
    """

    network: Any
    items: pd.DataFrame
    rows: range
    batches: list[tuple[Any, ...]]
    model: Any
    forward: Callable[..., Any]

    @property
    def windows(self) -> Sequence[Any]:
        """The items, as our network is shown them."""
        return self.network.windows(self.items, self.rows)


def make(folder: Path, quick: bool) -> None:
    """Save both networks' configurations, a tokenizer and an image processor, but no weights."""
    import tokenizers
    import transformers

    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    size = small if quick else {}
    vocabulary = {f"w{number}": number for number in range(1000)}
    transformers.ViTConfig(image_size=IMAGE_SIZE, patch_size=PATCH, **size).save_pretrained(folder / "image")
    transformers.ViTImageProcessorPil().save_pretrained(folder / "image")
    transformers.BertConfig(vocab_size=len(vocabulary), **size).save_pretrained(folder / "text")
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="w0"))
    core.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="w0").save_pretrained(
        folder / "text"
    )


def draw(folder: Path, count: int) -> None:
    """Draw images as photographs are, 640 × 480 JPEG, and the same ones ready to be shown."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        fine = rng.normal(0, 12, (480, 640, 3))
        image = np.asarray(Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC), float)
        Image.fromarray(np.clip(image + fine, 0, 255).astype(np.uint8)).save(folder / f"{number:03}.jpg")


def open_shown(way: Way, folder: Path, batches: int) -> Shown:
    """Open a network and get everything ready that is not to be measured."""
    return (_images if way.modality == "image" else _words)(way, folder, batches)


def _images(way: Way, folder: Path, batches: int) -> Shown:
    from neuroalign.networks.vision.vision import image_part, open_network
    from neuroalign.settings.networks import Vision
    from neuroalign.stimuli.media import content_digest, read_image

    settings = Vision(
        family="vision", source=str(folder / "image"), weights="random", batch=BATCH, taps=way.taps,
        tokens=way.tokens, device="cpu",
    )  # fmt: skip
    network = open_network(settings)
    uris = [str(folder / f"{number:03}.jpg") for number in range(batches * BATCH)]
    items = pd.DataFrame({"item": range(len(uris)), "uri": uris, "modality": "image", "text": ""})
    items["digest"] = [content_digest(uri) for uri in uris]
    items["passage"], items["position"] = 0, items["item"]
    ready = [
        (network.model.prepare([read_image(uri) for uri in uris[start : start + BATCH]]),)
        for start in range(0, len(uris), BATCH)
    ]
    model = image_part(network.model.model)
    return Shown(network, items, range(len(items)), ready, model, lambda pixels: model(pixel_values=pixels))


def _words(way: Way, folder: Path, batches: int) -> Shown:
    from neuroalign.networks.language.text import open_network
    from neuroalign.settings.networks import Text

    settings = Text(
        source=str(folder / "text"), weights="random", context=WORDS - 1, taps=way.taps,
        batch_tokens=BATCH * WORDS, device="cpu",
    )  # fmt: skip
    network = open_network(settings)
    rng = np.random.default_rng(0)
    story = pd.DataFrame(
        {"text": [f"w{number}" for number in rng.integers(0, 1000, WORDS + batches * BATCH)]}
    )
    story = story.assign(item=story.index, passage=0, position=story.index, sentence=0, modality="text")
    model = network.model.backbone
    rows = range(WORDS, len(story))
    encoded = network.encode(network.windows(story, rows))
    ready = [
        network.padded([one.ids for one in encoded[start : start + BATCH]])
        for start in range(0, len(encoded), BATCH)
    ]
    forward = partial(_forward_words, model)
    return Shown(network, story, rows, ready, model, forward)


def _forward_words(model: Any, ids: Any, mask: Any) -> Any:
    return model(input_ids=ids, attention_mask=mask)
