"""Arrays of features in files of several formats, read row by row; nothing in them is ever executed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neuroalign.errors import NetworkError, choices
from neuroalign.headers import own_member

_HOW = "the numbers alone, as in numpy.save('features.npy', features), items by units"
_FORMATS = (".npy", ".npz", ".tsv", ".h5", ".hdf5", ".zarr")


def open_array(path: str, dataset: str | None = None, beside: Sequence[str] = ()) -> Any:
    """Open a matrix of features, whose rows `array[[0, 5]]` are read when they are asked for.

    Parameters
    ----------
    path : str
        A file in NumPy's formats, a TSV of numbers with one line of names above them, HDF5, or a Zarr store.
    dataset : str, optional
        Name of the array, where the format has names; may be left out where there is only one.
    beside : sequence of str, optional
        Arrays that do not count, since they are something else, such as times.

    Returns
    -------
    array-like (item, unit)

    Raises
    ------
    NetworkError
        There is no such file or array, it cannot be read, or it is not a matrix of numbers.
    """
    array = _stored(path, dataset, beside)
    shape, kinds = getattr(array, "shape", ()), getattr(getattr(array, "dtype", None), "kind", "")
    if len(shape) != 2 or min(shape) == 0 or kinds not in tuple("fiub"):
        raise NetworkError(
            f"path '{path}': the array is {getattr(array, 'dtype', type(array).__name__)} {tuple(shape)}; "
            "expected a matrix of numbers (item, unit)"
        )
    return array


def read_vector(path: str, name: str, length: int) -> np.ndarray:
    """Read an array of times (n,) that lies beside a matrix of `length` rows.

    Raises
    ------
    NetworkError
        There is no such array, or it has not a number for every row.
    """
    array = _stored(path, name, ())
    kinds = getattr(getattr(array, "dtype", None), "kind", "")
    if getattr(array, "shape", ()) not in ((length,), (length, 1)) or kinds not in tuple("fiu"):
        raise NetworkError(
            f"path '{path}': '{name}' is {getattr(array, 'dtype', type(array).__name__)} "
            f"{tuple(getattr(array, 'shape', ()))}; expected a time in seconds for each of {length} rows"
        )
    return np.asarray(array[:], float).ravel()


def _stored(path: str, dataset: str | None, beside: Sequence[str]) -> Any:
    """Whatever lies there under that name."""
    place, kind = Path(path), Path(path).suffix.lower()
    if kind not in _FORMATS:
        raise NetworkError(f"path '{path}': '{kind}' is no format of features: {choices(kind, _FORMATS)}")
    if not place.exists():
        raise NetworkError(f"path: no file at '{path}'; give an array (item, unit)")
    if dataset is not None and kind in (".npy", ".tsv"):
        raise NetworkError(f"path '{path}' holds one array without a name; drop dataset '{dataset}'")
    with reading(path, _HOW):
        if kind == ".npy":
            array: Any = np.load(place, mmap_mode="r", allow_pickle=False)
            if not isinstance(array, np.ndarray):
                array.close()
                raise NetworkError(f"path '{path}': an archive of several arrays; call it .npz")
        elif kind == ".tsv":
            with place.open(encoding="utf-8") as file:
                next(csv.reader(file, delimiter="\t"), None)
                array = np.loadtxt(file, delimiter="\t", ndmin=2)
        elif kind == ".npz":
            with np.load(place, allow_pickle=False) as archive:
                array = archive[_name(path, dataset, archive.files, beside)]
        elif kind == ".zarr":
            array = _of_zarr(path, dataset, beside)
        else:
            import h5py

            stored = h5py.File(place, "r")
            names: list[str] = []
            stored.visititems(lambda name, at: names.append(name) if isinstance(at, h5py.Dataset) else None)
            array = own_member(stored, _name(path, dataset, names, beside))
    return array


def _of_zarr(path: str, dataset: str | None, beside: Sequence[str]) -> Any:
    import zarr

    stored = zarr.open(path, mode="r")
    if isinstance(stored, zarr.Array):
        if dataset is not None:
            raise NetworkError(f"path '{path}' is one array without a name; drop dataset '{dataset}'")
        return stored
    names = [name for name, member in stored.members(max_depth=None) if isinstance(member, zarr.Array)]
    return stored[_name(path, dataset, names, beside)]


def _name(path: str, dataset: str | None, names: list[str], beside: Sequence[str]) -> str:
    """The name of the array: the one asked for, or the only one."""
    if dataset is None and len(left := [name for name in names if name not in beside]) == 1:
        return left[0]
    if dataset not in names:
        asked = (
            "holds several arrays; name one as dataset" if dataset is None else f"has no array '{dataset}'"
        )
        raise NetworkError(f"path '{path}' {asked}: {choices(dataset, names)}")
    return str(dataset)


@contextmanager
def reading(path: str, how: str) -> Iterator[None]:
    """Turn whatever a reader makes of a damaged file into one line that says how to save it."""
    try:
        yield
    except NetworkError:
        raise
    except Exception as error:  # readers of five formats raise what they like
        reason = " ".join(str(error).split())[:160]
        raise NetworkError(
            f"path '{path}': not an array that can be read ({type(error).__name__}: {reason}); save {how}"
        ) from None
