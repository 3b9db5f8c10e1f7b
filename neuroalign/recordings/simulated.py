"""A study with a known truth: a story, simulated listeners, and what was planted in their cortex.

The files look like a BIDS dataset with fMRIPrep's surface derivatives, so that a simulated study
goes through every stage as a recorded one does. The story is told in `narration`, the signal made
in `planted`, all that the scanner adds in `listeners`, the files written in `study_files`.
"""

from __future__ import annotations

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from neuroalign import arrays, layout
from neuroalign.config import Simulate
from neuroalign.errors import DataError
from neuroalign.network_settings import Text
from neuroalign.networks.text import open_network
from neuroalign.provenance import stage_digest
from neuroalign.recordings import planted
from neuroalign.recordings.listeners import Listener, invite, record
from neuroalign.recordings.narration import Run, tell
from neuroalign.recordings.study_files import (
    RECIPE,
    StudyFiles,
    write_descriptions,
    write_recording,
    write_stimuli,
    write_truth,
)

log = logging.getLogger(__name__)

_ANSWERS = ("source", "revision", "weights", "sha256", "context", "subtokens")
"""Settings of a network that decide its activations."""

_MADE = (
    "README",
    "dataset_description.json",
    "participants.*",
    "task-*_events.json",
    "sub-*",
    "derivatives",
    "derivatives/truth",
    ".snakemake_timestamp",
)
"""What a simulated study holds, beside its derivatives."""


def simulate(
    out: str | Path,
    settings: Simulate,
    network: Text,
    seed: int,
    task: str = "story",
    derivatives: str = "derivatives/fmriprep",
) -> None:
    """Write a simulated study: a BIDS dataset, fMRIPrep-like derivatives, and the truth.

    Each vertex of network-driven cortex follows the words' features at the layers about its
    planted depth, through a haemodynamic response; all listeners share that signal up to a smooth
    gain, and each adds noise of their own. The dataset is built beside `out` and moved there when
    it is whole. A study made before from the same arguments is left untouched, one made from other
    arguments is replaced.

    Parameters
    ----------
    out : str or Path
        Folder of the new dataset.
    settings : Simulate
        Listeners, runs, repetition time and noise.
    network : Text
        The network whose activations are planted; all its layers take part.
    seed : int
        Everything random follows from it: the same arguments give the same bytes.
    task : str
        BIDS task label.
    derivatives : str
        Folder of the derivatives, relative to `out`.

    Raises
    ------
    DataError
        `out` holds something that was not made here, or `derivatives` leads out of it.
    NetworkError
        The network cannot be opened.
    """
    out = Path(out).resolve()
    inside = PurePosixPath(derivatives)
    if inside.is_absolute() or ".." in inside.parts or not inside.parts:
        raise DataError(
            f"dataset.derivatives is '{derivatives}': a simulated study keeps them inside '{out}'; "
            "give its relative path, such as derivatives/fmriprep"
        )
    recipe = _recipe(settings, network, seed, task, derivatives)
    if _stands(out, recipe):
        log.info("%s: made before from the same settings and seed; left as it is", out)
        return
    runs = tell(settings.runs, settings.tr, seed)
    features, layer_depth = _features(runs, network, seed)
    log.info("planting %d layers in the cortex of %d listeners", len(features), settings.subjects)
    cortex = planted.open_cortex()
    plan = planted.plan_cortex(cortex, len(features), np.random.default_rng((seed, 0)))
    signals = planted.plant(plan, runs, features, layer_depth)
    listeners = [
        invite(cortex, number + 1, settings.noise[number % len(settings.noise)], seed)
        for number in range(settings.subjects)
    ]
    with arrays.replacing(out) as root:
        study = StudyFiles(root, root / derivatives, task, settings.tr)
        ceilings = _write_recordings(study, runs, signals, plan, cortex, listeners, seed)
        write_stimuli(study, runs, listeners)
        write_truth(study, plan, cortex, listeners, ceilings, recipe)
        write_descriptions(study, listeners)


def _features(runs: list[Run], network: Text, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Whitened components (word, component) of every layer, the runs' words in a row; relative depths."""
    opened = open_network(network.model_copy(update={"layers": "all", "dtype": "float32"}), seed)
    passages = [
        run.words.assign(passage=number, position=range(len(run.words))) for number, run in enumerate(runs)
    ]
    items = pd.concat(passages, ignore_index=True).rename(columns={"word": "text"})
    items = items.assign(item=np.arange(len(items)), modality="text")
    windows = opened.windows(items[["item", "passage", "position", "sentence", "modality", "text"]])
    with tqdm(total=len(windows), desc="activations", unit="word", disable=None) as bar:
        layers = opened.run(windows, bar.update)
    return [planted.word_features(layer) for layer in layers], np.asarray(opened.depth, float)


def _write_recordings(
    study: StudyFiles,
    runs: list[Run],
    signals: list[np.ndarray],
    plan: planted.Plan,
    cortex: planted.Cortex,
    listeners: list[Listener],
    seed: int,
) -> np.ndarray:
    """Record every listener in every run, write the files, and return the ceilings (subject, vertex)."""
    kernel = planted.smoothing(cortex)

    def session(job: tuple[Listener, int]) -> np.ndarray:
        listener, number = job
        recording = record(listener, runs[number], signals[number], plan.strength, cortex, kernel, seed)
        write_recording(study, listener.label, runs[number], recording, cortex)
        return recording.ceiling

    jobs = [(listener, number) for listener in listeners for number in range(len(runs))]
    # Threads suffice: the work is in numpy and zlib, which let go of the interpreter's lock.
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        ceilings = list(tqdm(pool.map(session, jobs), "recordings", len(jobs), unit="run", disable=None))
    # Each run is z-scored by itself, so that the correlation over all runs is the mean of the runs' own.
    return np.reshape(ceilings, (len(listeners), len(runs), -1)).mean(axis=1)


def _recipe(settings: Simulate, network: Text, seed: int, task: str, derivatives: str) -> dict[str, Any]:
    """All that decides the bytes of the study, as plain JSON."""
    return {
        "Description": "What the simulated study was made from",
        "simulate": settings.model_dump(mode="json"),
        "network": network.model_dump(mode="json", include=set(_ANSWERS)),
        "seed": seed,
        "task": task,
        "derivatives": derivatives,
        "sources": stage_digest([__name__], ["recordings/*.txt"]),
    }


def _stands(out: Path, recipe: dict[str, Any]) -> bool:
    """Whether `out` holds the study asked for; raise where it holds what was not made here."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    expected = "expected a new or empty folder, or a study simulated before; give another folder"
    if not out.is_dir():
        raise DataError(f"simulate: '{out}' is a file; {expected}")
    try:
        before = json.loads((out / RECIPE).read_text(encoding="utf-8"))
        parts = PurePosixPath(before["derivatives"]).parts
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"simulate: '{out}' holds files that were not simulated; {expected}") from None
    if before == recipe and (out / "dataset_description.json").is_file() and (out / layout.TRUTH).is_file():
        return True
    # Making it anew removes the whole folder: not where somebody has put anything else into it.
    derivatives = "/".join(parts[:2])
    made = [*_MADE, derivatives, f"{derivatives}/*", parts[0]]
    for path in sorted([*out.iterdir(), *(out / "derivatives").iterdir()]):
        place = path.relative_to(out).as_posix()
        if not any(fnmatchcase(place, pattern) for pattern in made):
            raise DataError(f"simulate: '{out}' holds '{place}', which was not simulated; move it away first")
    return False
