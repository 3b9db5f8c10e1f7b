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
from neuroalign.network_settings import Vision
from neuroalign.networks.base import kept_layers, relative_depth
from neuroalign.networks.images import ImageModel, ImageNetwork, check_pooling
from neuroalign.networks.layouts import Layout, first_grid, layout_of
from neuroalign.networks.pretrained import Saved, prefix_of
from neuroalign.networks.probe import Probe, block_paths, probe
from neuroalign.networks.sources import locate
from neuroalign.networks.taps import Tap

_BLANK = 2
"""Images shown to find the layers, so that the axis of images can be told from others."""


def layer_names(settings: Vision) -> list[str]:
    """List the layers of an image network, the embedding first, without reading its weights.

    Raises
    ------
    NetworkError
        The network or its image processor cannot be found, or it is not shown images.
    """
    return [tap.name for tap in _Described(settings, weights=False).taps]


def open_network(settings: Vision, seed: int = 0) -> ImageNetwork:
    """Load an image network and its image processor.

    Parameters
    ----------
    settings : network_settings.Vision
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
    described = _Described(settings, weights=settings.weights == "pretrained")
    # Layers that are not there are told before the weights are read.
    kept = kept_layers(settings.layers, [tap.name for tap in described.taps])
    check_pooling(
        settings, [described.taps[index] for index in kept], [described.layouts[index] for index in kept]
    )
    model, provenance = described.saved.load(settings, seed)
    part = image_part(model)
    device, dtype = next(part.parameters()).device, next(part.parameters()).dtype

    def show(pixels: torch.Tensor) -> Sequence[torch.Tensor]:
        states: Sequence[torch.Tensor] = part(
            pixel_values=pixels.to(device, dtype), output_hidden_states=True
        ).hidden_states
        return states

    rows, columns = described.size
    provenance["states"] = "hidden_states"
    provenance["last_layer"] = (
        "after the final norm" if described.seen.final_norm else "as the last block gives it"
    )
    provenance["preprocessing"] = json.dumps(described.processor.to_dict(), sort_keys=True, default=str)
    provenance["image_processor"] = type(described.processor).__name__
    provenance["image_size"] = [rows, columns]
    provenance["versions"]["pillow"] = importlib.metadata.version("pillow")
    return ImageNetwork(
        settings,
        ImageModel(
            part,
            described.prepare,
            show,
            described.taps,
            described.layouts,
            kept,
            settings.dtype,
            provenance,
        ),
        seed,
    )


def image_part(model: Any) -> Any:
    """Give what of a model is shown images: itself, or its image tower."""
    return getattr(model, "vision_model", model)


class _Described:
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

    def __init__(self, settings: Vision, weights: bool) -> None:
        self.source = settings.source
        located = locate(settings.source, settings.revision, weights)
        self.saved = Saved(located, settings.source, "an image network", image_part)
        model = self.saved.skeleton()
        self.part = image_part(model)
        if getattr(self.part, "main_input_name", "") != "pixel_values":
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} is not shown images but "
                f"{getattr(self.part, 'main_input_name', 'something else')}; language models are family: text"
            )
        self.processor = self._load_processor()
        self.size = self._prepared_size()
        self.seen = self._seen()
        self.taps = self._name_layers(prefix_of(model, self.part))
        self.layouts = self._lay_out()

    def prepare(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """Pixels (image, 3, row, column) of images (row, column, 3), as the image processor makes them."""
        pixels: torch.Tensor = self.saved.ask(
            self.processor, [Image.fromarray(image) for image in images], return_tensors="pt"
        )["pixel_values"]
        return pixels

    def _load_processor(self) -> Any:
        if not (self.saved.located.folder / "preprocessor_config.json").is_file():
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

    def _prepared_size(self) -> tuple[int, int]:
        """Rows and columns that images become, whatever their own."""
        sizes = {
            tuple(self.prepare([np.zeros((*shape, 3), np.uint8)]).shape[2:])
            for shape in ((300, 400), (400, 300), (37, 37))
        }
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
        pixels = torch.zeros((_BLANK, 3, *self.size), device="meta", dtype=self.part.dtype)

        def run() -> Sequence[torch.Tensor]:
            states: Sequence[torch.Tensor] = self.part(
                pixel_values=pixels, output_hidden_states=True
            ).hidden_states
            return states

        self.part.eval()
        try:
            return probe(self.part, run, lambda count: block_paths(self.part, count))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            reason = " ".join(str(error).split())[:200]
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} cannot be shown images of "
                f"{self.size[0]} × {self.size[1]} as its image processor makes them ({reason})"
            ) from None

    def _name_layers(self, prefix: str) -> tuple[Tap, ...]:
        blocks = block_paths(self.part, len(self.seen.states) - 1)
        if not self.seen.embedding or not blocks:
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} is not built of one list of blocks; "
                "choose another network, or read it with family: module"
            )
        paths = [self.seen.embedding, *blocks]
        return tuple(
            Tap(prefix + path, depth, path, state=index)
            for index, (path, depth) in enumerate(zip(paths, relative_depth(paths), strict=True))
        )

    def _lay_out(self) -> tuple[Layout, ...]:
        patches = first_grid(self.part, self.seen)
        found = []
        for tap, shape in zip(self.taps, self.seen.states, strict=True):
            layout = layout_of(shape, _BLANK, patches, square=self.size[0] == self.size[1])
            if layout is None:
                raise NetworkError(
                    f"source '{self.source}': layer '{tap.name}' answers {shape}, which is not an array per "
                    "image; choose another network"
                )
            found.append(layout)
        return tuple(found)
