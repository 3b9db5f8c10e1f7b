"""Networks of Hugging Face that read images, film or sound with a prompt and answer in words.

LLaVA, Idefics3 and Gemma 3 see, Qwen2-Audio and Audio Flamingo 3 hear. What is shown stands before the prompt
as the processor's chat template puts them; without a template it comes first. A film is as many images of
one conversation. Layers are those of the language model, index 0 its embedding with images or sound put
in: the library's own hidden states at the last token of the prompt, or their mean over the tokens that the
network then says. The layers of the tower that sees or hears are not offered: read it by itself with
`family: vision` or `audio`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
import transformers

from neuroalign.errors import NetworkError
from neuroalign.networks.base import Layer
from neuroalign.networks.language.conversation import Inputs, Processor, alike, joined, prolonged
from neuroalign.networks.language.shown import Shown, check_read, prepared, windows_of
from neuroalign.networks.language.text_model import probe_language, units_of
from neuroalign.networks.pretrained import Saved, prefix_of
from neuroalign.networks.sources import locate
from neuroalign.networks.tapping.layers import measure, name_layers
from neuroalign.networks.tapping.sublayers import offer_of
from neuroalign.networks.tapping.taps import Tap, read
from neuroalign.networks.vision.films import in_order
from neuroalign.settings.networks import Multimodal


def layer_names(settings: Multimodal) -> list[str]:
    """List the layers of the language model, the embedding first, without reading its weights.

    Raises
    ------
    NetworkError
        The network or its processor cannot be found, or it does not read images or sound with text.
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
    saved = Saved(
        locate(settings.source, settings.revision, weights),
        settings.source,
        "a network that reads images, film or sound with text",
        ("input_ids", "pixel_values"),
        lambda model: model,
        transformers.AutoModelForMultimodalLM,
    )
    # Some networks that hear stand with those that translate.
    kind = type(saved.configuration)
    known = kind in transformers.MODEL_FOR_MULTIMODAL_LM_MAPPING
    if not known and kind in transformers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return replace(saved, auto=transformers.AutoModelForSeq2SeqLM)
    return saved


def _language(model: Any, settings: Multimodal) -> Any:
    """The language model inside."""
    language = None if model.config.is_encoder_decoder else model.get_decoder()
    if language is None or language is model:
        raise NetworkError(
            f"source '{settings.source}': {type(model).__name__} has no language model whose layers could be "
            "read by themselves; choose a network that reads what it is shown and text as one sequence"
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
    """A network in memory that reads what is shown with a prompt; see `base.OpenNetwork` for what it offers.

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
            "shown": processor.text("image" if processor.sees else "audio", 1),
            "at": settings.at,
            **({"new_tokens": settings.new_tokens} if settings.at == "generated" else {}),
            "processor": processor.described,
            "dtype": settings.dtype,
            "batch": settings.batch,
        }
        for package in ("pillow", "tokenizers", "av", "scipy"):
            self.provenance["versions"][package] = importlib.metadata.version(package)

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if there is no item, or one that the network does not read or take.

        What is said with items of their modality is known from then on, as `provenance["shown"]`. That a
        network does not take several images, as a film is shown, is a NetworkError.
        """
        check_read(items, self.settings, self.processor)
        modality = items["modality"].iloc[0]
        if modality == "audio" or not self.processor.sees:
            self.provenance.update(shown=self.processor.text("audio", 1))
            self.provenance["sampling_rate_hz"] = self.processor.rate_hz
        elif modality == "video":
            frames = self.settings.frames
            self.processor.check_several(frames)
            self.provenance.update(shown=self.processor.text("image", frames), frames=frames)

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[Shown]:
        """Show each of `rows` (all, when left out) of the items table, with the prompt.

        Equal content is equal; under another prompt it is another input.
        """
        return windows_of(items, rows, self.settings, self.processor)

    def run(
        self, windows: Sequence[Shown], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Activations (n_windows, n_units) of every kept layer, in the order of `windows`.

        Only items that become inputs of one shape share a pass, so that no text is padded and an item's
        activations do not depend on those beside it. `advance` is called with the number of items in a
        batch when it is done.

        Raises
        ------
        NetworkError
            Activations are not finite in the dtype asked for, or the device's memory is too small.
        DataError
            A file cannot be read, or ends before its header says.
        """
        kind, count = np.dtype(self.settings.dtype), len(windows)
        found = [np.empty((count, self.units[index]), kind) for index in self.kept]
        order = in_order(windows)
        for start in range(0, count, self.settings.batch):
            rows = order[start : start + self.settings.batch]
            made = [prepared(windows[row], self.processor) for row in rows]
            for group in alike(made):
                inputs = joined([made[index] for index in group])
                self._run_group(inputs, [rows[index] for index in group], found)
            if advance is not None:
                advance(len(rows))
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
                f"{len(rows)} items at once are too many for the memory of {device}; lower batch"
            ) from None

    def _readout(self, inputs: Inputs) -> tuple[Inputs, torch.Tensor]:
        """What is run, and the weights (item, token) of its last tokens in what is kept."""
        ids = inputs["input_ids"]
        if self.settings.at == "last":
            return inputs, torch.ones((len(ids), 1), device=ids.device)
        silenced = self.model.generation_config.suppress_tokens or []
        said = self.model.generate(
            **inputs,
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.settings.new_tokens,
            # The mark of an image stands for one that is shown, so it cannot be said.
            suppress_tokens=[*silenced, *self.processor.marks],
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
