"""What the headers of recordings and their JSON sidecars say, without reading the data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroalign.errors import DataError, NeuroalignError

CIFTI = (".dtseries.nii", ".dscalar.nii")
"""How the names of dense CIFTI files end."""

MOST_COMPRESSED = 1032
"""How many bytes of a file one byte of gzip can hold at most (by DEFLATE)."""

_GIFTI_HEAD = 1 << 16


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn whatever a reader stumbles over in a damaged file into a DataError that names the file."""
    try:
        yield
    except (NeuroalignError, MemoryError):
        raise
    except Exception as error:  # libraries raise anything from EOFError to a parser's own errors
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); copy or make the file again") from None


def count_volumes(path: str | Path) -> int:
    """Count the volumes of a recording from its header, or the rows of a table.

    Raises
    ------
    DataError
        The header cannot be read, or says nothing about time.
    """
    path = Path(path)
    with reading(path):
        if path.name.endswith(".tsv"):
            with path.open(encoding="utf-8-sig") as lines:
                return max(sum(1 for line in lines if line.strip()) - 1, 0)
        if path.name.endswith(".gii"):
            return gifti_shape(path)[1]
        import nibabel as nib

        shape = nib.load(path).shape
    if path.name.endswith(CIFTI) and len(shape) == 2:
        return int(shape[0])
    if len(shape) != 4:
        raise DataError(f"{path}: expected a 4-D image, got shape {shape}; give the whole time series")
    return int(shape[3])


def gifti_shape(path: str | Path) -> tuple[int, int]:
    """Read the numbers of vertices and of volumes from the first lines of a GIFTI file."""
    with Path(path).open("rb") as stream:
        head = stream.read(_GIFTI_HEAD).decode("utf-8", "replace")
    arrays = re.search(r'NumberOfDataArrays\s*=\s*"(\d+)"', head)
    vertices = re.search(r'Dim0\s*=\s*"(-?\d+)"', head)
    if arrays is None or vertices is None:
        raise DataError(f"{path}: its header cannot be read (not GIFTI); copy or make the file again")
    columns = re.search(r'Dim1\s*=\s*"(\d+)"', head)
    # Most writers make one array per volume; some make a single array (vertex, volume).
    several = int(arrays[1]) if int(arrays[1]) != 1 or columns is None else int(columns[1])
    # Before anybody makes room for them: a file of n bytes cannot hold more than this.
    if not 0 < int(vertices[1]) * max(several, 1) <= MOST_COMPRESSED * Path(path).stat().st_size:
        raise DataError(
            f"{path}: its header promises {several} arrays of {vertices[1]} vertices, more than its "
            "size can hold; copy or make the file again"
        )
    return int(vertices[1]), several


@contextmanager
def open_mgh(path: str | Path) -> Iterator[Any]:
    """Open an image of FreeSurfer (.mgh, .mgz); its data can be read until the block ends."""
    from nibabel.freesurfer import MGHImage
    from nibabel.openers import ImageOpener

    # nibabel.load would leave the file open.
    with reading(path), ImageOpener(path) as stream:
        yield MGHImage.from_stream(stream.fobj)


def own_member(file: Any, name: str) -> Any:
    """Give a member of an HDF5 file that lies in this file: a link may lead to any other file of the machine.

    Parameters
    ----------
    file : h5py.File
    name : str
        May hold slashes.

    Returns
    -------
    Dataset or Group, or None where there is none

    Raises
    ------
    DataError
        It lies in another file.
    """
    import h5py

    parts = name.strip("/").split("/")
    for number in range(len(parts)):
        link = file.get("/".join(parts[: number + 1]), getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise DataError(
                f"{file.filename}: '{name}' is a link to another file; copy the data into this one"
            )
    member = file.get(name)
    if isinstance(member, h5py.Dataset) and (member.external or member.is_virtual):
        raise DataError(f"{file.filename}: '{name}' is kept in other files; copy the data into this one")
    return member


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; anything else is a DataError that names the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a JSON file ({' '.join(str(error).split())}); mend or remove it"
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a JSON object, got {type(content).__name__}; mend or remove it")
    return content
