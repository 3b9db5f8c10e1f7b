"""Small EEG and MEG datasets with a known response to every stimulus."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest

from neuroalign import bids
from neuroalign.recordings.meeg.responses import read_sensors
from neuroalign.settings import configfile
from neuroalign.stimuli.events import read_stimuli

RATE = 200.0
CHANNELS = ("Fz", "Cz", "Pz", "Oz", "O1", "O2")
EVERY_S, FIRST_S = 1.5, 1.0
WORDS = ("sun", "moon", "tree", "sea", "hill", "rain", "wind", "snow")


def bump(times: np.ndarray, peak_s: float = 0.15, width_s: float = 0.04) -> np.ndarray:
    """The planted response: a Gaussian in time."""
    return np.exp(-0.5 * ((times - peak_s) / width_s) ** 2)


class Lab:
    """A BIDS dataset of EEG whose channel Oz answers to every word by its own amplitude."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.amplitude = {word: 1e-6 * (number + 1) for number, word in enumerate(WORDS)}

    def stem(self, run: str = "1", subject: str = "01") -> Path:
        return self.root / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-read_run-{run}"

    def raw(
        self, noise: float = 0.0, n: int = len(WORDS), seed: int = 0, types: str = "eeg"
    ) -> mne.io.RawArray:
        rng = np.random.default_rng(seed)
        times = np.arange(round(RATE * (FIRST_S + EVERY_S * n))) / RATE
        data = noise * rng.standard_normal((len(CHANNELS), len(times)))
        for number in range(n):
            onset = FIRST_S + EVERY_S * number
            data[CHANNELS.index("Oz")] += self.amplitude[WORDS[number % len(WORDS)]] * bump(times - onset)
        return mne.io.RawArray(data, mne.create_info(list(CHANNELS), RATE, types), verbose="error")

    def write(
        self, raw: mne.io.BaseRaw, run: str = "1", subject: str = "01", onsets=None, words=WORDS
    ) -> Path:
        """Write a run with its events; `onsets` stand in for the true ones."""
        path = mne_bids.BIDSPath(subject=subject, task="read", run=run, root=self.root, datatype="eeg")
        raw.info["line_freq"] = 50
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mne_bids.write_raw_bids(
                raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="error"
            )
        onsets = FIRST_S + EVERY_S * np.arange(len(words)) if onsets is None else onsets
        table = pd.DataFrame({"onset": onsets, "duration": 0.5, "trial_type": "word", "word": words})
        bad = raw.annotations.to_data_frame(time_format=None)
        bad = bad.rename(columns={"description": "trial_type"}).assign(word="n/a")
        table = pd.concat([table, bad[list(table)]]) if len(bad) else table
        table.to_csv(f"{self.stem(run, subject)}_events.tsv", sep="\t", index=False)
        return Path(f"{self.stem(run, subject)}_eeg.vhdr")

    def mark(self, run: str, channel: str, column: str, value: str) -> None:
        """Write into channels.tsv."""
        path = Path(f"{self.stem(run)}_channels.tsv")
        table = pd.read_csv(path, sep="\t", keep_default_na=False)
        table.loc[table["name"] == channel, column] = value
        table.to_csv(path, sep="\t", index=False)

    def study(self, samples: str = "trials", design=None, **sensors):
        asked = {"band_hz": [None, None], "resample_hz": None, "reference": "keep", **sensors}
        return configfile.parse(
            {
                "output": str(self.root.parent / "out"),
                "dataset": {"path": str(self.root), "task": "read"},
                "responses": {"kind": "eeg", "samples": samples, "sensors": asked, "standardize": False},
                "networks": {"net": {"source": "nowhere"}},
                **({"design": design} if design else {}),
            }
        )

    def read(self, study, subject: str = "01"):
        index = bids.index_study(study)
        _, events = read_stimuli(index, study.dataset, study.stimuli, [subject])
        return read_sensors(index, study.dataset, study.responses, subject, events), events


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An empty dataset, ready to be filled."""
    root = tmp_path / "lab"
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "lab", "BIDSVersion": "1.10.0"}))
    return Lab(root)
