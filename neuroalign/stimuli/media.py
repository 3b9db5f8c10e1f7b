"""Images by their address: a file, one of a stack of images in an HDF5 file, or all images of a folder.

An address (`uri`) is a path, or `PATH::DATASET[NUMBER]` for image NUMBER, from 0, of a stack
(image, height, width, channel) in an HDF5 file, as NSD's `imgBrick` is one. The path of a folder stands for
all images below it: where a block shows many, nobody may have written down which one when.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from neuroalign.errors import DataError
from neuroalign.headers import own_member
from neuroalign.stimuli.reading import reading

MOST_PIXELS = 100_000_000
"""An image that claims more is refused: it would not fit into memory, or is meant not to."""

_IMAGE = "an image"
_IN_STACK = re.compile(r"(?P<path>.+)::(?P<dataset>[^\[\]]+)\[(?P<number>\d+)\]")


def in_stack(path: str | Path, dataset: str, number: int) -> str:
    """Write the address of one image of a stack.

    >>> in_stack("nsd_stimuli.hdf5", "imgBrick", 7)
    'nsd_stimuli.hdf5::imgBrick[7]'
    """
    return f"{path}::{dataset}[{number}]"


def images_within(uri: str) -> list[str]:
    """Addresses of the images below a folder, in the order of their names; none where it is no folder.

    Images are told by the endings that Pillow knows.

    Raises
    ------
    DataError
        The folder holds no image.
    """
    if not Path(uri).is_dir():
        return []
    from PIL import Image

    known = Image.registered_extensions()
    found = sorted(
        str(path) for path in Path(uri).rglob("[!.]*") if path.suffix.lower() in known and path.is_file()
    )
    if not found:
        raise DataError(f"{uri}: a folder without an image; put the images into it that were shown")
    return found


def read_image(uri: str) -> np.ndarray:
    """Read an image as (height, width, 3) uint8, RGB; transparency is laid on white.

    Raises
    ------
    DataError
        There is no such image, or it cannot be read as one.
    """
    if place := _IN_STACK.fullmatch(uri):
        values = _of_stack(uri, Path(place["path"]), place["dataset"], int(place["number"]))
        return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
    from PIL import Image

    with reading(uri, _IMAGE), _opened(uri) as image:
        if not image.has_transparency_data:
            return np.asarray(image.convert("RGB"))
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        return np.asarray(Image.alpha_composite(white, over).convert("RGB"))


@contextmanager
def _opened(uri: str) -> Iterator[Any]:
    """Open an image by its header, if it is not larger than any that was ever shown."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, in our own words
        with Image.open(uri) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(f"{uri}: {image.width} × {image.height} pixels; give at most 100 megapixels")
            yield image


def check_image(uri: str) -> str:
    """Look whether there is such an image, by its header; nothing is known of its content then.

    Raises
    ------
    DataError
        There is none.
    """
    if place := _IN_STACK.fullmatch(uri):
        _stack(uri, Path(place["path"]), place["dataset"], int(place["number"]))
        return ""
    if several := images_within(uri):
        for each in several:
            check_image(each)
        return ""
    with reading(uri, _IMAGE), _opened(uri):
        return ""


def content_digest(uri: str) -> str:
    """A short hash of what stands at an address: equal images in equal files have equal ones.

    Raises
    ------
    DataError
        There is no such image.
    """
    if place := _IN_STACK.fullmatch(uri):
        content = _of_stack(uri, Path(place["path"]), place["dataset"], int(place["number"])).tobytes()
    elif several := images_within(uri):
        content = "\n".join(sorted(map(content_digest, several))).encode()
    else:
        check_image(uri)
        with reading(uri, _IMAGE):
            content = Path(uri).read_bytes()
    return hashlib.sha256(content).hexdigest()[:16]


def _of_stack(uri: str, path: Path, name: str, number: int) -> np.ndarray:
    """One image (height, width, 1 or 3) of a stack."""
    stack = _stack(uri, path, name, number)
    with reading(uri, _IMAGE):
        values = np.asarray(stack[number])
    return values[..., None] if values.ndim == 2 else values


def _stack(uri: str, path: Path, name: str, number: int) -> Any:
    with reading(uri, _IMAGE):
        state = path.stat()
        file = _open_stack(path, state.st_mtime_ns, state.st_size)
        stack = own_member(file, name)
    if stack is None or not hasattr(stack, "shape"):
        raise DataError(f"{path}: no dataset '{name}'; it holds {', '.join(file) or 'nothing'}")
    shape = stack.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)) or stack.dtype != np.uint8:
        raise DataError(
            f"{path}: '{name}' is {stack.dtype} {shape}; expected uint8 (image, height, width, 3)"
        )
    if number >= len(stack):
        raise DataError(f"{path}: image {number} of '{name}', which holds {len(stack)}; numbers begin at 0")
    return stack


@lru_cache(maxsize=4)
def _open_stack(path: Path, _modified: int, _size: int) -> Any:
    import h5py

    return h5py.File(path, "r")
