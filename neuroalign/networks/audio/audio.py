"""Audio networks of Hugging Face: sound in windows that end with a step, frames within the step averaged.

Layers are the library's own hidden states: what enters the first block, then what leaves every block. A
window never reaches beyond the end of its step, and what a feature extractor pads is never averaged.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from neuroalign.errors import DataError, NetworkError
from neuroalign.networks.audio.audio_model import HearingModel
from neuroalign.networks.base import Layer, Window
from neuroalign.networks.items import check_shown
from neuroalign.networks.tapping.taps import read
from neuroalign.settings.media import Audio
from neuroalign.stimuli.sound import check_sound, read_sound

_ROUNDING_S = 1e-6


@dataclass(frozen=True, kw_only=True)
class AudioWindow(Window):
    """A span of the sound of a file.

    Attributes
    ----------
    uri : str
    begin_s : float
        Where the window begins.
    start_s, stop_s : float
        The step, at its end.
    """

    uri: str
    begin_s: float
    start_s: float
    stop_s: float


def layer_names(settings: Audio) -> list[str]:
    """List the layers of an audio network, the embedding first, without reading its weights.

    Raises
    ------
    NetworkError
        The network or its feature extractor cannot be found, or it does not hear.
    """
    return [layer.name for layer in layer_table(settings)]


def layer_table(settings: Audio) -> list[Layer]:
    """List the layers with their units, without reading weights.

    Raises
    ------
    NetworkError
        As `layer_names`, or a layer that is asked for is not there.
    """
    model = HearingModel(settings, weights=False)
    return [
        Layer(tap.name, tap.depth, index in model.kept, units)
        for index, (tap, units) in enumerate(zip(model.taps, model.units, strict=True))
    ]


def open_network(settings: Audio, seed: int = 0) -> AudioNetwork:
    """Load an audio network and its feature extractor.

    Parameters
    ----------
    settings : Audio
    seed : int
        Draws the weights of a random network.

    Raises
    ------
    NetworkError
        The network, its feature extractor, its weights, the device or a layer cannot be had.
    """
    # What is not there is told before the weights are read.
    described = HearingModel(settings, weights=settings.weights == "pretrained")
    model, provenance = described.saved.load(settings, seed)
    return AudioNetwork(settings, described, described.saved.part(model), provenance)


class AudioNetwork:
    """A network that hears; see `base.OpenNetwork` for what it offers.

    Parameters
    ----------
    settings : Audio
    described : HearingModel
    backbone : torch.nn.Module
        What is run, on its device.
    provenance : dict
        Where the weights come from and how they are run.
    """

    def __init__(
        self, settings: Audio, described: HearingModel, backbone: Any, provenance: dict[str, Any]
    ) -> None:
        self.settings, self.described, self.backbone = settings, described, backbone
        self.timing = described.timing
        self.layers = tuple(tap.name for tap in described.taps)
        self.depth = tuple(tap.depth for tap in described.taps)
        self.units, self.kept = described.units, described.kept
        self.places: tuple[np.ndarray, ...] = ()
        self.token_units: tuple[int, ...] = ()
        made_last = described.blocks[-1] in described.seen.made_last
        self.provenance: dict[str, Any] = {
            **provenance,
            "states": "hidden_states",
            "taps": list(settings.taps),
            "last_layer": "as the last block gives it" if made_last else "after the final norm",
            "preprocessing": described.preprocessing,
            "sampling_rate_hz": self.timing.rate,
            "frame_s": self.timing.hop / self.timing.rate,
            "context_s": settings.context_s,
            "pooling": "mean",
            "dtype": settings.dtype,
            "batch": settings.batch,
            "versions": {
                **provenance["versions"],
                **{name: importlib.metadata.version(name) for name in ("av", "scipy")},
            },
        }

    def check_items(self, items: pd.DataFrame) -> None:
        """Raise a DataError if there is no item, or one that has no sound, too little or too much of it."""
        looks = {"audio": check_sound, "video": check_sound}
        check_shown(items, looks, "heard by an audio network", "step of sound")
        timing = self.timing
        short = items["stop_s"] < timing.least / timing.rate - _ROUNDING_S
        if short.any():
            first = items[short].iloc[0]
            raise DataError(
                f"{first['uri']}: a step ends after {1000 * first['stop_s']:.0f} ms of sound, but the "
                f"network needs {1000 * timing.least / timing.rate:.0f} ms; give longer sounds or a "
                "longer step_s"
            )
        long = items["stop_s"] - items["start_s"] > (timing.most or np.inf) / timing.rate + _ROUNDING_S
        if long.any():
            first = items[long].iloc[0]
            raise DataError(
                f"{first['uri']}: a step of {first['stop_s'] - first['start_s']:.1f} s, but the network "
                f"takes {(timing.most or 0) / timing.rate:.0f} s at most; set a shorter step_s, or cut "
                "the file"
            )

    def windows(self, items: pd.DataFrame, rows: Sequence[int] | None = None) -> list[AudioWindow]:
        """Each of `rows` (all, when left out) of the items table after the sound before it."""
        shown = items if rows is None else items.iloc[list(rows)]
        columns = (shown[name] for name in ("digest", "uri", "start_s", "stop_s"))
        return [self._window(*row) for row in zip(*columns, strict=True)]

    def _window(self, digest: str, uri: str, start: float, stop: float) -> AudioWindow:
        wanted = max(self.settings.context_s, stop - start, self.timing.least / self.timing.rate)
        most = (self.timing.most or np.inf) / self.timing.rate
        return AudioWindow(
            digest=int(digest, 16),
            truncated=min(wanted, stop) > most + _ROUNDING_S,
            uri=uri,
            begin_s=max(stop - min(wanted, most), 0.0),
            start_s=start,
            stop_s=stop,
        )

    def run(
        self, windows: Sequence[AudioWindow], advance: Callable[[int], object] | None = None
    ) -> list[np.ndarray]:
        """Activations (n_windows, n_units) of every kept layer, in the order of `windows`.

        Raises
        ------
        NetworkError
            Activations are not finite in the dtype asked for, or the device's memory is too small.
        DataError
            A file cannot be read, or ends before its header says.
        """
        kind = np.dtype(self.settings.dtype)
        found = [np.empty((len(windows), self.units[index]), kind) for index in self.kept]
        # Waveforms of one length wait for each other: none is padded, whatever else is in the batch.
        waiting: dict[int, list[tuple[int, np.ndarray]]] = {}

        def heard(length: int) -> None:
            batch = waiting.pop(length)
            self._run_batch([windows[row] for row, _ in batch], batch, found)
            if advance is not None:
                advance(len(batch))

        for row in sorted(range(len(windows)), key=lambda row: (windows[row].uri, windows[row].start_s)):
            wave = self._read(windows[row])
            length = len(wave) if self.described.takes_waveforms else 0
            waiting.setdefault(length, []).append((row, wave))
            if len(waiting[length]) == self.settings.batch:
                heard(length)
        for length in list(waiting):
            heard(length)
        return found

    def _read(self, window: AudioWindow) -> np.ndarray:
        wave = read_sound(window.uri, window.begin_s, window.stop_s, self.timing.rate)
        before = round((window.start_s - window.begin_s) * self.timing.rate)
        if len(wave) < self.timing.least or len(wave) <= before:
            raise DataError(
                f"{window.uri}: its sound ends before {window.stop_s:.2f} s, which its header promises; "
                "convert it to WAV"
            )
        # Rounding may add a sample to the longest window that a network takes.
        return wave[: self.timing.most]

    def _run_batch(
        self,
        windows: Sequence[AudioWindow],
        batch: Sequence[tuple[int, np.ndarray]],
        found: list[np.ndarray],
    ) -> None:
        """Fill in some rows of what is found."""
        given = self.described.prepare([wave for _, wave in batch])
        parameter = next(self.backbone.parameters())
        taps = [self.described.taps[index] for index in self.kept]
        from_library = any(tap.state is not None for tap in taps)
        rate = self.timing.rate
        within = [
            self.timing.within(round((window.start_s - window.begin_s) * rate), len(wave))
            for window, (_, wave) in zip(windows, batch, strict=True)
        ]

        def run() -> Sequence[torch.Tensor]:
            output = self.backbone(
                given.to(parameter.device, parameter.dtype), output_hidden_states=from_library
            )
            return output.hidden_states if from_library else ()

        def receive(place: int, answer: torch.Tensor) -> None:
            for (row, _), frames, states in zip(batch, within, answer, strict=True):
                found[place][row] = self._pooled(place, states[frames])

        try:
            with torch.inference_mode():
                read(self.backbone, taps, run, receive)
        except torch.OutOfMemoryError:
            raise NetworkError(
                f"{len(batch)} windows at once are too many for the device's memory; lower batch or context_s"
            ) from None

    def _pooled(self, place: int, states: torch.Tensor) -> np.ndarray:
        """Mean (unit,) over frames (frame, unit)."""
        pooled = states.float().mean(dim=0).to(getattr(torch, self.settings.dtype))
        if not bool(torch.isfinite(pooled).all()):
            raise NetworkError(
                f"layer '{self.layers[self.kept[place]]}' gives values beyond {self.settings.dtype}, or not "
                "numbers; set dtype: float32, and if it is float32 check the weights"
            )
        return np.asarray(pooled.cpu().numpy())
