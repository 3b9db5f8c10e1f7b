"""Arrays, numbers and texts out of pickles, and nothing else: no code of a file is ever run.

Some datasets are distributed as dictionaries that NumPy has pickled. What a pickle may call is looked up by
name; here only the constructors of arrays are found under theirs, and any other name is refused.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from neuroalign.errors import DataError
from neuroalign.headers import reading

_ALLOWED = {
    (module, name)
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy._core.numeric")
    for name in ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer")
}
"""What an array or a number of NumPy is rebuilt by."""


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DataError(
                f"wants to run '{module}.{name}', which is neither an array, a number nor a text; the file "
                "is not what it should be"
            )
        return super().find_class(module, name)


def read_plain_dictionary(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary, alone or inside `.npy`, whose values are arrays, numbers, texts or lists.

    Raises
    ------
    DataError
        The file is damaged, holds something else, or would run code.
    """
    try:
        with reading(path), path.open("rb") as stream:
            content = _Plain(_after_header(stream)).load()
    except DataError as error:
        text = str(error)
        raise DataError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    if isinstance(content, np.ndarray) and content.shape == ():
        content = content.item()
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a dictionary, got {type(content).__name__}; copy the file again")
    return content


def _after_header(stream: BinaryIO) -> BinaryIO:
    """The stream at its pickle: behind the header of `.npy`, where there is one."""
    magic = stream.read(6)
    stream.seek(0)
    if magic == b"\x93NUMPY":
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        dtype = read(stream)[2]
        if not dtype.hasobject:
            raise DataError(f"holds an array of {dtype}, expected a dictionary")
    return stream
