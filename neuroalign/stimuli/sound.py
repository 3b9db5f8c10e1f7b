"""The sound of a file or a film as one waveform: decoded once, cut anywhere, resampled after cutting."""

from __future__ import annotations

import math
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly

from neuroalign.errors import DataError
from neuroalign.stimuli.recorded import beginning_s, check_recorded, length_s, opened

_GAP_S = 0.05
"""A jump of the time stamps by more than this is silence that was left out."""


def read_sound(uri: str, start_s: float, stop_s: float, rate_hz: int) -> np.ndarray:
    """Read the sound of a span of time: the mean over channels, at the rate asked for.

    The span is cut out at the file's own rate and resampled then, so that nothing of what follows it
    gets into it.

    Parameters
    ----------
    uri : str
        A file with sound.
    start_s, stop_s : float
        From the beginning of the file; what lies beyond its end is left out.
    rate_hz : int

    Returns
    -------
    array (n_samples,) of float32
        From −1 to 1.

    Raises
    ------
    DataError
        The file cannot be read, or has no sound.
    """
    waveform, own = whole_sound(uri)
    piece = np.asarray(waveform[max(round(start_s * own), 0) : max(round(stop_s * own), 0)])
    if own == rate_hz:
        return piece
    common = math.gcd(own, rate_hz)
    return resample_poly(piece, rate_hz // common, own // common).astype(np.float32)


def check_sound(uri: str) -> None:
    """Raise a DataError if a file has no sound, by its header."""
    length_s(uri, "audio")


def whole_sound(uri: str) -> tuple[np.ndarray, int]:
    """The waveform (n_samples,) of a file, which stays on disk, and its own rate in hertz.

    Raises
    ------
    DataError
        The file cannot be read, or has no sound.
    """
    check_recorded(uri)
    state = Path(uri).stat()
    return _whole_sound(uri, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _whole_sound(uri: str, _modified: int, _size: int) -> tuple[np.ndarray, int]:
    # The sound of a film may be larger than memory: it is decoded into a file without a name.
    with opened(uri, "audio") as (container, stream), tempfile.TemporaryFile() as file:
        rate, written = int(stream.rate), 0
        begin = beginning_s(container)
        for frame in container.decode(stream):
            piece = _mono(frame)
            at = round((float(frame.time) - begin) * rate) if frame.time is not None else written
            if at - written > _GAP_S * rate or (at > 0 and not written):
                file.write(bytes(4 * (at - written)))
                written = at
            file.write(piece.tobytes())
            written += len(piece)
        if not written:
            raise DataError(f"{uri}: holds no audio at all; copy it anew")
        file.flush()
        return np.memmap(file, np.float32, mode="r"), rate


def _mono(frame: Any) -> np.ndarray:
    """Mean over channels (n_samples,), from −1 to 1."""
    values, channels = frame.to_ndarray(), frame.layout.nb_channels
    if not frame.format.is_planar:
        values = values.reshape(-1, channels).T  # (1, samples · channels) before
    if values.dtype.kind in "iu":
        half = 2.0 ** (8 * values.dtype.itemsize - 1)
        values = (values.astype(np.float64) - (half if values.dtype.kind == "u" else 0)) / half
    return np.ascontiguousarray(values.mean(axis=0), np.float32)
