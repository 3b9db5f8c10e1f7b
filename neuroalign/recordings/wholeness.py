"""Is a recording all there? Told from its header and its end, without decoding it."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

from neuroalign.errors import DataError
from neuroalign.headers import CIFTI, MOST_COMPRESSED, open_mgh, reading

_CHUNK = 1 << 22


def check_whole(path: str | Path) -> None:
    """Check that a recording has the size its header promises.

    Compressed NIfTI is judged by the length that gzip writes at its end, modulo 2^32 bytes; only where
    that does not fit (a cut file, or one of several gzip members) is the file decompressed.

    Raises
    ------
    DataError
        The file is missing, cut off or has no usable header.
    """
    path = Path(path)
    if not path.exists():
        link = "a link to nothing: download it, as with 'datalad get'"
        raise DataError(f"{path}: no such file; {link if path.is_symlink() else 'add it'}")
    with reading(path):
        if path.name.endswith(".gii"):
            _check_gifti(path)
        elif path.name.endswith(".tsv"):
            _check_table(path)
        elif path.name.endswith(".mgh"):
            with open_mgh(path) as image:
                _check_image(path, image)
        elif path.name.endswith((".nii", ".nii.gz")):
            import nibabel as nib

            _check_image(path, nib.load(path))


def header_tr(path: str | Path) -> float | None:
    """Read the repetition time (s) from a NIfTI or CIFTI header, or None where it does not state it."""
    import nibabel as nib

    with reading(path):
        header: Any = nib.load(path).header
        if str(path).endswith(CIFTI):
            axis = header.get_axis(0)
            return float(axis.step) if getattr(axis, "unit", None) == "SECOND" else None
        seconds = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(header.get_xyzt_units()[1])
        zooms = header.get_zooms()
    # Without a unit the value is what the writing program left there, most often 1.
    return float(zooms[3]) * seconds if seconds and len(zooms) > 3 and zooms[3] > 0 else None


def _check_image(path: Path, image: Any) -> None:
    cifti = path.name.endswith(CIFTI)
    if len(image.shape) != 4 and not cifti:
        raise DataError(f"{path}: expected a 4-D image, got shape {image.shape}; give the whole time series")
    check_size(path, image)


def check_size(path: Path, image: Any) -> None:
    """Check that the file of an image can hold what its header promises, before memory is asked for.

    Raises
    ------
    DataError
        It cannot.
    """
    cifti = path.name.endswith(CIFTI)
    header = image.nifti_header if cifti else image.header
    size = math.prod(map(int, image.shape)) * header.get_data_dtype().itemsize
    expected = image.dataobj.offset + size
    if path.name.endswith(".gz"):
        most = MOST_COMPRESSED * path.stat().st_size
        if expected > most:
            raise DataError(
                f"{path}: its header promises {expected} bytes, but a file of its size holds no more than "
                f"{most}; copy or make the file again"
            )
        with path.open("rb") as stream:
            stream.seek(-4, 2)
            written = int.from_bytes(stream.read(4), "little")
        actual = expected if written == expected % 2**32 else _decompressed_size(path)
    else:
        actual = path.stat().st_size
    if actual < expected:
        raise DataError(
            f"{path}: cut off: its header promises {expected} bytes, there are {actual}; copy the file again"
        )


def _decompressed_size(path: Path) -> int:
    size = 0
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass  # as far as it goes
    return size


def _check_gifti(path: Path) -> None:
    found, promised, tail = 0, None, b""
    tag = b"<DataArray"
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            text = tail + chunk
            if promised is None:
                promised = _promised_arrays(path, text)
            found += text.count(tag)
            tail = text[-len(tag) + 1 :]
            last = text[-256:]
    if promised is None:
        raise DataError(f"{path}: the file is empty; copy it again")
    if b"</GIFTI>" not in last:
        raise DataError(
            f"{path}: cut off: no closing </GIFTI> after {found} of {promised} volumes; copy it again"
        )
    if found < promised:
        raise DataError(
            f"{path}: {found} data arrays, but its header promises {promised}; copy the file again"
        )


def _promised_arrays(path: Path, text: bytes) -> int:
    start = text.find(b"NumberOfDataArrays")
    quoted = text[start:].split(b'"', 2) if start >= 0 else []
    if len(quoted) < 3 or not quoted[1].isdigit():
        raise DataError(f"{path}: its header cannot be read (not GIFTI); copy or make the file again")
    return int(quoted[1])


def _check_table(path: Path) -> None:
    lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if len(lines) < 2:
        raise DataError(f"{path}: the table is empty; expected a header line and one row per volume")
    columns, last = (line.count("\t") + 1 for line in (lines[0], lines[-1]))
    if last != columns:
        raise DataError(
            f"{path}: cut off: the last line has {last} of {columns} columns; copy the file again"
        )
