"""Handmade features of sound and film as a network: each step by itself."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from neuroalign.errors import DataError
from neuroalign.networks.base import Window, kept_layers, relative_depth
from neuroalign.networks.handmade.image_features import relative_luminance
from neuroalign.networks.handmade.items import check_modality
from neuroalign.networks.handmade.motion_energy import Step, motion_energy, pyramid
from neuroalign.networks.handmade.sound_features import RATE_HZ, envelope, mel
from neuroalign.settings.features import Handmade
from neuroalign.stimuli.sound import check_sound, read_sound
from neuroalign.stimuli.video import check_film, read_frames

MOTION_HZ = 10.0
"""Pictures per second between which motion is looked for."""


@dataclass(frozen=True, kw_only=True)
class StepWindow(Window):
    """A step of a file.

    Attributes
    ----------
    uri : str
    start_s, stop_s : float
    """

    uri: str
    start_s: float
    stop_s: float


class HandmadeClips:
    """Feature sets of sound or film; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Handmade
        With features of sound, or of video.
    """

    def __init__(self, settings: Handmade) -> None:
        self.settings = settings
        self.layers: tuple[str, ...] = settings.features
        self.depth = relative_depth(self.layers)
        self.kept = kept_layers(settings.layers, self.layers)
        self.units = tuple(_units(name, settings) for name in self.layers)
        self.places: tuple[np.ndarray, ...] = ()
        self.token_units: tuple[int, ...] = ()
        self.provenance: dict[str, Any] = {
            "source": settings.named,
            **({"bands": settings.bands} if "mel" in self.layers else {}),
            "dtype": settings.dtype,
            "versions": {name: importlib.metadata.version(name) for name in self._libraries()},
        }

    def _libraries(self) -> tuple[str, ...]:
        return ("av", "scipy", *(["pymoten"] if "motion_energy" in self.layers else []))

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if an item is not a step of a file, or the file is not there."""
        check_modality(self.settings, items)
        for uri in items["uri"].unique():
            (check_sound if self.settings.of == "audio" else check_film)(uri)

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[StepWindow]:
        """The steps of `rows` (all, when left out) of the items table."""
        shown = items if rows is None else items.iloc[list(rows)]
        columns = (shown[name] for name in ("digest", "uri", "start_s", "stop_s"))
        return [
            StepWindow(digest=int(digest, 16), uri=str(uri), start_s=float(start), stop_s=float(stop))
            for digest, uri, start, stop in zip(*columns, strict=True)
        ]

    def run(
        self, windows: Sequence[StepWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Features (n_windows, n_units) of every kept layer.

        Raises
        ------
        DataError
            A file cannot be read, or ends before its header says.
        """
        found = [np.empty((len(windows), self.units[layer]), self.settings.dtype) for layer in self.kept]
        order = sorted(range(len(windows)), key=lambda row: (windows[row].uri, windows[row].start_s))
        if self.settings.of == "video":
            steps = [Step(each.uri, each.start_s, each.stop_s) for each in (windows[row] for row in order)]
            for place, layer in enumerate(self.kept):
                found[place][order] = FILM_FEATURES[self.layers[layer]](steps)
            if advance is not None:
                advance(len(windows))
            return found
        for row in order:
            for place, values in enumerate(self._heard(windows[row])):
                found[place][row] = values
            if advance is not None:
                advance(1)
        return found

    def _heard(self, window: StepWindow) -> list[np.ndarray]:
        """Features (unit,) of sound, of every kept layer."""
        wave = read_sound(window.uri, window.start_s, window.stop_s, RATE_HZ)
        if not len(wave):
            raise DataError(
                f"{window.uri}: its sound ends before {window.stop_s:.2f} s, which its header promises; "
                "convert it to WAV"
            )
        sets = {"envelope": lambda: envelope(wave), "mel": lambda: mel(wave, self.settings.bands)}
        return [sets[self.layers[layer]]() for layer in self.kept]


def motion(steps: Sequence[Step]) -> np.ndarray:
    """Mean absolute change (step, 1) of relative luminance from picture to picture, `MOTION_HZ` a second.

    The last picture is half an interval before the end of the step, the first one half an interval before
    its beginning: what follows a step changes nothing.
    """
    return np.array([[_moved(*step)] for step in steps])


def _moved(uri: str, start_s: float, stop_s: float) -> float:
    count = max(round((stop_s - start_s) * MOTION_HZ), 1)
    times = stop_s - (np.arange(count, -1, -1) + 0.5) / MOTION_HZ
    total, before = 0.0, None
    for time in np.maximum(times, 0.0):
        light = relative_luminance(read_frames(uri, [time])[0])
        if before is not None:
            total += float(np.abs(light - before).mean())
        before = light
    return total / count


def _units(name: str, settings: Handmade) -> int:
    if name == "motion_energy":
        return int(pyramid().nfilters)
    return settings.bands if name == "mel" else 1


FILM_FEATURES = {"motion": motion, "motion_energy": motion_energy}
"""Feature sets of film: steps → features (step, unit)."""
