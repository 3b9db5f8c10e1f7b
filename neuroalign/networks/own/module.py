"""Image networks of one's own: any torch module, named layer by layer, read by hooks.

The layers that are offered are those of the outermost sequences: the network is opened as far as lists and
sequences reach, and so is a part that holds a sequence of like blocks; every module found there whose
answer has one array for each image is a layer, in the order in which they answer.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from PIL import Image

from neuroalign.errors import NetworkError
from neuroalign.networks.base import Layer, relative_depth
from neuroalign.networks.devices import compute_dtype, find_device
from neuroalign.networks.own.own_module import build, code_facts, read_weights
from neuroalign.networks.tapping.choosing import Offer, depth_of
from neuroalign.networks.tapping.probe import Probe, probe
from neuroalign.networks.tapping.taps import Tap
from neuroalign.networks.vision.images import ImageModel, ImageNetwork, check_pooling, table_of
from neuroalign.networks.vision.layouts import Layout, first_grid, layout_of, units_last
from neuroalign.settings.modules import Module, Preprocessing

_SHOWN = 2
"""Images shown to find the layers, so that the axis of images can be told from others."""

_CONTAINERS = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)
_PASSING = (torch.nn.Identity, torch.nn.Flatten, torch.nn.Dropout, torch.nn.Dropout2d)
"""Modules that only hand on what they are given."""


def layer_names(settings: Module) -> list[str]:
    """List the layers of a module, the shallowest first, without reading its weights.

    Raises
    ------
    NetworkError
        The module cannot be made, or cannot be shown images.
    """
    return [layer.name for layer in layer_table(settings)]


def layer_table(settings: Module) -> list[Layer]:
    """List the layers with their units and grids, without reading weights.

    Raises
    ------
    NetworkError
        As `layer_names`, or a layer has not what is to be kept of it.
    """
    described = _Described(settings, seed=0)
    check_pooling(settings, described.taps, described.layouts, described.kept)
    return table_of(described.taps, described.layouts, described.kept)


def open_network(settings: Module, seed: int = 0) -> ImageNetwork:
    """Make a module, read its weights, and find its layers.

    Parameters
    ----------
    settings : Module
    seed : int
        Draws the weights of a random network, and the projection of `pooling: flatten`.

    Returns
    -------
    ImageNetwork

    Raises
    ------
    NetworkError
        The module, its weights, the device, a layer or what is to be kept of it cannot be had.
    """
    described = _Described(settings, seed)
    check_pooling(settings, described.taps, described.layouts, described.kept)
    digest = "" if settings.weights == "random" else read_weights(settings, described.model)
    device = find_device(settings.device)
    dtype = compute_dtype(settings.dtype, device)
    model = described.model.to(device=device, dtype=dtype)

    def show(pixels: torch.Tensor) -> Sequence[torch.Tensor]:
        model(pixels.to(device, dtype))
        return ()

    provenance = {
        "source": settings.factory,
        "arguments": json.dumps(settings.arguments, sort_keys=True),
        "weights": settings.weights,
        "weights_sha256": digest,
        "seed": seed,
        "architecture": type(model).__name__,
        **code_facts(settings),
        "preprocessing": json.dumps(settings.preprocessing.model_dump(mode="json"), sort_keys=True),
        "device": device.type,
        "compute_dtype": str(dtype).removeprefix("torch."),
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "pillow")},
    }
    return ImageNetwork(
        settings,
        ImageModel(
            model,
            partial(prepare, settings.preprocessing),
            show,
            described.taps,
            described.layouts,
            described.kept,
            settings.dtype,
            provenance,
        ),
        seed,
    )


def prepare(settings: Preprocessing, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Pixels (image, 3, row, column) of images (row, column, 3): resized, cropped, standardised.

    The shorter side becomes `size` (bilinear, with antialiasing), the middle square of `crop` is cut
    out, and 0 … 255 become (value / 255 − mean) / std, for each colour.
    """
    mean, std = np.array(settings.mean, np.float32), np.array(settings.std, np.float32)
    found = [(_cropped(settings, image).astype(np.float32) / 255 - mean) / std for image in images]
    return torch.from_numpy(np.ascontiguousarray(np.stack(found).transpose(0, 3, 1, 2)))


def _cropped(settings: Preprocessing, image: np.ndarray) -> np.ndarray:
    shorter = min(image.shape[:2])
    # The shorter side is exact whatever the rounding.
    rows, columns = (
        settings.size if side == shorter else int(settings.size * side / shorter) for side in image.shape[:2]
    )
    resized = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR))
    top, left = (round((side - settings.crop) / 2) for side in resized.shape[:2])
    return resized[top : top + settings.crop, left : left + settings.crop]


class _Described:
    """A module with its layers, before its weights are read.

    Attributes
    ----------
    model : torch.nn.Module
    taps, layouts : tuple
        All layers and how each is laid out.
    kept : tuple of int
        Those asked for.
    """

    def __init__(self, settings: Module, seed: int) -> None:
        self.factory = settings.factory
        self.model = build(settings, seed)
        self.seen = self._seen(settings.preprocessing.crop)
        patches = first_grid(self.model, self.seen)
        found = {path: self._layout(path, patches) for path in self.seen.order}
        self.found = {path: layout for path, layout in found.items() if layout is not None}
        spine = self._spine()
        offered = [Tap(path, depth, path) for path, depth in zip(spine, relative_depth(spine), strict=True)]
        offer = Offer(offered, (), list(self.found), lambda path: self._tap(path, spine))
        self.taps, self.kept = offer.choose(settings.layers)
        self.layouts = tuple(self.found[tap.path] for tap in self.taps)

    def _seen(self, crop: int) -> Probe:
        pixels = torch.zeros((_SHOWN, 3, crop, crop))

        def run() -> Sequence[torch.Tensor]:
            self.model.float()(pixels)
            return ()

        try:
            return probe(self.model, run)
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise NetworkError(
                f"factory '{self.factory}': {type(self.model).__name__} cannot be shown images of "
                f"(n, 3, {crop}, {crop}) ({type(error).__name__}: {reason})"
            ) from None

    def _layout(self, path: str, patches: tuple[int, int] | None) -> Layout | None:
        last = units_last(self.model.get_submodule(path))
        return layout_of(self.seen.outputs[path], _SHOWN, patches, square=True, last=last)

    def _spine(self) -> list[str]:
        def offered(path: str) -> bool:
            return path in self.found and path not in self.seen.repeated

        spine = outermost_blocks(self.model, offered)
        if not spine:
            raise NetworkError(
                f"factory '{self.factory}': no module of {type(self.model).__name__} answers an array "
                "(image, …); expected images first in every array"
            )
        return sorted(spine, key=self.seen.order.index)

    def _tap(self, path: str, spine: Sequence[str]) -> Tap:
        if path in self.seen.repeated:
            raise NetworkError(f"module '{path}' runs several times in one pass; name another layer")
        return Tap(path, depth_of(path, spine, self.seen.order), path)


def outermost_blocks(model: torch.nn.Module, offered: Callable[[str], bool], path: str = "") -> list[str]:
    """List the layers of a module: what stands in its outermost sequences; see the top of this file.

    Parameters
    ----------
    model : torch.nn.Module
    offered : callable
        Whether the module at a path can be a layer.
    path : str
        Path of `model` itself.
    """
    found = []
    for name, child in model.named_children():
        inside = f"{path}.{name}" if path else name
        if isinstance(child, _CONTAINERS) or _holds_blocks(child) or not offered(inside):
            found += outermost_blocks(child, offered, inside)
        elif not isinstance(child, _PASSING):
            found.append(inside)
    return found


def _holds_blocks(module: torch.nn.Module) -> bool:
    """Whether a part holds a sequence of like blocks, which are modules that have modules of their own."""
    for part in module.modules():
        if isinstance(part, _CONTAINERS):
            kinds = [
                type(child)
                for child in part.children()
                if not isinstance(child, _CONTAINERS) and next(child.children(), None) is not None
            ]
            if len(kinds) > len(set(kinds)):
                return True
    return False
