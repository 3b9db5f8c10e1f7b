"""A Hugging Face model that hears: its feature extractor, its layers, and when each of its frames is.

Two kinds are known. Models of the wav2vec 2.0 kind take the waveform: a stack of convolutions makes a frame
of every few hundred samples. The encoder of Whisper takes a mel spectrogram that is always 30 s long.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers

from neuroalign.errors import NetworkError
from neuroalign.networks.pretrained import Saved, prefix_of
from neuroalign.networks.sources import locate
from neuroalign.networks.tapping.layers import backbone_of
from neuroalign.networks.tapping.probe import Probe, probe
from neuroalign.networks.tapping.sublayers import offer_of
from neuroalign.networks.tapping.taps import Tap
from neuroalign.settings.media import Audio

_EXTRACTOR_FILES = ("preprocessor_config.json", "processor_config.json")

_SHOWN, _FRAMES = 2, 11
"""Windows and frames shown to find the layers; no layer has eleven channels."""


@dataclass(frozen=True)
class Timing:
    """When the frames of a network are: the middle of frame f is at sample `first` + f · `hop`.

    Attributes
    ----------
    rate : int
        Samples per second.
    hop, first : float
    least : int
        Samples that the network needs.
    most : int or None
        Samples that it can take.
    """

    rate: int
    hop: float
    first: float
    least: int
    most: int | None

    def within(self, start: float, stop: float) -> slice:
        """The frames whose middle lies from sample `start` to before `stop`, or else the nearest one."""
        begin = math.ceil(max(start - self.first, 0) / self.hop)
        end = math.ceil(max(stop - self.first, 0) / self.hop)
        if end > begin:
            return slice(begin, end)
        last = max(math.floor((stop - (self.least if self.first else 1)) / self.hop), 0)
        nearest = min(max(round(((start + stop) / 2 - self.first) / self.hop), 0), last)
        return slice(nearest, nearest + 1)


class HearingModel:
    """An audio model as it can be known without its weights.

    Parameters
    ----------
    settings : Audio
    weights : bool
        Whether the weights are needed as well as the description.

    Attributes
    ----------
    saved : Saved
    extractor : transformers feature extractor
    timing : Timing
    taps : tuple of Tap
        All layers.
    kept : tuple of int
        Those asked for.
    units : tuple of int

    Raises
    ------
    NetworkError
        The network or its feature extractor cannot be found, it does not hear, or has not the layers.
    """

    def __init__(self, settings: Audio, weights: bool) -> None:
        self.source = settings.source
        located = locate(settings.source, settings.revision, weights)
        self.saved = Saved(
            located,
            settings.source,
            "an audio network",
            ("input_values", "input_features"),
            backbone_of,
        )
        model = self.saved.skeleton()
        self.part = backbone_of(model).eval()
        self.shown_as = self._shown_as()
        self.extractor = self._load_extractor()
        self.timing = self._timing()
        self.seen = self._seen()
        self.blocks = self._blocks()
        if not self.blocks:
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} is not built of one list of blocks; "
                "choose another network"
            )
        prefix = prefix_of(model, self.part)

        def make(path: str, depth: float) -> Tap:
            if path in self.seen.repeated:
                raise NetworkError(f"module '{path}' runs several times in one pass; name another layer")
            return Tap(prefix + path, depth, path)

        spine = [self._embedding(), *self.blocks]
        offer = offer_of(self.part, prefix, spine, settings.taps, self.source, make, self.seen.order)
        self.taps, self.kept = offer.choose(settings.layers)
        self.units = tuple(self._units(tap, index in self.kept) for index, tap in enumerate(self.taps))

    def prepare(self, waves: Sequence[np.ndarray]) -> torch.Tensor:
        """What the model is given of waveforms, as the feature extractor makes it of each by itself.

        Those of a model that takes waveforms are of one length, so that nothing is padded.
        """
        given = self.saved.ask(
            self.extractor, list(waves), sampling_rate=self.timing.rate, return_tensors="pt"
        )
        values: torch.Tensor = given[self.shown_as]
        return values

    @property
    def takes_waveforms(self) -> bool:
        """Whether the model is given waveforms, of any length, instead of spectrograms of one length."""
        return self.shown_as == "input_values"

    @property
    def preprocessing(self) -> str:
        """The settings of the feature extractor, as JSON."""
        known = {key: value for key, value in self.extractor.to_dict().items() if key != "mel_filters"}
        return json.dumps(known, sort_keys=True, default=str)

    def _shown_as(self) -> str:
        name = str(getattr(self.part, "main_input_name", "something else"))
        known = {"input_values": "conv_kernel", "input_features": "max_source_positions"}
        if name in known and hasattr(self.part.config, known[name]):
            return name
        what = (
            "takes spectrograms of a form that is not known here"
            if name in known
            else f"is not shown sound but {name}"
        )
        raise NetworkError(
            f"source '{self.source}': {type(self.part).__name__} {what}; family: audio takes networks like "
            "Wav2Vec2, HuBERT, WavLM and Whisper, language models are family: text"
        )

    def _load_extractor(self) -> Any:
        folder = self.saved.located.folder
        if not any((folder / name).is_file() for name in _EXTRACTOR_FILES):
            raise NetworkError(
                f"source '{self.source}': no {_EXTRACTOR_FILES[0]}, so how sound is prepared is not known; "
                "save the model's feature extractor beside config.json"
            )
        extractor = self.saved.ask(
            transformers.AutoFeatureExtractor.from_pretrained,
            folder,
            trust_remote_code=False,
            local_files_only=True,
        )
        if self.shown_as not in extractor.model_input_names:
            raise NetworkError(
                f"source '{self.source}': its {type(extractor).__name__} makes "
                f"{extractor.model_input_names[0]}, but {type(self.part).__name__} takes {self.shown_as}; "
                "save the model's own feature extractor beside config.json"
            )
        return extractor

    def _timing(self) -> Timing:
        rate, configuration = int(self.extractor.sampling_rate), self.part.config
        if self.shown_as == "input_features":
            longest = int(self.extractor.n_samples)
            return Timing(rate, longest / configuration.max_source_positions, 0.0, 1, longest)
        hop, field = 1, 1
        for kernel, stride in zip(configuration.conv_kernel, configuration.conv_stride, strict=True):
            field += (kernel - 1) * hop
            hop *= stride
        return Timing(rate, hop, (field - 1) / 2, field, None)

    def _seen(self) -> Probe:
        """What the modules answer to silence, without memory."""
        configuration = self.part.config
        if self.shown_as == "input_features":
            shape: tuple[int, ...] = (
                int(self.extractor.feature_size),
                int(self.extractor.nb_max_frames),
            )
        else:
            shape = (self.timing.least + int(self.timing.hop) * (_FRAMES - 1),)
        silence = torch.zeros((_SHOWN, *shape), device="meta", dtype=self.part.dtype)

        def run() -> Sequence[torch.Tensor]:
            states: Sequence[torch.Tensor] = self.part(silence, output_hidden_states=True).hidden_states
            return states

        try:
            seen = probe(self.part, run)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            reason = " ".join(str(error).split())[:200]
            raise NetworkError(
                f"source '{self.source}': {type(self.part).__name__} cannot be shown what its feature "
                f"extractor makes ({reason})"
            ) from None
        self.frames = configuration.max_source_positions if len(shape) == 2 else _FRAMES
        return seen

    def _blocks(self) -> list[str]:
        """Paths of the blocks, not of the convolutions, of which there may be as many."""
        count, state = len(self.seen.states) - 1, self.seen.states[-1]
        lists = [
            name
            for name, module in self.part.named_modules()
            if isinstance(module, torch.nn.ModuleList)
            and len(module) == count
            and self.seen.outputs.get(f"{name}.{count - 1}") == state
        ]
        outermost = min(lists, key=lambda name: name.count("."), default="")
        return [f"{outermost}.{index}" for index in range(count)] if lists else []

    def _embedding(self) -> str:
        """The module that made what enters the first block, or else the last one that ran before it."""
        if self.seen.embedding:
            return self.seen.embedding
        first = next(place for place, path in enumerate(self.seen.order) if path.startswith(self.blocks[0]))
        return self.seen.order[first - 1]

    def _units(self, tap: Tap, kept: bool) -> int:
        """Number of units of a layer that answers something for every frame."""
        if tap.state is not None:
            shape = self.seen.states[tap.state]
        else:
            shape = (self.seen.outputs if tap.side == "output" else self.seen.inputs).get(tap.path, ())
        if len(shape) != 3 or shape[:2] != (_SHOWN, self.frames):
            raise NetworkError(
                f"source '{self.source}': layer '{tap.name}' answers {shape or 'nothing'}, not one array for "
                "every frame; name another layer"
            )
        return shape[2] // tap.part[1]
