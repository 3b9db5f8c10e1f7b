"""Networks that are shown images: read, prepared, run by batch, and pooled layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from neuroalign.errors import NetworkError
from neuroalign.networks.base import Layer
from neuroalign.networks.items import check_shown
from neuroalign.networks.tapping.projection import Projection
from neuroalign.networks.tapping.taps import Tap, read
from neuroalign.networks.vision.films import FilmWindow, film_windows, in_order
from neuroalign.networks.vision.image_windows import ImageWindow, image_windows
from neuroalign.networks.vision.layouts import Layout
from neuroalign.settings.networks import Images, Pooled
from neuroalign.stimuli.media import check_image, read_image
from neuroalign.stimuli.video import check_film, read_frames


@dataclass(frozen=True)
class ImageModel:
    """A model of any origin that can be shown images.

    Attributes
    ----------
    model : torch.nn.Module
        What is run, on its device.
    prepare : callable
        Makes pixels (image, 3, row, column) of images (row, column, 3), uint8.
    show : callable
        Runs the model on pixels and gives its hidden states, if any tap reads them.
    taps, layouts : tuple
        All layers and how they are laid out.
    kept : tuple of int
        Layers asked for.
    dtype : str
        Of what is kept.
    provenance : dict
    """

    model: torch.nn.Module
    prepare: Callable[[Sequence[np.ndarray]], torch.Tensor]
    show: Callable[[torch.Tensor], Sequence[torch.Tensor]]
    taps: tuple[Tap, ...]
    layouts: tuple[Layout, ...]
    kept: tuple[int, ...]
    dtype: str
    provenance: dict[str, Any]


class ImageNetwork:
    """A network that is shown images; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Pooled
        Of video, `Images` says how many frames of a step are shown.
    model : ImageModel
    seed : int
        Draws the projection.
    """

    def __init__(self, settings: Pooled, model: ImageModel, seed: int) -> None:
        self.settings, self.model = settings, model
        self.layers = tuple(tap.name for tap in model.taps)
        self.depth = tuple(tap.depth for tap in model.taps)
        self.kept = model.kept
        self.projection = Projection(settings.projection, seed)
        self.units = tuple(pooled_units(settings, layout) for layout in model.layouts)
        kept = [model.layouts[index] for index in self.kept]
        self.places = tuple(layout.places for layout in kept) if settings.tokens else ()
        self.token_units = tuple(layout.units for layout in kept) if settings.tokens else ()
        self.provenance: dict[str, Any] = {
            **model.provenance,
            "pooling": settings.pooling,
            **({"projection": settings.projection} if settings.pooling == "flatten" else {}),
            "dtype": model.dtype,
            "batch": settings.batch,
            **({"frames": settings.frames} if isinstance(settings, Images) else {}),
        }

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if there is no item, or an item is no image that can be read."""
        looks = {"image": check_image, "video": check_film}
        check_shown(items, looks, "shown to an image network", "image")

    def windows(
        self, items: pd.DataFrame, rows: Sequence[int] | None = None
    ) -> Sequence[ImageWindow | FilmWindow]:
        """Show each of `rows` (all, when left out) of the items table: images of equal content are equal."""
        if (items["modality"] == "video").any() and isinstance(self.settings, Images):
            return film_windows(items, rows, self.settings.frames)
        return image_windows(items, rows)

    def pictures(self, window: Any) -> list[Any]:
        """What a window shows: an image (row, column, 3), or several of a film, over which is averaged."""
        if isinstance(window, FilmWindow):
            return list(read_frames(window.uri, window.times_s))
        return [read_image(window.uri)]

    def run(self, windows: Sequence[Any], advance: Callable[[int], object] | None = None) -> list[np.ndarray]:
        """Activations (n_windows, n_units) of every kept layer, in the order of `windows`.

        If tokens are kept, those (n_windows, n_tokens, n_units) of every kept layer follow. `advance` is
        called with the number of images in a batch when it is done.

        Raises
        ------
        NetworkError
            Activations are not finite in the dtype asked for, or the device's memory is too small.
        DataError
            An image cannot be read.
        """
        kind, count = np.dtype(self.model.dtype), len(windows)
        found = [np.empty((count, self.units[index]), kind) for index in self.kept]
        found += [
            np.empty((count, len(places), units), kind)
            for places, units in zip(self.places, self.token_units, strict=True)
        ]
        batch, order, done = self.settings.batch, in_order(windows), 0
        while done < count:
            rows, shown = [order[done]], self.pictures(windows[order[done]])
            several = len(shown)
            for row in order[done + 1 : done + max(batch // several, 1)]:
                rows.append(row)
                shown += self.pictures(windows[row])
            if several == 1:
                self._answer(shown, found, rows)
            else:
                self._average(shown, found, rows)
            done += len(rows)
            if advance is not None:
                advance(len(rows))
        return found

    def _average(self, pictures: list[Any], found: list[np.ndarray], rows: list[int]) -> None:
        """Fill in some rows with the mean over their pictures, which may be more than fit into a batch."""
        answers = [np.empty((len(pictures), *values.shape[1:]), values.dtype) for values in found]
        for start in range(0, len(pictures), self.settings.batch):
            some = range(start, min(start + self.settings.batch, len(pictures)))
            self._answer(pictures[some.start : some.stop], answers, list(some))
        for values, whole in zip(found, answers, strict=True):
            of_window = whole.reshape(len(rows), -1, *whole.shape[1:])
            values[rows] = of_window.mean(axis=1, dtype=np.float32)

    def _answer(self, images: list[Any], found: list[np.ndarray], rows: list[int]) -> None:
        """Fill in some rows with what every kept layer answers, layer by layer: no copy of all is held."""
        pixels = self.model.prepare(images)

        def receive(place: int, answer: torch.Tensor) -> None:
            layout = self.model.layouts[self.kept[place]]
            found[place][rows] = self._stored(place, self._pooled(layout, answer))
            if self.places:
                found[len(self.kept) + place][rows] = self._stored(place, layout.patches(answer))

        try:
            with torch.inference_mode():
                taps = [self.model.taps[index] for index in self.kept]
                read(self.model.model, taps, lambda: self.model.show(pixels), receive)
        except torch.OutOfMemoryError:
            raise NetworkError(
                f"{len(images)} images at once are too many for the device's memory; lower batch"
            ) from None

    def _pooled(self, layout: Layout, answer: torch.Tensor) -> torch.Tensor:
        """One vector (image, unit) for each image."""
        if self.settings.pooling == "flatten":
            return self.projection(layout.tokens(answer))
        if self.settings.pooling == "class":
            return answer[:, 0].float()
        return layout.patches(answer).float().mean(dim=1)

    def _stored(self, place: int, values: torch.Tensor) -> np.ndarray:
        """Values in the precision that is kept, to be copied at once: modules may change them in place."""
        stored = np.asarray(values.to(getattr(torch, self.model.dtype)).cpu().numpy())
        # One number says it, without a mask as large as the layer: finite values cannot add up to infinity.
        with np.errstate(invalid="ignore"):
            finite = np.isfinite(stored.sum(dtype=np.float64))
        if not finite:
            raise NetworkError(
                f"layer '{self.layers[self.kept[place]]}' gives values beyond {self.model.dtype}, or not "
                "numbers; set dtype: float32, and if it is float32 check the weights"
            )
        return stored


def pooled_units(settings: Pooled, layout: Layout) -> int:
    """Number of units that are kept of a layer."""
    return min(settings.projection, layout.size) if settings.pooling == "flatten" else layout.units


def check_pooling(
    settings: Pooled, taps: Sequence[Tap], layouts: Sequence[Layout], kept: Sequence[int]
) -> None:
    """Raise a NetworkError where a layer that is kept has not what the settings want of it.

    Raises
    ------
    NetworkError
    """
    for tap, layout in ((taps[index], layouts[index]) for index in kept):
        if settings.pooling == "class" and not layout.has_class:
            raise NetworkError(
                f"pooling is 'class', but layer '{tap.name}' has no class token; set pooling: mean or flatten"
            )
        if settings.tokens and not layout.placed:
            raise NetworkError(
                f"tokens: true, but layer '{tap.name}' has no patches with a place in the image; "
                "leave the layer out, or set tokens: false"
            )


def table_of(taps: Sequence[Tap], layouts: Sequence[Layout], kept: Sequence[int]) -> list[Layer]:
    """What is known of each layer before weights are read."""
    return [
        Layer(tap.name, tap.depth, index in kept, layout.units, layout.counted)
        for index, (tap, layout) in enumerate(zip(taps, layouts, strict=True))
    ]
