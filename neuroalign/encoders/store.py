"""Fitted encoders on disk: a folder with `encoder.json` and `weights.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError, safe_open

from neuroalign.artefacts.arrays import save_json
from neuroalign.errors import DataError

WEIGHTS, SETTINGS = "weights.safetensors", "encoder.json"

_NAMES = {"float32": "F32", "float64": "F64"}
_TYPES = {name: np.dtype(dtype).newbyteorder("<") for dtype, name in _NAMES.items()}


def create(folder: Path, shapes: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, np.ndarray]:
    """Arrays mapped to the weights of a new encoder, to be filled piece by piece.

    Parameters
    ----------
    folder : Path
        Exists already.
    shapes : dict
        Name → (shape, dtype).
    """
    header, place = {}, 0
    for name, (shape, dtype) in shapes.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        header[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path = folder / WEIGHTS
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + place)
    return _mapped(path, "r+")


def finish(arrays: Mapping[str, np.ndarray], folder: Path, kind: str, parameters: Mapping[str, Any]) -> None:
    """Complete an encoder whose arrays have been filled: write them out, and which encoder this is."""
    for array in arrays.values():
        if isinstance(array, np.memmap):
            array.flush()
    save_json({"encoder": kind, "parameters": dict(parameters)}, folder / SETTINGS)


def settings(path: str | Path, kind: str) -> dict[str, Any]:
    """What `encoder.json` says.

    Raises
    ------
    DataError
        The folder holds no encoder of this kind.
    """
    try:
        found = json.loads((Path(path) / SETTINGS).read_text(encoding="utf-8"))
        if found["encoder"] != kind:
            raise ValueError(f"it holds a {found['encoder']}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a saved {kind} ({error})") from None
    return dict(found)


def load(path: str | Path, kind: str, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Parameters and arrays of a saved encoder; arrays stay in the file until they are used.

    Raises
    ------
    DataError
        The folder holds no encoder of this kind, or its files are damaged.
    """
    folder = Path(path)
    try:
        parameters = dict(settings(path, kind)["parameters"])
        with safe_open(folder / WEIGHTS, "numpy"):  # whole, and what its header says
            arrays = _mapped(folder / WEIGHTS, "r")
        return dict(parameters), {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"{path}: not a saved {kind} ({error})") from None


def _mapped(path: Path, mode: Literal["r", "r+"]) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {name: _map_one(path, mode, 8 + length, **entry) for name, entry in header.items()}


def _map_one(
    path: Path, mode: Literal["r", "r+"], start: int, dtype: str, shape: list[int], data_offsets: list[int]
) -> np.ndarray:
    if 0 in shape:
        return np.empty(shape, _TYPES[dtype])
    return np.memmap(path, _TYPES[dtype], mode, start + data_offsets[0], tuple(shape))
