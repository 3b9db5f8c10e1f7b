"""Networks of Hugging Face that read an image and a prompt and answer in words: LLaVA, Idefics, Gemma.

An image is shown with the prompt as the processor's chat template puts them; without a template the image
comes first. Layers are those of the language model, index 0 its embedding with the image put in: the
library's own hidden states at the last token of the prompt, or their mean over the tokens that the network
then says. The layers of the image tower are not offered: read it by itself with `family: vision`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers

from neuroalign.errors import NetworkError
from neuroalign.networks.base import Layer
from neuroalign.networks.items import check_shown
from neuroalign.networks.language.conversation import Inputs, Processor, alike, joined, prolonged
from neuroalign.networks.language.text_model import probe_language, units_of
from neuroalign.networks.pretrained import Saved, prefix_of
from neuroalign.networks.sources import locate
from neuroalign.networks.tapping.layers import measure, name_layers
from neuroalign.networks.tapping.sublayers import offer_of
from neuroalign.networks.tapping.taps import Tap, read
from neuroalign.networks.vision.image_windows import ImageWindow
from neuroalign.settings.networks import Multimodal
from neuroalign.stimuli.media import check_image, read_image


def layer_names(settings: Multimodal) -> list[str]:
    """List the layers of the language model, the embedding first, without reading its weights.

    Raises
    ------
    NetworkError
        The network or its processor cannot be found, or it is not shown images and text.
    """
    return [layer.name for layer in layer_table(settings)]


def layer_table(settings: Multimodal) -> list[Layer]:
    """List the layers with their units, where these can be known without reading weights.

    Raises
    ------
    NetworkError
        As `layer_names`, or a layer is not there.
    """
    saved = _saved(settings, weights=False)
    Processor(saved, settings.prompt)
    model = saved.skeleton()
    taps, kept = _choose(model, settings)
    seen = probe_language(_language(model, settings))
    return [
        Layer(tap.name, tap.depth, index in kept, None if seen is None else units_of(tap, seen))
        for index, tap in enumerate(taps)
    ]


def open_network(settings: Multimodal, seed: int = 0) -> MultimodalNetwork:
    """Load a network and its processor.

    Parameters
    ----------
    settings : Multimodal
    seed : int
        Draws the weights of a random network.

    Returns
    -------
    MultimodalNetwork

    Raises
    ------
    NetworkError
        The network, its processor, its weights, the device or a layer cannot be had.
    """
    saved = _saved(settings, weights=settings.weights == "pretrained")
    processor = Processor(saved, settings.prompt)
    # An unknown layer is told before the weights are read.
    _choose(saved.skeleton(), settings)
    model, provenance = saved.load(settings, seed)
    return MultimodalNetwork(settings, model, processor, provenance)


def _saved(settings: Multimodal, weights: bool) -> Saved:
    return Saved(
        locate(settings.source, settings.revision, weights),
        settings.source,
        "a network that is shown an image and text",
        ("input_ids", "pixel_values"),
        lambda model: model,
        transformers.AutoModelForImageTextToText,
    )


def _language(model: Any, settings: Multimodal) -> Any:
    """The language model inside."""
    language = None if model.config.is_encoder_decoder else model.get_decoder()
    if language is None or language is model:
        raise NetworkError(
            f"source '{settings.source}': {type(model).__name__} has no language model whose layers could be "
            "read by themselves; choose a network that reads image and text as one sequence"
        )
    return language


def _choose(model: Any, settings: Multimodal) -> tuple[tuple[Tap, ...], tuple[int, ...]]:
    language = _language(model, settings)
    prefix = prefix_of(model, language)
    spine, _, _ = name_layers(language)

    def make(path: str, depth: float) -> Tap:
        return Tap(prefix + path, depth, path)

    return offer_of(language, prefix, spine, settings.taps, settings.source, make).choose(settings.layers)


class MultimodalNetwork:
    """A network in memory that is shown images with a prompt; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Multimodal
    model : transformers.PreTrainedModel
        With its head.
    processor : Processor
    provenance : dict
        Where the weights come from.
    """

    def __init__(
        self, settings: Multimodal, model: Any, processor: Processor, provenance: dict[str, Any]
    ) -> None:
        self.settings, self.model, self.processor = settings, model, processor
        self.language = _language(model, settings)
        self.taps, self.kept = _choose(model, settings)
        spine, _, blocks = name_layers(self.language)
        seen, final_norm = measure(self.language, spine, blocks, settings.source)
        self.layers = tuple(tap.name for tap in self.taps)
        self.depth = tuple(tap.depth for tap in self.taps)
        self.units = tuple(units_of(tap, seen) for tap in self.taps)
        self.places: tuple[np.ndarray, ...] = ()
        self.token_units: tuple[int, ...] = ()
        self.provenance: dict[str, Any] = {
            **provenance,
            "states": "hidden_states",
            "taps": list(settings.taps),
            "last_layer": "after the final norm" if final_norm else "as the last block gives it",
            "prompt": settings.prompt,
            "shown": processor.text,
            "at": settings.at,
            **({"new_tokens": settings.new_tokens} if settings.at == "generated" else {}),
            "processor": processor.described,
            "dtype": settings.dtype,
            "batch": settings.batch,
        }
        for package in ("pillow", "tokenizers"):
            self.provenance["versions"][package] = importlib.metadata.version(package)

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if there is no item, or an item is no image that can be read."""
        check_shown(items, {"image": check_image}, "shown to an image network", "image")

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[ImageWindow]:
        """Show each of `rows` (all, when left out) of the items table, with the prompt.

        Images of equal content are equal; under another prompt they are other inputs.
        """
        shown = items if rows is None else items.iloc[list(rows)]
        return [
            ImageWindow(digest=_digest(digest, self.settings.prompt), uri=uri)
            for digest, uri in zip(shown["digest"], shown["uri"], strict=True)
        ]

    def run(
        self, windows: Sequence[ImageWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Activations (n_windows, n_units) of every kept layer, in the order of `windows`.

        Only images that become inputs of one shape share a pass, so that nothing is padded and an image's
        activations do not depend on those beside it. `advance` is called with the number of images in a
        batch when it is done.

        Raises
        ------
        NetworkError
            Activations are not finite in the dtype asked for, or the device's memory is too small.
        DataError
            An image cannot be read.
        """
        kind, count = np.dtype(self.settings.dtype), len(windows)
        found = [np.empty((count, self.units[index]), kind) for index in self.kept]
        for start in range(0, count, self.settings.batch):
            stop = min(start + self.settings.batch, count)
            prepared = [self.processor.prepare(read_image(window.uri)) for window in windows[start:stop]]
            for group in alike(prepared):
                inputs = joined([prepared[index] for index in group])
                self._run_group(inputs, [start + index for index in group], found)
            if advance is not None:
                advance(stop - start)
        return found

    def _run_group(self, inputs: Inputs, rows: list[int], found: list[np.ndarray]) -> None:
        """Fill in some rows of what is found."""
        device, dtype = self.model.device, self.model.dtype
        inputs = {
            name: values.to(device, dtype if values.is_floating_point() else values.dtype)
            for name, values in inputs.items()
        }
        try:
            with torch.inference_mode():
                inputs, share = self._readout(inputs)
                self._read(inputs, share, rows, found)
        except torch.OutOfMemoryError:
            raise NetworkError(
                f"{len(rows)} images at once are too many for the memory of {device}; lower batch"
            ) from None

    def _readout(self, inputs: Inputs) -> tuple[Inputs, torch.Tensor]:
        """What is run, and the weights (item, token) of its last tokens in what is kept."""
        ids = inputs["input_ids"]
        if self.settings.at == "last":
            return inputs, torch.ones((len(ids), 1), device=ids.device)
        said = self.model.generate(
            **inputs, do_sample=False, num_beams=1, max_new_tokens=self.settings.new_tokens
        )[:, ids.shape[1] :]
        spoken = _until_the_end(said, self.model.generation_config.eos_token_id)
        return prolonged(inputs, said), spoken / spoken.sum(dim=1, keepdim=True)

    def _read(self, inputs: Inputs, share: torch.Tensor, rows: list[int], found: list[np.ndarray]) -> None:
        taps = [self.taps[index] for index in self.kept]
        shape = inputs["input_ids"].shape

        def run() -> Sequence[torch.Tensor]:
            # Without the head, which would weigh every word of the vocabulary at every token.
            output = self.model.base_model(**inputs, output_hidden_states=True, use_cache=False)
            states: Sequence[torch.Tensor] = output.hidden_states
            return states

        def receive(place: int, states: torch.Tensor) -> None:
            # Some blocks lay all tokens in one row.
            states = states.view(*shape, -1) if states.ndim == 2 else states
            picked = states[:, -share.shape[1] :].float()  # (item, token, unit)
            pooled = (picked * share[:, :, None]).sum(dim=1).to(getattr(torch, self.settings.dtype))
            if not bool(torch.isfinite(pooled).all()):
                raise NetworkError(
                    f"layer '{taps[place].name}' gives values beyond {self.settings.dtype}, or not numbers; "
                    "set dtype: float32, and if it is float32 check the weights"
                )
            found[place][rows] = pooled.cpu().numpy()

        read(self.language, taps, run, receive)


def _until_the_end(said: torch.Tensor, end: int | list[int] | None) -> torch.Tensor:
    """1 for each token (item, token) that was said, the sign of the end included; 0 for those after it."""
    ends = torch.tensor([] if end is None else np.atleast_1d(end), device=said.device)
    is_end = torch.isin(said, ends.to(said.dtype)).int()
    return (is_end.cumsum(dim=1) - is_end == 0).float()


def _digest(content: str, prompt: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{content}\0{prompt}".encode()).digest()[:8], "little")
