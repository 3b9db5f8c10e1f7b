"""The nouns on disk: built, checked, saved in one step and opened with one call.

Tables are Parquet, responses and scores netCDF-4, activations Zarr. Whatever is saved is first
written under a temporary name beside its place and then moved there, so that a file that exists
is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts.atomic import replacing
from neuroalign.errors import DataError

TARGET_COORDINATES = (
    *("name", "hemi", "vertex", "i", "j", "k", "x", "y", "z", "roi"),
    *("channel", "channel_type", "latency", "valid"),
)
"""Target coordinates that travel from responses to scores and maps, where they are present."""


def save_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def open_table(path: str | Path) -> pd.DataFrame:
    """Read a Parquet table.

    Raises
    ------
    DataError
        The file is missing or not Parquet.
    """
    _must_exist(path)
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, "a Parquet table", error) from None


def save_arrays(dataset: xr.Dataset, path: str | Path) -> None:
    """Write a dataset as netCDF-4; equal datasets give equal bytes.

    Nothing is compressed: noisy floats shrink by a tenth and take ten times as long.
    """
    with replacing(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")


def open_arrays(path: str | Path, target: slice | None = None, lazily: bool = False) -> xr.Dataset:
    """Read a netCDF-4 dataset into memory, or only some of its targets.

    Lazily, every array is read from the file whenever it is asked for, and not kept.

    Raises
    ------
    DataError
        The file is missing or not netCDF-4.
    """
    _must_exist(path)
    try:
        if lazily:
            return xr.open_dataset(path, engine="h5netcdf", cache=False)
        if target is None:
            return xr.load_dataset(path, engine="h5netcdf")
        with xr.open_dataset(path, engine="h5netcdf") as found:
            return found.isel(target=target).load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _damaged(path, "a netCDF-4 file", error) from None


def shape_of(path: str | Path, name: str) -> tuple[int, ...]:
    """The shape of one array of a netCDF-4 dataset, without reading it.

    Raises
    ------
    DataError
        The file is missing or not netCDF-4.
    """
    _must_exist(path)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as found:
            return tuple(found[name].shape)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _damaged(path, "a netCDF-4 file", error) from None


def save_json(content: Mapping[str, Any], path: str | Path) -> None:
    """Write a mapping as indented JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def build_responses(
    data: np.ndarray,
    samples: pd.DataFrame,
    targets: pd.DataFrame,
    /,
    **attributes: Any,
) -> xr.Dataset:
    """Label the responses of one subject.

    Parameters
    ----------
    data : array (n_samples, n_targets)
        Constant or non-finite targets are set to NaN and marked `valid = False`.
    samples : DataFrame (n_samples rows)
        Columns `run` (label) and `time_s` (seconds from the first volume of that run, or a trial's
        number within it).
    targets : DataFrame (n_targets rows)
        Any of `TARGET_COORDINATES` save `valid`.
    **attributes
        `subject`, `task`, `kind` (surface, volume, cifti, parcels or sensors), `space`, `tr` for time
        series or `samples` = "trials", and whatever places
        the targets: `affine` and `shape` for volumes, `vertices` (left, right) for surfaces, all of
        them for cifti; of sensors `sampling_hz`, `montage` and their numbers.

    Returns
    -------
    xr.Dataset
        Variable `response` (sample, target), float32.

    Raises
    ------
    DataError
        The shapes disagree, or no target varies.
    """
    if data.shape != (len(samples), len(targets)):
        raise DataError(
            f"responses of sub-{attributes.get('subject')}: data {data.shape} do not fit "
            f"{len(samples)} samples × {len(targets)} targets"
        )
    data = np.asarray(data, np.float32)
    with np.errstate(invalid="ignore"):
        valid = np.isfinite(data).all(axis=0) & (data.max(axis=0) > data.min(axis=0))
    if not np.isnan(data[:, ~valid]).all():  # or else nothing changes, and a copy would be for nothing
        data = np.where(valid, data, np.float32(np.nan))
    coordinates: dict[str, Any] = {
        "run": ("sample", samples["run"].astype(str).to_numpy(object)),
        "time_s": ("sample", samples["time_s"].to_numpy(float)),
        "valid": ("target", valid),
    }
    for name in targets.columns:
        values = targets[name].to_numpy()
        number = values.dtype.kind in "iuf"
        coordinates[str(name)] = ("target", values if number else values.astype(object))
    return xr.Dataset({"response": (("sample", "target"), data)}, coordinates, attributes)


def target_coordinates(dataset: xr.Dataset) -> dict[str, Any]:
    """The target coordinates of responses or scores, to be handed on to what is made from them."""
    return {name: dataset[name] for name in TARGET_COORDINATES if name in dataset.coords}


PLACE_ATTRIBUTES = (
    *("subject", "task", "kind", "space", "samples", "tr", "affine", "shape", "vertices"),
    *("sampling_hz", "montage", "n_channels", "n_latencies"),
)


def place_attributes(dataset: xr.Dataset) -> dict[str, Any]:
    """The attributes that say whose targets these are and where they lie."""
    return {name: dataset.attrs[name] for name in PLACE_ATTRIBUTES if name in dataset.attrs}


@dataclass(frozen=True)
class Activations:
    """The activations of one network, one array (item, unit) per layer, read when asked for.

    Attributes
    ----------
    path : Path
        The Zarr store.
    layers : tuple of str
        Module paths; index 0 is the embedding.
    attributes : dict
        Provenance: network, source, revision, weights hash, context, pooling, versions.
    inputs : array (item,) of uint64
        A digest of what the network saw for each item: equal inputs have equal digests.
    """

    path: Path
    layers: tuple[str, ...]
    attributes: dict[str, Any]
    inputs: np.ndarray

    @property
    def depth(self) -> np.ndarray:
        """Relative depth of every layer kept: its index in the network over the last index."""
        return np.asarray(self.attributes["depth"], float)

    def read(self, layer: int) -> np.ndarray:
        """The array (item, unit) of one layer, by its place in `layers`."""
        import zarr

        with _whole(self.path):
            return np.asarray(zarr.open_group(self.path, mode="r")[f"{layer_group(layer)}/activation"])

    @property
    def has_tokens(self) -> bool:
        """Whether single tokens, such as the patches of an image, were kept of every layer."""
        return bool(self.attributes.get("tokens"))

    def tokens(self, layer: int) -> tuple[Any, np.ndarray]:
        """The Zarr array (item, token, unit) of one layer, not read yet, and places (token, axis)."""
        import zarr

        with _whole(self.path):
            group = zarr.open_group(self.path, mode="r")[layer_group(layer)]
            assert isinstance(group, zarr.Group)
            return group["token"], np.asarray(group["place"])

    @property
    def timed(self) -> bool:
        """Whether items are rows with times of their own, not stimuli of the study."""
        return "own_events" in self.attributes

    def own_events(self) -> pd.DataFrame:
        """When items that have times of their own reach which recordings.

        Columns subject, session, task, run, onset (s), duration (s) and item.
        """
        import zarr

        with _whole(self.path):
            group = zarr.open_group(self.path, mode="r")["own_event"]
            assert isinstance(group, zarr.Group)
            runs = pd.DataFrame(cast(list[Any], group.attrs["runs"])).iloc[np.asarray(group["run"])]
            columns = {name: np.asarray(group[name]) for name in OWN_EVENTS}
            return runs.reset_index(drop=True).assign(**columns)


OWN_EVENTS = ("onset", "duration", "item")
"""What is kept of every event of a network with a clock of its own, beside its run."""


def save_own_events(group: Any, events: pd.DataFrame) -> None:
    """Write events into a Zarr store of activations; see `Activations.own_events`."""
    into = group.create_group("own_event")
    columns = [str(name) for name in events.columns if name not in OWN_EVENTS]
    runs = events[columns].drop_duplicates()
    number = pd.MultiIndex.from_frame(runs).get_indexer(pd.MultiIndex.from_frame(events[columns]))
    into.create_array("run", data=number.astype(np.int64), dimension_names=("event",))
    for name in OWN_EVENTS:
        into.create_array(name, data=events[name].to_numpy(), dimension_names=("event",))
    into.update_attributes({"runs": runs.to_dict("records")})


def layer_group(layer: int) -> str:
    """Name of the Zarr group that holds one layer."""
    return f"layer-{layer:03d}"


def describe_activations(path: str | Path, attributes: Mapping[str, Any]) -> None:
    """Add attributes to the activations of a network."""
    import zarr

    zarr.open_group(path, mode="r+").update_attributes(dict(attributes))


def open_activations(path: str | Path) -> Activations:
    """Open the activations of a network.

    Raises
    ------
    DataError
        The store is missing, damaged, or its extraction did not end.
    """
    import zarr

    path = Path(path)
    _must_exist(path)
    try:
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
        inputs = np.asarray(group["input"])
        layers = tuple(str(name) for name in cast(list[Any], attributes["layers"]))
    except (OSError, KeyError, ValueError, zarr.errors.BaseZarrError) as error:
        raise _damaged(path, "a Zarr store of activations", error) from None
    if not attributes.get("complete"):
        raise DataError(f"{path}: the extraction did not end; run it again, it goes on where it stopped")
    return Activations(path, layers, attributes, inputs)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Name the store in whatever its reader says of a part that is gone or damaged."""
    try:
        yield
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise _damaged(path, "a whole Zarr store of activations", error) from None


def _must_exist(path: str | Path) -> None:
    if not Path(path).exists():
        raise DataError(f"{path}: no such file; run the stage that makes it first")


def _damaged(path: str | Path, expected: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(
        f"{path}: expected {expected}, but it cannot be read ({reason}); remove it and run again"
    )
