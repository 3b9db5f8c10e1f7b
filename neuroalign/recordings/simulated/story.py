"""Listeners of a story: what was planted in their cortex, and the recordings of it.

The story is told in `narration`, the signal made in `planted`, all that the scanner adds in `listeners`, the
files written in `story_files`.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from tqdm import tqdm

from neuroalign.networks.language.text import open_network
from neuroalign.recordings.simulated import planted
from neuroalign.recordings.simulated.fields import whitened
from neuroalign.recordings.simulated.listeners import Listener, invite, record
from neuroalign.recordings.simulated.narration import Run, tell
from neuroalign.recordings.simulated.story_files import describe, write_recording, write_stimuli, write_truth
from neuroalign.recordings.simulated.study_files import StudyFiles
from neuroalign.settings.networks import Text
from neuroalign.settings.simulation import SimulateStory

log = logging.getLogger(__name__)


def make(study: StudyFiles, settings: SimulateStory, network: Text, seed: int) -> None:
    """Write the listeners' recordings, what they heard, and the truth.

    Each vertex of network-driven cortex follows the words' features at the layers about its
    planted depth, through a haemodynamic response; all listeners share that signal up to a smooth
    gain, and each adds noise of their own.

    Parameters
    ----------
    study : StudyFiles
        A folder that is not there yet.
    settings : SimulateStory
        Listeners, runs, repetition time and noise.
    network : Text
        The network whose activations are planted.
    seed : int

    Raises
    ------
    NetworkError
        The network cannot be opened.
    """
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
    ceilings = _write_recordings(study, runs, signals, plan, cortex, listeners, seed)
    write_stimuli(study, runs, listeners)
    write_truth(study, plan, cortex, listeners, ceilings, {"network": network.named, "seed": seed})
    describe(study, listeners)


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
    return [whitened(layer, planted.COMPONENTS) for layer in layers], np.asarray(opened.depth, float)


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
