"""Video networks of Hugging Face, which are shown clips of a fixed number of frames.

Layers are the library's own hidden states, as in `networks.vision`; frames are prepared by the model's own
image processor.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image

from neuroalign.errors import NetworkError
from neuroalign.networks.base import Layer
from neuroalign.networks.items import check_shown
from neuroalign.networks.tapping.taps import Tap
from neuroalign.networks.vision.films import FilmWindow, film_windows
from neuroalign.networks.vision.images import ImageModel, ImageNetwork, check_pooling, table_of
from neuroalign.networks.vision.layouts import MOST_SPECIAL, Layout
from neuroalign.networks.vision.vision import BLANK, Described, loaded
from neuroalign.settings.media import Video
from neuroalign.stimuli.video import check_film, read_frames


def layer_names(settings: Video) -> list[str]:
    """List the layers of a video network, the embedding first, without reading its weights.

    Raises
    ------
    NetworkError
        The network or its image processor cannot be found, or it is not shown clips.
    """
    return [layer.name for layer in layer_table(settings)]


def layer_table(settings: Video) -> list[Layer]:
    """List the layers with their units, without reading weights.

    Raises
    ------
    NetworkError
        As `layer_names`, or a layer has not what is to be kept of it.
    """
    described = DescribedVideo(settings, weights=False)
    check_pooling(settings, described.taps, described.layouts, described.kept)
    return table_of(described.taps, described.layouts, described.kept)


def open_network(settings: Video, seed: int = 0) -> VideoNetwork:
    """Load a video network and its image processor.

    Parameters
    ----------
    settings : Video
    seed : int
        Draws the weights of a random network, and the projection of `pooling: flatten`.

    Raises
    ------
    NetworkError
        The network, its image processor, its weights, the device, a layer or what is to be kept of it
        cannot be had.
    """
    described = DescribedVideo(settings, weights=settings.weights == "pretrained")
    check_pooling(settings, described.taps, described.layouts, described.kept)
    model = loaded(settings, described, seed)
    model.provenance.update(frames=described.frames, context_s=settings.context_s)
    model.provenance["versions"]["av"] = importlib.metadata.version("av")
    return VideoNetwork(settings, model, seed, described.frames)


class DescribedVideo(Described):
    """A video network as it can be known without its weights.

    Attributes
    ----------
    frames : int
        Of a clip.
    """

    what = "a video network"

    def check_part(self) -> None:
        """Raise a NetworkError if the network is not shown clips."""
        super().check_part()
        frames = getattr(self.part.config, "num_frames", None)
        if not isinstance(frames, int):
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} is not shown clips of frames but single "
                "images; write family: vision, which shows frames one by one"
            )
        self.frames = frames

    def prepare(self, images: Sequence[Sequence[np.ndarray]]) -> torch.Tensor:  # type: ignore[override]
        """Pixels (clip, frame, 3, row, column) of clips of pictures (row, column, 3)."""
        clips = [[Image.fromarray(picture) for picture in clip] for clip in images]
        pixels: torch.Tensor = self.saved.ask(self.processor, clips, return_tensors="pt")["pixel_values"]
        return pixels

    def blank(self, shape: tuple[int, int]) -> torch.Tensor:
        """One black clip of pictures of some shape, prepared."""
        return self.prepare([[np.zeros((*shape, 3), np.uint8)] * self.frames])

    def shape(self) -> tuple[int, ...]:
        """Shape of what is shown to find the layers."""
        return (BLANK, self.frames, 3, *self.size)

    def lay_out(self, tap: Tap) -> Layout:
        """How a layer is laid out: patches at all places and times, what stands before them left out."""
        shape = self.answered(tap)
        patches = self._patches()
        if len(shape) == 2 and shape[0] == BLANK:
            return Layout("vector", shape[1], 0, (1, 1), placed=False)
        if len(shape) == 3 and shape[0] == BLANK and 0 <= shape[1] - patches <= MOST_SPECIAL:
            return Layout("tokens", shape[2], shape[1] - patches, (1, patches), placed=False)
        raise NetworkError(
            f"source '{self.source}': layer '{tap.name}' answers {shape}, not one array for every patch of a "
            "clip; name another layer"
        )

    def _patches(self) -> int:
        """Patches of a clip: places and times that the first convolution cuts it into."""
        for path in self.seen.order:
            shape = self.seen.outputs[path]
            if isinstance(self.part.get_submodule(path), torch.nn.Conv2d | torch.nn.Conv3d):
                return int(np.prod(shape)) // (shape[1] * BLANK)
        raise NetworkError(
            f"source '{self.source}': {type(self.part).__name__} cuts no patches out of a clip; choose "
            "another network"
        )


class VideoNetwork(ImageNetwork):
    """A network that is shown clips; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Video
    model : ImageModel
        Whose pictures are clips.
    seed : int
    frames : int
        Of a clip.
    """

    settings: Video

    def __init__(self, settings: Video, model: ImageModel, seed: int, frames: int) -> None:
        super().__init__(settings, model, seed)
        self.frames = frames

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if there is no item, or an item is no video that can be read."""
        check_shown(items, {"video": check_film}, "shown to a video network", "step of a video")

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[FilmWindow]:
        """Show a clip of each of `rows` (all, when left out) of the items table."""
        return film_windows(items, rows, self.frames, self.settings.context_s)

    def pictures(self, window: FilmWindow) -> list[list[np.ndarray]]:
        """The clip of a window, as the one thing that it shows."""
        return [read_frames(window.uri, window.times_s)]
