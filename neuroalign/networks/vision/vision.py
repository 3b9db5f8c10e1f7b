"""Image networks of Hugging Face: vision transformers and convolutional networks.

Layers are the library's own hidden states: what enters the first block (the embedding, or the stem of a
convolutional network), then what leaves every block (every stage of a convolutional network). Images are
prepared by the model's own image processor.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from neuroalign.errors import NetworkError
from neuroalign.networks.base import Layer
from neuroalign.networks.pretrained import Saved, prefix_of
from neuroalign.networks.sources import locate
from neuroalign.networks.tapping.choosing import Offer
from neuroalign.networks.tapping.probe import Probe, block_paths, probe
from neuroalign.networks.tapping.sublayers import offer_of
from neuroalign.networks.tapping.taps import Tap
from neuroalign.networks.vision.images import ImageModel, ImageNetwork, check_pooling, table_of
from neuroalign.networks.vision.layouts import Layout, first_grid, layout_of, units_last
from neuroalign.settings.media import Video
from neuroalign.settings.networks import Vision

_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
BLANK = 2
"""Images shown to find the layers, so that the axis of images can be told from others."""


def layer_names(settings: Vision) -> list[str]:
    """List the layers of an image network, the embedding first, without reading its weights.

    Raises
    ------
    NetworkError
        The network or its image processor cannot be found, or it is not shown images.
    """
    return [layer.name for layer in layer_table(settings)]


def layer_table(settings: Vision) -> list[Layer]:
    """List the layers with their units and grids, without reading weights.

    Raises
    ------
    NetworkError
        As `layer_names`, or a layer has not what is to be kept of it.
    """
    described = Described(settings, weights=False)
    check_pooling(settings, described.taps, described.layouts, described.kept)
    return table_of(described.taps, described.layouts, described.kept)


def open_network(settings: Vision, seed: int = 0) -> ImageNetwork:
    """Load an image network and its image processor.

    Parameters
    ----------
    settings : Vision
    seed : int
        Draws the weights of a random network, and the projection of `pooling: flatten`.

    Returns
    -------
    ImageNetwork

    Raises
    ------
    NetworkError
        The network, its image processor, its weights, the device, a layer or what is to be kept of it
        cannot be had.
    """
    # What is not there is told before the weights are read.
    described = Described(settings, weights=settings.weights == "pretrained")
    check_pooling(settings, described.taps, described.layouts, described.kept)
    return ImageNetwork(settings, loaded(settings, described, seed), seed)


def loaded(settings: Vision | Video, described: Described, seed: int) -> ImageModel:
    """Read the weights of a network that is described, or draw them from the seed.

    Raises
    ------
    NetworkError
        Weights are missing or other than `settings.sha256` says, or the device is not there.
    """
    model, provenance = described.saved.load(settings, seed)
    part = image_part(model)
    device, dtype = next(part.parameters()).device, next(part.parameters()).dtype

    from_library = any(described.taps[index].state is not None for index in described.kept)

    def show(pixels: torch.Tensor) -> Sequence[torch.Tensor]:
        output = part(pixel_values=pixels.to(device, dtype), output_hidden_states=from_library)
        return output.hidden_states if from_library else ()

    rows, columns = described.size
    provenance["states"] = "hidden_states"
    provenance["taps"] = list(settings.taps)
    provenance["last_layer"] = (
        "as the last block gives it"
        if described.blocks[-1] in described.seen.made_last
        else "after the final norm"
    )
    provenance["preprocessing"] = json.dumps(described.processor.to_dict(), sort_keys=True, default=str)
    provenance["image_processor"] = type(described.processor).__name__
    provenance["image_size"] = [rows, columns]
    provenance["versions"]["pillow"] = importlib.metadata.version("pillow")
    return ImageModel(
        part,
        described.prepare,
        show,
        described.taps,
        described.layouts,
        described.kept,
        settings.dtype,
        provenance,
    )


def image_part(model: Any) -> Any:
    """Give what of a model is shown images: itself, or its image tower."""
    return getattr(model, "vision_model", model)


class Described:
    """An image network as it can be known without its weights.

    Attributes
    ----------
    saved : Saved
    processor : transformers image processor
    size : tuple of int
        Rows and columns of the prepared images.
    seen : Probe
    taps, layouts : tuple
        All layers and how each is laid out.
    """

    what = "an image network"

    def __init__(self, settings: Vision | Video, weights: bool) -> None:
        self.source = settings.source
        located = locate(settings.source, settings.revision, weights)
        self.saved = Saved(located, settings.source, self.what, ("pixel_values",), image_part)
        model = self.saved.skeleton()
        self.part = image_part(model)
        self.check_part()
        self.processor = self._load_processor()
        self.size = self._prepared_size()
        self.seen = self._seen()
        self.blocks = block_paths(self.part, len(self.seen.states) - 1)
        self.patches = first_grid(self.part, self.seen)
        self.taps, self.kept = self._offer(settings, prefix_of(model, self.part)).choose(settings.layers)
        self.layouts = tuple(self.lay_out(tap) for tap in self.taps)

    def check_part(self) -> None:
        """Raise a NetworkError if the network is not shown images."""
        if getattr(self.part, "main_input_name", "") != "pixel_values":
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} is not shown images but "
                f"{getattr(self.part, 'main_input_name', 'something else')}; language models are family: text"
            )

    def prepare(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Pixels (image, 3, row, column) of images (row, column, 3), as the image processor makes them."""
        pixels: torch.Tensor = self.saved.ask(
            self.processor, [Image.fromarray(image) for image in images], return_tensors="pt"
        )["pixel_values"]
        return pixels

    def _load_processor(self) -> Any:
        if not any((self.saved.located.folder / name).is_file() for name in _PROCESSOR_FILES):
            raise NetworkError(
                f"source '{self.source}': no preprocessor_config.json, so how images are prepared is not "
                "known; save the model's image processor beside config.json"
            )
        # The same code prepares the images whether or not torchvision is installed.
        return self.saved.ask(
            transformers.AutoImageProcessor.from_pretrained,
            self.saved.located.folder,
            backend="pil",
            trust_remote_code=False,
            local_files_only=True,
        )

    def blank(self, shape: tuple[int, int]) -> torch.Tensor:
        """One black image of some shape, prepared."""
        return self.prepare([np.zeros((*shape, 3), np.uint8)])

    def shape(self) -> tuple[int, ...]:
        """Shape of what is shown to find the layers."""
        return (BLANK, 3, *self.size)

    def _prepared_size(self) -> tuple[int, int]:
        """Rows and columns that images become, whatever their own."""
        sizes = {tuple(self.blank(shape).shape[-2:]) for shape in ((300, 400), (400, 300), (37, 37))}
        if len(sizes) > 1:
            some = " and ".join(sorted(f"{rows} × {columns}" for rows, columns in sizes))
            raise NetworkError(
                f"source '{self.source}': its image processor makes images of different sizes ({some}) of "
                "images of different shapes; set a size of height and width, or do_center_crop, in "
                "preprocessor_config.json"
            )
        rows, columns = sizes.pop()
        return int(rows), int(columns)

    def _seen(self) -> Probe:
        pixels = torch.zeros(self.shape(), device="meta", dtype=self.part.dtype)

        def run() -> Sequence[torch.Tensor]:
            states: Sequence[torch.Tensor] = self.part(
                pixel_values=pixels, output_hidden_states=True
            ).hidden_states
            return states

        self.part.eval()
        try:
            return probe(self.part, run)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            reason = " ".join(str(error).split())[:200]
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} cannot be shown images of "
                f"{self.size[0]} × {self.size[1]} as its image processor makes them ({reason})"
            ) from None

    def _offer(self, settings: Vision | Video, prefix: str) -> Offer:
        if not self.seen.embedding or not self.blocks:
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} is not built of one list of blocks; "
                "choose another network, or read it with family: module"
            )

        def make(path: str, depth: float) -> Tap:
            if path in self.seen.repeated:
                raise NetworkError(f"module '{path}' runs several times in one pass; name another layer")
            return Tap(prefix + path, depth, path)

        spine = [self.seen.embedding, *self.blocks]
        return offer_of(self.part, prefix, spine, settings.taps, self.source, make, self.seen.order)

    def answered(self, tap: Tap) -> tuple[int, ...]:
        """Shape of what a layer answered to what was shown."""
        if tap.state is not None:
            return self.seen.states[tap.state]
        shape = (self.seen.outputs if tap.side == "output" else self.seen.inputs)[tap.path]
        return (*shape[:-1], shape[-1] // tap.part[1])

    def lay_out(self, tap: Tap) -> Layout:
        """How a layer is laid out."""
        shape = self.answered(tap)
        last = tap.state is None and units_last(self.part.get_submodule(tap.path))
        layout = layout_of(shape, BLANK, self.patches, self.size[0] == self.size[1], last)
        if layout is None:
            raise NetworkError(
                f"source '{self.source}': layer '{tap.name}' answers {shape}, not one array for every image; "
                "name another layer"
            )
        return layout
