"""The extraction loop: every item through a network, into a Zarr store, a chunk of items at a time.

The store grows in a folder beside its place, `NET.zarr.partial`, which a killed job leaves behind and
the next one goes on with; it is moved into place when it is whole. Within a chunk equal windows are
computed once; memory is bounded by one chunk of all layers, of single tokens by one batch.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from tqdm import tqdm

from neuroalign.artefacts.arrays import layer_group, save_json, save_own_events
from neuroalign.errors import DataError
from neuroalign.networks.base import OpenNetwork, OwnClock
from neuroalign.networks.families import open_network
from neuroalign.networks.origins import origin_digest
from neuroalign.settings.networks import Network
from neuroalign.stimuli.media import images_within

ITEMS_PER_CHUNK = 512
CHUNK_BYTES = 256 * 2**20
"""Most bytes of a chunk, all layers together; very wide networks get fewer items per chunk."""

NOUNS = {"text": "word", "audio": "clip", "video": "clip"}
"""What an item of a modality is called, where that is not the modality itself."""

_log = logging.getLogger("neuroalign")


def extract(
    settings: Network,
    name: str,
    items: pd.DataFrame,
    path: str | Path,
    seed: int = 0,
    events: pd.DataFrame | None = None,
) -> None:
    """Extract a network's activations for all items and save them as a Zarr store.

    Parameters
    ----------
    settings : Network
    name : str
        The network's name in the study.
    items : DataFrame
        Columns passage, position, modality and text, and for media uri and digest, as the stage
        `stimuli` writes them.
    path : str or Path
        The store to make, such as `activations/NET.zarr`; open it with `arrays.open_activations`.
    seed : int
        Draws the weights of a random network.
    events : DataFrame, optional
        Of the study, for networks with a clock of their own: runs are taken from it, and items are theirs.

    Raises
    ------
    NetworkError
        The network cannot be loaded or run as asked.
    DataError
        An item cannot be shown to the network.
    """
    network, timing = open_network(settings, seed), None
    if isinstance(network, OwnClock):
        if events is None:
            raise DataError(
                f"networks.{name}: features over time need the events, which say what runs there are"
            )
        items, timing = network.time_course(events)
    network.check_items(items)
    attributes = {**_attributes(network, name, items), "files": origin_digest(settings)}
    if timing is not None:
        attributes["own_events"] = hashlib.sha256(timing.to_json(orient="values").encode()).hexdigest()
    store = _Partial(Path(path), attributes, network, len(items), timing)
    shown = NOUNS.get(str(items["modality"].iloc[0]), str(items["modality"].iloc[0]))
    _log.info(
        "%s: %s, %d of %d layers, %d %ss, on %s",
        name,
        settings.named,
        len(network.kept),
        len(network.layers),
        len(items),
        shown,
        network.provenance.get("device", "cpu"),
    )
    with tqdm(total=len(items), initial=store.items_done, desc=name, unit=shown, disable=None) as bar:
        watch = _Watch(name, bar, len(items) - store.items_done, shown)
        for start in range(store.items_done, len(items), store.chunk):
            rows = range(start, min(start + store.chunk, len(items)))
            store.write(rows, *_chunk(network, items, rows, watch))
    store.finish()


def _chunk(
    network: OpenNetwork[Any], items: pd.DataFrame, rows: range, watch: _Watch
) -> tuple[np.ndarray, list[np.ndarray], int]:
    """Digests, activations of every kept layer and number of shortened windows, for some rows."""
    windows = network.windows(items, rows)
    digests = np.array([window.digest for window in windows], np.uint64)
    _, first, place = np.unique(digests, return_index=True, return_inverse=True)
    # By where they come first, not by digest: where none comes twice, nothing has to be moved.
    first, place = _in_order(first, place)
    layers = _run(network, [windows[index] for index in first], watch)
    watch.repeated(len(windows) - len(first))
    truncated = sum(window.truncated for window in windows)
    if len(first) == len(windows) and (place == np.arange(len(windows))).all():
        return digests, layers, truncated
    return digests, [layer[place] for layer in layers], truncated


def _run(network: OpenNetwork[Any], windows: list[Any], watch: _Watch) -> list[np.ndarray]:
    """Activations of windows; those of a folder of images are the mean over its images."""
    within = [images_within(window.uri) if hasattr(window, "uri") else [] for window in windows]
    single = [place for place, images in enumerate(within) if not images]
    if len(single) == len(windows):
        return network.run(windows, watch.advance)
    alone = network.run([windows[place] for place in single], watch.advance) if single else []
    found: list[list[Any]] = [[None] * len(windows) for _ in alone]
    for place, images in enumerate(within):
        if images:
            shown = [replace(windows[place], uri=uri) for uri in images]
            answers = [
                values.mean(axis=0, dtype=np.float32).astype(values.dtype) for values in network.run(shown)
            ]
            watch.advance(1)
        else:
            answers = [values[single.index(place)] for values in alone]
        found = found or [[None] * len(windows) for _ in answers]
        for layer, answer in zip(found, answers, strict=True):
            layer[place] = answer
    return [np.stack(layer) for layer in found]


def _in_order(first: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct windows by where they come first, and for every window which of them it is."""
    order = np.argsort(first)
    return first[order], np.argsort(order)[place]


class _Watch:
    """Moves the progress bar and says once, early on, how long the rest will take."""

    def __init__(self, name: str, bar: Any, items: int, noun: str) -> None:
        self.name, self.bar, self.items, self.noun = name, bar, items, noun
        self.done = self.batches = 0
        self.start = 0.0

    def advance(self, items: int) -> None:
        self.bar.update(items)
        self.batches += 1
        if self.batches == 1:
            # The first batch also pays for starting up, and is not timed.
            self.start = time.perf_counter()
            return
        self.done += items
        if self.batches == 4:
            rate = self.done / max(time.perf_counter() - self.start, 1e-9)
            _log.info("%s: %.3g %ss/s, about %.0f s in all", self.name, rate, self.noun, self.items / rate)

    def repeated(self, items: int) -> None:
        self.bar.update(items)


def _attributes(network: OpenNetwork[Any], name: str, items: pd.DataFrame) -> dict[str, Any]:
    """Everything that the activations depend on, as JSON: a store made of the same can be continued."""
    provenance = dict(network.provenance)
    versions = provenance.pop("versions")
    known = [name for name in ("passage", "position", "text", "digest") if name in items]
    listed = items[known].to_json(orient="values")
    return {
        "network": name,
        **provenance,
        "layers": [network.layers[index] for index in network.kept],
        "depth": [network.depth[index] for index in network.kept],
        "units": [network.units[index] for index in network.kept],
        "tokens": [len(places) for places in network.places],
        "token_units": list(network.token_units),
        "items_digest": hashlib.sha256(listed.encode()).hexdigest(),
        "versions": {
            **versions,
            **{package: importlib.metadata.version(package) for package in ("numpy", "zarr")},
        },
    }


class _Partial:
    """A store in the making: created, or taken up where a killed job left it.

    Its folder holds the store and `progress.json`, which is replaced after each chunk is written:
    a chunk that was cut short is not counted and is written anew.
    """

    def __init__(
        self,
        path: Path,
        attributes: dict[str, Any],
        network: OpenNetwork[Any],
        n_items: int,
        timing: pd.DataFrame | None = None,
    ) -> None:
        self.path, self.timing = path, timing
        self.folder = path.with_name(f"{path.name}.partial")
        self.n_items = n_items
        self.shapes = _stored(attributes["units"], attributes["tokens"], attributes["token_units"])
        self.places, self.dtype = network.places, np.dtype(attributes["dtype"])
        fitting = CHUNK_BYTES // (sum(map(math.prod, self.shapes.values())) * self.dtype.itemsize)
        # Of tokens one batch at a time is held: what the network answers, and what it takes to answer.
        at_once = int(network.provenance.get("batch", n_items)) if network.places else n_items
        self.chunk = int(min(ITEMS_PER_CHUNK, at_once, max(fitting, 1), n_items))
        self.fingerprint = _fingerprint({**attributes, "chunk": self.chunk})
        self.items_done = self.truncated = 0
        if self._left_behind():
            _log.info("%s: goes on at item %d of %d", path.name, self.items_done, n_items)
            self.group = zarr.open_group(self.folder / path.name, mode="r+")
        else:
            self.group = self._create(attributes)

    def _left_behind(self) -> bool:
        """Take up the progress of a killed job, if it was doing the same."""
        if not self.folder.exists():
            return False
        try:
            progress = json.loads((self.folder / "progress.json").read_text(encoding="utf-8"))
            same = progress["fingerprint"] == self.fingerprint
            done, truncated = int(progress["items"]), int(progress["truncated"])
        except (OSError, ValueError, KeyError, TypeError):
            same = False
        if same and (self.folder / self.path.name).is_dir():
            self.items_done, self.truncated = done, truncated
            return True
        _log.info("%s: discarded, it was begun with other settings, items or weights", self.folder)
        shutil.rmtree(self.folder)
        return False

    def _create(self, attributes: dict[str, Any]) -> zarr.Group:
        self.folder.mkdir(parents=True)
        group = zarr.open_group(
            self.folder / self.path.name, mode="w", attributes={"complete": False, **attributes}
        )
        group.create_array(
            "input", shape=(self.n_items,), chunks=(self.chunk,), dtype="uint64", dimension_names=("item",)
        )
        for name, shape in self.shapes.items():
            single = len(shape) > 1
            # Tokens are read a few items at a time, anywhere; one file still holds a chunk of items.
            group.create_array(
                name,
                shape=(self.n_items, *shape),
                chunks=(1 if single else self.chunk, *shape),
                shards=(self.chunk, *shape) if single else None,
                dtype=self.dtype,
                dimension_names=("item", *(("token",) if single else ()), "unit"),
            )
        for number, places in enumerate(self.places):
            where = np.asarray(places, np.float32)
            group.create_array(f"{layer_group(number)}/place", data=where, dimension_names=("token", "axis"))
        if self.timing is not None:
            save_own_events(group, self.timing)
        # Only now is there a store to go on with.
        self._count()
        return group

    def write(self, rows: range, inputs: np.ndarray, layers: list[np.ndarray], truncated: int) -> None:
        """Write one chunk of all layers, then count it as done."""
        place = slice(rows.start, rows.stop)
        for name, values in zip(self.shapes, layers, strict=True):
            self._array(name)[place] = values
        self._array("input")[place] = inputs
        self.items_done = rows.stop
        self.truncated += truncated
        self._count()

    def _count(self) -> None:
        progress = {"fingerprint": self.fingerprint, "items": self.items_done, "truncated": self.truncated}
        save_json(progress, self.folder / "progress.json")

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self.group[name]
        assert isinstance(array, zarr.Array)
        return array

    def finish(self) -> None:
        """Mark the store as whole and move it into place."""
        if self.truncated:
            note = "%s: %d items have less context than asked for: the network takes no more"
            _log.warning(note, self.path.name, self.truncated)
        self.group.update_attributes({"max_context_truncated": self.truncated, "complete": True})
        if self.path.exists():
            shutil.rmtree(self.path)
        os.replace(self.folder / self.path.name, self.path)
        shutil.rmtree(self.folder)


def _stored(
    units: Sequence[int], tokens: Sequence[int], token_units: Sequence[int]
) -> dict[str, tuple[int, ...]]:
    """Arrays of a store and the shape of an item in each: every layer's activation, then its tokens."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number, size in enumerate(units):
        shapes[f"{layer_group(number)}/activation"] = (size,)
    for number, shape in enumerate(zip(tokens, token_units, strict=True)):
        shapes[f"{layer_group(number)}/token"] = shape
    return shapes


def _fingerprint(attributes: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()
