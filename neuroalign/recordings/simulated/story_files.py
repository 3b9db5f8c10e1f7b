"""The files of a simulated story: BIDS events, surface recordings with confounds, and the truth."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import xarray as xr

from neuroalign.artefacts import arrays, layout
from neuroalign.recordings.simulated import planted
from neuroalign.recordings.simulated.listeners import Listener, Recording
from neuroalign.recordings.simulated.narration import Run
from neuroalign.recordings.simulated.study_files import (
    StudyFiles,
    write_descriptions,
    write_events,
    write_json,
)

_README = """\
Simulated listeners of a short story
====================================

Nobody was scanned: neuroalign made this dataset. The events say when each word was spoken. The
responses, on the fsaverage5 surface and without raw counterparts, follow the activations of a
language network in some regions, the rate of words or nothing in others. What was planted where
is told in derivatives/truth, from which settings in its desc-truth_statmap.json.
"""
_COLOURS = {
    "shallow": (0.99, 0.78, 0.25, 1.0),
    "middle": (0.91, 0.42, 0.35, 1.0),
    "deep": (0.48, 0.16, 0.55, 1.0),
    "wordrate": (0.20, 0.60, 0.75, 1.0),
    "noise": (0.65, 0.65, 0.65, 1.0),
}


def write_recording(
    study: StudyFiles, subject: str, run: Run, recording: Recording, cortex: planted.Cortex
) -> None:
    """The bold and confounds files of one run, with their sidecars."""
    for place, hemisphere in enumerate(planted.HEMISPHERES):
        stem = f"hemi-{hemisphere}_space-{planted.SPACE}_bold"
        path = study.derivative(subject, run.label, f"{stem}.func.gii")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_series(recording.data[:, cortex.hemisphere(place)], run.tr, path)
        about = {"RepetitionTime": run.tr, "StartTime": 0.0, "TaskName": study.task, "SkullStripped": False}
        write_json(about, study.derivative(subject, run.label, f"{stem}.json"))
    table = study.derivative(subject, run.label, "desc-confounds_timeseries.tsv")
    recording.confounds.to_csv(
        table, sep="\t", index=False, na_rep="n/a", float_format="%.7f", lineterminator="\n"
    )
    write_json(
        {
            "framewise_displacement": {"Description": "Power's framewise displacement", "Units": "mm"},
            "global_signal": {"Description": "Mean over the cortex"},
            "sound_power": {
                "Description": "Loudness of the words, convolved with a canonical haemodynamic response"
            },
        },
        table.with_suffix(".json"),
    )


def _write_series(data: np.ndarray, tr: float, path: Path) -> None:
    """A time series (volume, vertex) as GIFTI, one array per volume.

    nibabel packs at zlib's level 6, which here takes ten times as long as level 1 to save 7 %.
    """
    head = (
        '<DataArray Intent="NIFTI_INTENT_TIME_SERIES" DataType="NIFTI_TYPE_FLOAT32"'
        ' ArrayIndexingOrder="RowMajorOrder" Dimensionality="1" Encoding="GZipBase64Binary"'
        f' Endian="LittleEndian" ExternalFileName="" ExternalFileOffset="0" Dim0="{data.shape[1]}">'
        f"<MetaData><MD><Name>TimeStep</Name><Value>{tr * 1000:g}</Value></MD></MetaData><Data>"
    ).encode()
    with path.open("wb") as file:
        file.write(
            b'<?xml version="1.0" encoding="UTF-8"?>\n'
            b'<!DOCTYPE GIFTI SYSTEM "http://www.nitrc.org/frs/download.php/115/gifti.dtd">\n'
            b'<GIFTI Version="1.0" NumberOfDataArrays="%d"><MetaData /><LabelTable />\n' % len(data)
        )
        for volume in np.ascontiguousarray(data, "<f4"):
            file.write(head + base64.b64encode(zlib.compress(volume, 1)) + b"</Data></DataArray>\n")
        file.write(b"</GIFTI>\n")


def write_stimuli(study: StudyFiles, runs: list[Run], listeners: list[Listener]) -> None:
    """The events of every listener and run, and what their columns mean."""
    for listener in listeners:
        for run in runs:
            table = run.words.assign(trial_type="word")[["onset", "duration", "trial_type", "word"]]
            write_events(study, listener.label, run.label, table)
    write_json(
        {
            "onset": {"Description": "Onset of the word", "Units": "s"},
            "duration": {"Description": "Duration of the word", "Units": "s"},
            "trial_type": {"Description": "Kind of event", "Levels": {"word": "a spoken word"}},
            "word": {"Description": "The word, with the punctuation that follows it"},
        },
        study.root / f"task-{study.task}_events.json",
    )


def write_truth(
    study: StudyFiles,
    plan: planted.Plan,
    cortex: planted.Cortex,
    listeners: list[Listener],
    ceilings: np.ndarray,
    made_from: dict[str, Any],
) -> None:
    """Planted depth and ceilings, and the regions as label files."""
    truth = xr.Dataset(
        {"depth": ("target", plan.depth), "ceiling": (("subject", "target"), ceilings)},
        {
            "subject": np.asarray([listener.label for listener in listeners], object),
            "hemi": ("target", np.repeat(np.asarray(planted.HEMISPHERES, object), cortex.vertices)),
            "vertex": ("target", np.concatenate([np.arange(n) for n in cortex.vertices])),
            "roi": ("target", plan.roi),
        },
        {
            "kind": "surface",
            "space": planted.SPACE,
            "vertices": list(cortex.vertices),
            **made_from,
            "description": "Planted relative depth, and the highest correlation that a model can reach in "
            f"each subject after drifts below {planted.HIGH_PASS_HZ:g} Hz are removed and runs are z-scored",
        },
    )
    arrays.save_arrays(truth, study.root / layout.TRUTH)
    for place, hemisphere in enumerate(planted.HEMISPHERES):
        name = f"hemi-{hemisphere}_space-{planted.SPACE}_desc-regions_dseg.label.gii"
        _write_labels(plan.roi[cortex.hemisphere(place)], (study.root / layout.TRUTH).with_name(name))


def _write_labels(roi: np.ndarray, path: Path) -> None:
    """The regions of a hemisphere as label GIFTI; key 0 is the unlabelled medial wall."""
    table = nib.gifti.GiftiLabelTable()
    keys = np.zeros(len(roi), np.int32)
    for key, name in enumerate(("???", *planted.REGIONS)):
        entry = nib.gifti.GiftiLabel(key, *_COLOURS.get(name, (0.0, 0.0, 0.0, 0.0)))
        entry.label = name
        table.labels.append(entry)
        keys[roi == name] = key
    labels = nib.gifti.GiftiDataArray(keys, intent="NIFTI_INTENT_LABEL", datatype="NIFTI_TYPE_INT32")
    nib.save(nib.gifti.GiftiImage(labeltable=table, darrays=[labels]), path)


def describe(study: StudyFiles, listeners: list[Listener]) -> None:
    """The files that tell what the dataset is."""
    labels, noise = [listener.label for listener in listeners], [listener.noise for listener in listeners]
    write_descriptions(study, "Simulated listeners of a story", _README, labels, noise)
