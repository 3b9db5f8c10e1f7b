"""The pictures of a film: what is to be seen at any moment, without decoding it from the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from neuroalign.errors import DataError
from neuroalign.stimuli.reading import reading
from neuroalign.stimuli.recorded import RECORDED, beginning_s, check_recorded, length_s, opened

_NEAR_S = 2.0
"""A moment that is not further ahead is reached by decoding on, not by a jump."""


def read_frames(uri: str, times_s: Sequence[float]) -> list[np.ndarray]:
    """Read what is on the screen at some moments: the last picture that began at or before each.

    Parameters
    ----------
    uri : str
        A video file.
    times_s : sequence of float
        From the beginning of the file; ascending is fastest. Before the first picture stands that picture.

    Returns
    -------
    list of array (height, width, 3) of uint8
        RGB.

    Raises
    ------
    DataError
        The file cannot be read, or has no pictures.
    """
    check_recorded(uri)
    state = Path(uri).stat()
    film = _film(uri, state.st_mtime_ns, state.st_size)
    with reading(uri, RECORDED):
        return [film.at(time) for time in times_s]


def check_film(uri: str) -> None:
    """Raise a DataError if a file has no pictures, by its header."""
    length_s(uri, "video")


class _Film:
    """An open film, somewhere in the middle of being decoded."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.open = ExitStack()
        self.container, self.stream = self.open.enter_context(opened(uri, "video"))
        self.stream.thread_type = "AUTO"
        self.begin = beginning_s(self.container)
        self._rewind()

    def __del__(self) -> None:
        if hasattr(self, "open"):
            self.open.close()

    def at(self, time: float) -> np.ndarray:
        """The picture (height, width, 3) at a moment."""
        if self.shown is None or not -1e-6 <= time - self._time(self.shown) <= _NEAR_S:
            self._jump(time)
        while self.coming is not None and (self.shown is None or self._time(self.coming) <= time + 1e-6):
            self._advance()
        if self.shown is None:
            raise DataError(f"{self.uri}: holds no pictures; copy it anew")
        return np.ascontiguousarray(self.shown.to_ndarray(format="rgb24"))

    def _jump(self, time: float) -> None:
        self.container.seek(int((self.begin + max(time, 0.0)) * 1e6))
        self._start()
        if self.coming is None or self._time(self.coming) > time:
            self._rewind()  # some formats cannot tell where their pictures lie

    def _rewind(self) -> None:
        self.container.seek(int(self.begin * 1e6))
        self._start()

    def _start(self) -> None:
        self.frames = self.container.decode(self.stream)
        self.shown: Any = None
        self.coming: Any = next(self.frames, None)

    def _advance(self) -> None:
        self.shown, self.coming = self.coming, next(self.frames, None)

    def _time(self, frame: Any) -> float:
        if frame.time is None:
            raise DataError(f"{self.uri}: its pictures have no times; convert it to MP4")
        return float(frame.time) - self.begin


@lru_cache(maxsize=2)
def _film(uri: str, _modified: int, _size: int) -> _Film:
    return _Film(uri)
