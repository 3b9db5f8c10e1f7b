"""The state of training: the best so far, and what a run that was cut short goes on from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from neuroalign.artefacts.arrays import save_json
from neuroalign.artefacts.atomic import replacing
from neuroalign.encoders.attention.network import Network
from neuroalign.encoders.attention.optimiser import RowAdam
from neuroalign.encoders.attention.people import Person
from neuroalign.encoders.attention.schedule import Schedule
from neuroalign.errors import DataError

STATE, PROGRESS = "state.safetensors", "progress.json"

APART_S = 30.0
"""Least time between two writings."""


class Checkpoint:
    """Keeps the best weights, and all there is in a folder if one is given.

    Parameters
    ----------
    network : Network
    optimiser : RowAdam
        Of the network.
    people : dict of Person
        With optimisers of their own.
    schedule : Schedule
    folder : Path or None
        Taken up if it is there.

    Attributes
    ----------
    step, waited : int
        Steps done, and evaluations since the best.
    best : float
        Mean r in validation.

    Raises
    ------
    DataError
        The folder holds the state of another network, schedule or data, or is damaged.
    """

    def __init__(
        self,
        network: Network,
        optimiser: RowAdam,
        people: Mapping[str, Person],
        schedule: Schedule,
        folder: Path | None,
    ) -> None:
        self.step, self.waited, self.best = 0, 0, -2.0
        self._folder, self._written = folder, time.monotonic()
        self._live = _values(network, people)
        self._best = {name: value.clone() for name, value in self._live.items()}
        self._r = {name: torch.full((len(each.embeddings),), torch.nan) for name, each in people.items()}
        self._optimisers = {"": optimiser.state()} | {
            f"/{name}": each.optimiser.state() for name, each in people.items()
        }
        self._print = _fingerprint(people, schedule) if folder is not None else ""
        if folder is not None and (folder / PROGRESS).exists():
            self._take_up(folder)

    def evaluated(self, mean: float, r: Mapping[str, np.ndarray]) -> None:
        """Note how validation went, and write all down if it is time."""
        self.waited += 1
        if mean > self.best:
            self.best, self.waited = mean, 0
            for name, value in self._live.items():
                self._best[name].copy_(value)
            self._r = {name: torch.from_numpy(np.asarray(each, np.float32)) for name, each in r.items()}
        if self._folder is not None and time.monotonic() - self._written > APART_S:
            self.write()

    def write(self) -> None:
        """Write the state down; the folder changes at once or not at all."""
        if self._folder is None:
            return
        with replacing(self._folder) as folder:
            folder.mkdir()
            save_file(
                {name: value.contiguous() for name, value in self._everything().items()}, folder / STATE
            )
            progress = {"step": self.step, "waited": self.waited, "best": self.best, "of": self._print}
            save_json(progress, folder / PROGRESS)
        self._written = time.monotonic()

    def finish(self) -> dict[str, np.ndarray]:
        """Write the end down, leave everything at its best, and tell r in validation."""
        self.write()
        with torch.no_grad():
            for name, value in self._live.items():
                value.copy_(self._best[name])
        return {name: each.numpy().astype(float) for name, each in self._r.items()}

    def _everything(self) -> dict[str, Tensor]:
        found = {f"live/{name}": value.detach() for name, value in self._live.items()}
        found |= {f"best/{name}": value for name, value in self._best.items()}
        found |= {f"r/{name}": value for name, value in self._r.items()}
        for owner, state in self._optimisers.items():
            found |= {f"optimiser{owner}/{name}": value for name, value in state.items()}
        return found

    def _take_up(self, folder: Path) -> None:
        try:
            progress = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
            if progress["of"] != self._print:
                raise DataError(
                    f"{folder}: a checkpoint of other data or settings; remove it, or give another folder"
                )
            state, here = load_file(folder / STATE), self._everything()
            if {name: value.shape for name, value in state.items()} != {n: v.shape for n, v in here.items()}:
                raise DataError(
                    f"{folder}: a checkpoint of another architecture; remove it, or give another folder"
                )
            with torch.no_grad():
                for name, value in here.items():
                    value.copy_(state[name])
            self.step, self.waited = int(progress["step"]), int(progress["waited"])
            self.best = float(progress["best"])
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{folder}: not a checkpoint ({error}); remove it") from None


def _values(network: Network, people: Mapping[str, Person]) -> dict[str, Tensor]:
    """Everything that is learned, by name."""
    found = {f"network/{name}": value for name, value in network.state_dict(keep_vars=True).items()}
    for name, person in people.items():
        found |= {f"embeddings/{name}": person.embeddings, f"offset/{name}": person.offset}
    return found


def _fingerprint(people: Mapping[str, Person], schedule: Schedule) -> str:
    """Changes with the schedule, the responses and the samples; tokens are known by their shapes."""
    digest = hashlib.sha256(json.dumps(asdict(schedule), sort_keys=True).encode())
    for name, person in people.items():
        shapes = {layer: list(values.shape) for layer, values in person.tokens.layers.items()}
        digest.update(json.dumps([name, shapes]).encode())
        for array in (person.responses, person.train, person.validation):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
