"""EEG recordings that are damaged or do not fit their events and settings."""

from __future__ import annotations

import shutil
import warnings

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest

RATE, CHANNELS, WORDS = 100.0, ("Fz", "Cz", "Pz", "Oz"), 8
CHECK, RESPONSES = ("check",), ("responses", "--subject", "01")


def write_run(root, run):
    rng = np.random.default_rng(int(run))
    data = 1e-5 * rng.standard_normal((len(CHANNELS), int(RATE * (2 + 1.5 * WORDS))))
    raw = mne.io.RawArray(data, mne.create_info(list(CHANNELS), RATE, "eeg"), verbose="error")
    raw.info["line_freq"] = 50
    path = mne_bids.BIDSPath(subject="01", task="read", run=run, root=root, datatype="eeg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mne_bids.write_raw_bids(
            raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="error"
        )
    table = {"onset": 1 + 1.5 * np.arange(WORDS), "duration": 0.5, "trial_type": "word"}
    table["word"] = [f"word{number}" for number in range(WORDS)]
    pd.DataFrame(table).to_csv(str(path.fpath).replace("_eeg.vhdr", "_events.tsv"), sep="\t", index=False)


@pytest.fixture(scope="session")
def kept_lab(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab") / "eeg"
    root.mkdir()
    for run in ("1", "2"):
        write_run(root, run)
    return root


@pytest.fixture
def lab(story, kept_lab):
    shutil.rmtree(story.data)
    shutil.copytree(kept_lab, story.data)
    story.config["dataset"] = {"path": str(story.data), "task": "read"}
    sensors = {"band_hz": [None, None], "resample_hz": None, "epoch_s": [-0.2, 0.5]}
    story.config["responses"] = {"kind": "eeg", "samples": "trials", "sensors": sensors}
    story.config["design"] = {}
    return story


def test_well_before(lab, run):
    ran = run("check", lab.save())
    assert ran.status == 0, ran.err
    for command in (("index",), ("stimuli",), RESPONSES):
        ran = run(command[0], lab.save(), *command[1:])
        assert ran.status == 0, ran.err


def of(lab, ending, run="1"):
    return lab.data / f"sub-01/eeg/sub-01_task-read_run-{run}_{ending}"


def edit(lab, ending, old, new):
    path = of(lab, ending)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


CASES = {
    "no-data": (lambda lab: of(lab, "eeg.eeg").unlink(), "run-1_eeg"),
    "empty-data": (lambda lab: of(lab, "eeg.eeg").write_bytes(b""), "run-1_eeg"),
    "empty-header": (lambda lab: of(lab, "eeg.vhdr").write_bytes(b""), "run-1_eeg.vhdr"),
    "garbage-header": (lambda lab: of(lab, "eeg.vhdr").write_bytes(b"\xff\xfe" * 99), "run-1_eeg.vhdr"),
    "data-elsewhere": (
        lambda lab: edit(
            lab, "eeg.vhdr", "DataFile=sub-01_task-read_run-1_eeg.eeg", "DataFile=../../../x.eeg"
        ),
        "run-1_eeg",
    ),
    "no-channels-in-header": (
        lambda lab: edit(lab, "eeg.vhdr", "NumberOfChannels=4", "NumberOfChannels=9"),
        "run-1_eeg.vhdr",
    ),
    "no-rate": (lambda lab: edit(lab, "eeg.vhdr", "SamplingInterval=", "Samplng="), "run-1_eeg.vhdr"),
    "rate-of-words": (
        lambda lab: edit(lab, "eeg.vhdr", "SamplingInterval=", "SamplingInterval=x"),
        "run-1_eeg.vhdr",
    ),
    "sidecar-of-words": (lambda lab: of(lab, "eeg.json").write_text("{"), "eeg"),
    "channels-of-another": (lambda lab: edit(lab, "channels.tsv", "Fz", "Fq"), "run-1"),
    "unknown-type": (lambda lab: edit(lab, "channels.tsv", "EEG", "NOPE"), "run-1"),
    "channel": (lambda lab: lab.set("responses.sensors.channels", ["Fq"]), "'Fq'"),
    "bad": (lambda lab: lab.set("responses.sensors.bad", ["Fq"]), "'Fq'"),
    "all-bad": (lambda lab: lab.set("responses.sensors.bad", list(CHANNELS)), "bad"),
    "reference": (lambda lab: lab.set("responses.sensors.reference", ["Fq"]), "'Fq'"),
    "montage": (lambda lab: lab.set("responses.sensors.montage", "biosmi64"), "biosmi64"),
    "rejected": (lambda lab: lab.set("responses.sensors.reject", {"eeg": 1e-12}), "no trial is left"),
    "flat": (lambda lab: lab.set("responses.sensors.flat", {"eeg": 1.0}), "no trial is left"),
    "reject-type": (lambda lab: lab.set("responses.sensors.reject", {"mag": 1e-12}), "'mag'"),
    "reject-below-zero": (lambda lab: lab.set("responses.sensors.reject", {"eeg": -1}), "reject"),
    "epoch": (lambda lab: lab.set("responses.sensors.epoch_s", [0.5, -0.2]), "epoch_s"),
    "long-epoch": (lambda lab: lab.set("responses.sensors.epoch_s", [-0.2, 500]), "epoch_s"),
    "baseline": (lambda lab: lab.set("responses.sensors.baseline_s", [-5, 0]), "baseline_s"),
    "band": (lambda lab: lab.set("responses.sensors.band_hz", [60, 80]), "band_hz"),
    "band-too-low": (lambda lab: lab.set("responses.sensors.band_hz", [0.0001, None]), "band_hz"),
    "notch": (lambda lab: lab.set("responses.sensors.notch_hz", [-50]), "notch_hz"),
    "rate": (lambda lab: lab.set("responses.sensors.resample_hz", 0), "resample_hz"),
    "outside": (
        lambda lab: of(lab, "events.tsv").write_text("onset\tduration\ttrial_type\tword\n900\t1\tword\ta\n"),
        "run-1",
    ),
    "before": (
        lambda lab: of(lab, "events.tsv").write_text("onset\tduration\ttrial_type\tword\n-9\t1\tword\ta\n"),
        "run-1",
    ),
    "together": (
        lambda lab: of(lab, "events.tsv").write_text(
            "onset\tduration\ttrial_type\tword\n1\t1\tword\ta\n1\t1\tword\tb\n"
        ),
        "run-1",
    ),
    "other-rate": (
        lambda lab: edit(lab, "eeg.vhdr", "SamplingInterval=10000", "SamplingInterval=5000"),
        "run-",
    ),
}


NOT_BY_HEADERS = ("rejected", "flat", "all-bad", "long-epoch", "band-too-low", "together", "other-rate")
"""What `check`, which reads no samples, cannot know; the stage itself refuses it."""


@pytest.mark.parametrize("name", CASES)
def test_a_recording_that_does_not_fit(lab, refused, run, name):
    damage, named = CASES[name]
    damage(lab)
    if run("index", lab.save()).status == 0 and run("stimuli", lab.save()).status == 0:
        refused(lab, *RESPONSES, named=(named,))
    if name not in NOT_BY_HEADERS:
        refused(lab, *CHECK, named=(named,))


def test_a_run_that_lost_its_header_is_spoken_of(lab, run):
    of(lab, "eeg.vhdr").unlink()
    for command in (("index",), ("stimuli",), RESPONSES):
        ran = run(command[0], lab.save(), *command[1:])
        assert ran.status == 0, ran.err
    assert "sub-01: events but no recording of run-1" in ran.err


@pytest.fixture
def epochs(lab):
    folder = lab.data / "derivatives/fmriprep/sub-01/eeg"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for run in ("1", "2"):
        save_epochs(folder / f"sub-01_task-read_run-{run}_epo.fif", rng, WORDS)
    lab.config["responses"] = {"kind": "epochs", "sensors": {"resample_hz": None, "epoch_s": [-0.2, 0.5]}}
    return lab


def save_epochs(path, rng, n):
    info = mne.create_info(list(CHANNELS), RATE, "eeg")
    made = mne.EpochsArray(1e-5 * rng.standard_normal((n, 4, 71)), info, tmin=-0.2, verbose="error")
    made.save(path, overwrite=True, verbose="error")


EPOCHS = {
    "fewer": lambda path: save_epochs(path, np.random.default_rng(0), WORDS - 1),
    "more": lambda path: save_epochs(path, np.random.default_rng(0), WORDS + 3),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "garbage": lambda path: path.write_bytes(b"garbage" * 300),
}


@pytest.mark.parametrize("name", EPOCHS)
def test_epochs_that_do_not_fit(epochs, refused, run, name):
    path = epochs.data / "derivatives/fmriprep/sub-01/eeg/sub-01_task-read_run-1_epo.fif"
    EPOCHS[name](path)
    assert run("index", epochs.save()).status == run("stimuli", epochs.save()).status == 0
    refused(epochs, *RESPONSES, named=("run-1",))
