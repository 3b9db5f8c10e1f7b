"""What is shown with a prompt: an image, frames of a film, or the sound of a step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from neuroalign.errors import DataError
from neuroalign.networks.base import Window
from neuroalign.networks.items import check_shown
from neuroalign.networks.language.conversation import Inputs, Processor
from neuroalign.networks.vision.films import FilmWindow, film_windows
from neuroalign.networks.vision.image_windows import ImageWindow, image_windows
from neuroalign.settings.networks import Multimodal
from neuroalign.stimuli.media import check_image, read_image
from neuroalign.stimuli.sound import check_sound, read_sound
from neuroalign.stimuli.video import check_film, read_frames

_ROUNDING_S = 1e-6
_ROUNDED = 2
"""Samples that may be missing where both ends of a step are rounded."""


@dataclass(frozen=True, kw_only=True)
class SoundWindow(Window):
    """The sound of a step.

    Attributes
    ----------
    uri : str
    start_s, stop_s : float
        From the beginning of the file; a step that is too short to be heard begins earlier.
    """

    uri: str
    start_s: float
    stop_s: float


Shown = ImageWindow | FilmWindow | SoundWindow


def check_read(items: pd.DataFrame, settings: Multimodal, processor: Processor) -> None:
    """Look whether a network reads the items, by their modality and the headers of their files.

    Raises
    ------
    DataError
        There is no item, they are of a modality that the network does not read or of several, a file
        cannot be read, or a step of sound is too short or too long.
    """
    looks: dict[str, Callable[[str], object]] = {}
    if processor.hears:
        looks |= {"audio": check_sound, "video": check_sound}
    if processor.sees:
        looks |= {"image": check_image, "video": check_film}
    reads = " and ".join(
        name for name, does in (("images or film", processor.sees), ("sound", processor.hears)) if does
    )
    check_shown(items, looks, f"shown to '{settings.source}', which reads {reads} with a prompt", "item")
    modalities = sorted(set(items["modality"]))
    if len(modalities) > 1:
        raise DataError(f"items: modalities {', '.join(modalities)}; expected one, give each a study")
    if modalities == ["audio"] or (modalities == ["video"] and not processor.sees):
        _check_lengths(items, processor)


def _check_lengths(items: pd.DataFrame, processor: Processor) -> None:
    short = items["stop_s"] < processor.least_s - _ROUNDING_S
    if short.any():
        first = items[short].iloc[0]
        raise DataError(
            f"{first['uri']}: a step ends after {1000 * first['stop_s']:.0f} ms of sound, but the network "
            f"needs {1000 * processor.least_s:.0f} ms; give longer sounds or a longer step_s"
        )
    long = items["stop_s"] - items["start_s"] > processor.most_s + _ROUNDING_S
    if long.any():
        first = items[long].iloc[0]
        raise DataError(
            f"{first['uri']}: a step of {first['stop_s'] - first['start_s']:.1f} s, but the network takes "
            f"{processor.most_s:g} s of sound at most; set a shorter step_s, or cut the file"
        )


def windows_of(
    items: pd.DataFrame, rows: Sequence[int] | None, settings: Multimodal, processor: Processor
) -> list[Shown]:
    """Show each of `rows` (all, when left out) of the items table, with the prompt.

    Equal content is equal; under another prompt it is another input.
    """
    modality = items["modality"].iloc[0]
    plain: Sequence[Shown]
    if modality == "image":
        plain = image_windows(items, rows)
    elif modality == "video" and processor.sees:
        plain = film_windows(items, rows, settings.frames)
    else:
        shown = items if rows is None else items.iloc[list(rows)]
        columns = (shown[name] for name in ("digest", "uri", "start_s", "stop_s"))
        plain = [
            SoundWindow(digest=int(digest, 16), uri=uri, start_s=_begin(start, stop, processor), stop_s=stop)
            for digest, uri, start, stop in zip(*columns, strict=True)
        ]
    return [replace(window, digest=_digest(window.digest, settings.prompt)) for window in plain]


def prepared(window: Shown, processor: Processor) -> Inputs:
    """Read what a window shows and make inputs of it, with the prompt.

    Raises
    ------
    DataError
        A file cannot be read, or ends before its header says.
    """
    if isinstance(window, ImageWindow):
        return processor.see([read_image(window.uri)])
    if isinstance(window, FilmWindow):
        return processor.see(read_frames(window.uri, window.times_s))
    wave = read_sound(window.uri, window.start_s, window.stop_s, processor.rate_hz)
    if len(wave) < processor.least_s * processor.rate_hz - _ROUNDED:
        raise DataError(
            f"{window.uri}: its sound ends before {window.stop_s:.2f} s, which its header promises; "
            "convert it to WAV"
        )
    # Rounding may add a sample to the longest step that a network takes.
    return processor.hear(wave[: round(processor.most_s * processor.rate_hz)])


def _begin(start: float, stop: float, processor: Processor) -> float:
    """Where a step begins: what is left at the end of a file may be too short to be heard by itself."""
    return max(min(start, stop - processor.least_s), 0.0)


def _digest(content: int, prompt: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{content:016x}\0{prompt}".encode()).digest()[:8], "little")
