"""Tiny BIDS datasets for the tests, and the folder of real recordings where there is one."""

from __future__ import annotations

import json
import os
import wave
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from neuroalign.settings import config, configfile

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any_machine")

WORDS = ("The", "cat", "sat.", "It", "saw", "a", "bird", "and", "ran.")
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 2.0, 0, -20], [0, 0, 3.0, 5], [0, 0, 0, 1]])


@pytest.fixture
def real_data() -> Path:
    """The folder of real recordings."""
    folder = os.environ.get("NEUROALIGN_DATA")
    if not folder:
        pytest.skip("NEUROALIGN_DATA is not set: no real recordings to test on")
    return Path(folder)


class Tree:
    """A BIDS dataset of one task that tests fill file by file."""

    words = WORDS
    affine = AFFINE

    def __init__(self, root: Path) -> None:
        self.root = root
        self.derivatives = root / "derivatives" / "fmriprep"
        self.derivatives.mkdir(parents=True)
        self.write(root / "dataset_description.json", {"Name": "tiny", "BIDSVersion": "1.10.0"})
        self.write(root / "task-story_bold.json", {"RepetitionTime": 2.0})

    def stem(self, subject: str, run: str = "1") -> str:
        return f"sub-{subject}_task-story" + (f"_run-{run}" if run else "")

    def folder(self, subject: str, *, raw: bool = False) -> Path:
        path = (self.root if raw else self.derivatives) / f"sub-{subject}" / "func"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, path: Path, content: dict[str, object]) -> Path:
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def events(self, subject: str, run: str = "1", words=WORDS, step: float = 2.0, **columns: object) -> Path:
        path = self.folder(subject, raw=True) / f"{self.stem(subject, run)}_events.tsv"
        table = pd.DataFrame(
            {"onset": np.arange(len(words)) * step, "duration": 0.5, "word": words, **columns}
        )
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")
        return path

    def confounds(self, subject: str, run: str, table: pd.DataFrame) -> Path:
        path = self.folder(subject) / f"{self.stem(subject, run)}_desc-confounds_timeseries.tsv"
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")
        return path

    def parcels(self, subject: str, run: str, table: pd.DataFrame, tr: float | None = 2.0) -> Path:
        path = self.folder(subject) / f"{self.stem(subject, run)}_atlas-six_timeseries.tsv"
        table.to_csv(path, sep="\t", index=False, na_rep="n/a")
        if tr is not None:
            self.write(path.with_suffix(".json"), {"RepetitionTime": tr, "StartTime": 0.5})
        return path

    def volumes(
        self, subject: str, run: str, data: np.ndarray, mask=None, tr: float = 2.0, affine=AFFINE
    ) -> Path:
        stem = self.folder(subject) / f"{self.stem(subject, run)}_space-MNI"
        image = nib.Nifti1Image(data, affine)
        image.header.set_zooms((*image.header.get_zooms()[:3], tr))
        image.header.set_xyzt_units("mm", "sec")
        path = Path(f"{stem}_desc-preproc_bold.nii.gz")
        nib.save(image, path)
        if mask is not None:
            nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), f"{stem}_desc-brain_mask.nii.gz")
        return path

    def surface(self, subject: str, run: str, hemi: str, data: np.ndarray, *, single: bool = False) -> Path:
        path = self.folder(subject) / f"{self.stem(subject, run)}_hemi-{hemi}_space-fsaverage5_bold.func.gii"
        columns = [data.T] if single else list(data)
        intent = "NIFTI_INTENT_TIME_SERIES"
        arrays = [
            nib.gifti.GiftiDataArray(np.ascontiguousarray(c, np.float32), intent=intent) for c in columns
        ]
        nib.save(nib.GiftiImage(darrays=arrays), path)
        return path

    def study(self, kind: str = "parcels", **sections: object) -> config.Study:
        raw = {
            "dataset": {"path": str(self.root), "task": "story", **sections.pop("dataset", {})},
            "responses": {"kind": kind, **sections.pop("responses", {})},
            "networks": {"net": {"source": "nowhere"}},
            **sections,
        }
        return configfile.parse(raw)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty BIDS dataset with TR 2 s at its root."""
    return Tree(tmp_path / "dataset")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(2024)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch: tiny networks lose by sharing the work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def write_wav():
    """Write a waveform (sample,) or (sample, channel) from −1 to 1 as a WAV file of 16 bits."""

    def write(path: Path, waveform: np.ndarray, rate: int = 16000) -> str:
        samples = np.round(np.atleast_2d(waveform.T).T * 32767).astype("<i2")
        with wave.open(str(path), "wb") as file:
            file.setnchannels(samples.shape[1])
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples.tobytes())
        return str(path)

    return write


@pytest.fixture(scope="session")
def write_video():
    """Write pictures (frame, height, width, 3) as a film, perhaps with sound (sample,) at 16 kHz."""

    def write(
        path: Path, frames: np.ndarray, rate: int = 10, codec: str = "mpeg4", sound: np.ndarray | None = None
    ) -> str:
        import av

        with av.open(str(path), "w") as file:
            stream = file.add_stream(codec, rate=rate, options={"g": "8"})
            stream.bit_rate = 4_000_000
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            heard = None if sound is None else file.add_stream("pcm_s16le", rate=16000, layout="mono")
            for picture in frames:
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode(None))
            if heard is not None:
                whole = np.round(sound * 32767).astype(np.int16)[None]
                piece = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
                piece.sample_rate = 16000
                file.mux(heard.encode(piece))
                file.mux(heard.encode(None))
        return str(path)

    return write


collect_ignore = ["slurm", "kills"]
"""Scripts that take minutes, with a process of their own: `make test-slurm`, `python tests/kills/kill.py`."""
