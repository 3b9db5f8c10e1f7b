"""Files of sound or video: opened, measured by their headers, and what is wrong with them in one line.

Times are in seconds from the beginning of a file, which is where its earliest stream begins.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from neuroalign.errors import DataError
from neuroalign.stimuli.reading import reading

Kind = Literal["audio", "video"]

RECORDED = "sound or video"
"""What a file is read as, for messages."""

_LISTS = {"hls", "concat", "dash", "sdp", "rtsp"}
"""Formats that only name other files, anywhere on the machine or beyond."""

_TAIL_S = 2.0
"""Seconds before the end that are looked at to see whether the file reaches it."""

_SHARE_LOST = 0.02
"""Share of its length, and at least a second, that a file may lack of what its header says."""


@contextmanager
def opened(uri: str, kind: Kind) -> Iterator[tuple[Any, Any]]:
    """Open a file; give its container and its first stream of sound or of pictures.

    Raises
    ------
    DataError
        There is no such file, it is neither sound nor video, or has no stream of that kind.
    """
    import av

    with reading(uri, RECORDED), av.open(uri) as container:
        if _LISTS & set(container.format.name.split(",")):
            raise DataError(f"{uri}: a list of other files, which are not looked for; give the file itself")
        streams = getattr(container.streams, kind)
        if not len(streams):
            others = sorted({stream.type for stream in container.streams} & {"audio", "video"})
            raise DataError(
                f"{uri}: no {kind} stream ("
                + (f"only {others[0]}); expected a file with {kind}" if others else "nothing); is it whole?")
            )
        yield container, streams[0]


def beginning_s(container: Any) -> float:
    """Time of the earliest stream, which counts as 0."""
    return float(container.start_time or 0) / 1e6


def check_recorded(uri: str) -> str:
    """Look whether there is a file, without reading it; nothing is known of its content then.

    Raises
    ------
    DataError
        There is none.
    """
    if not Path(uri).is_file():
        raise DataError(f"{uri}: no such file; add it or correct the events")
    return ""


def length_s(uri: str, kind: Kind) -> float:
    """Length of the sound or of the pictures of a file in seconds, from its header and its last packets.

    Raises
    ------
    DataError
        The file cannot be read, has no such stream, or ends before its header says.
    """
    check_recorded(uri)
    state = Path(uri).stat()
    return _length_s(uri, kind, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _length_s(uri: str, kind: Kind, _modified: int, size: int) -> float:
    _check_riff(uri, size)
    with opened(uri, kind) as (container, stream):
        begin = beginning_s(container)
        said = 0.0
        if stream.duration is not None:
            said = float(((stream.start_time or 0) + stream.duration) * stream.time_base) - begin
        elif container.duration is not None:
            said = container.duration / 1e6
        if said > _TAIL_S:
            container.seek(int((begin + said - _TAIL_S) * 1e6))
        ends = [
            float((packet.pts + (packet.duration or 0)) * packet.time_base)
            for packet in container.demux(stream)
            if packet.pts is not None and packet.size
        ]
    last = max(ends, default=begin) - begin
    if said - last > max(_SHARE_LOST * said, 1.0):
        raise DataError(
            f"{uri}: its header says {said:.1f} s of {kind}, but it ends before; it was cut "
            "short, copy it anew"
        )
    if not last > 0:
        raise DataError(f"{uri}: holds no {kind} at all; copy it anew")
    return last


def _check_riff(uri: str, size: int) -> None:
    """Complain of a WAV or AVI file that is shorter than it says, which readers pass over."""
    with reading(uri, RECORDED), Path(uri).open("rb") as file:
        head = file.read(8)
    if head[:4] != b"RIFF" or len(head) < 8:
        return
    said = struct.unpack("<I", head[4:])[0]
    # Streams that were never finished leave 0 or the largest number there.
    if 0 < said < 0xFFFFFFFF - 8 and said + 8 > size + 1:
        raise DataError(
            f"{uri}: its header says {said + 8} bytes, but it has {size}; it was cut short, copy it anew"
        )


def file_digest(uri: str) -> str:
    """A hash of the content of a whole file.

    Raises
    ------
    DataError
        There is no such file.
    """
    with reading(uri, RECORDED), Path(uri).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
