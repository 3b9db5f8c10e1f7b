"""The files of a simulated image study: pictures, BIDS events, betas as NIfTI, and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from neuroalign.artefacts import arrays, layout
from neuroalign.recordings.simulated.planted_voxels import AFFINE, REGIONS, SHAPE, SPACE, Brain, VoxelPlan
from neuroalign.recordings.simulated.study_files import (
    StudyFiles,
    write_descriptions,
    write_events,
    write_json,
)
from neuroalign.recordings.simulated.viewers import SHOWN_S, Viewed, Viewer

_README = """\
Simulated viewers of images
===========================

Nobody was scanned: neuroalign drew these images and made the responses. The events say which image
was shown when, `stimuli` holds the images. The betas, one volume for each trial in the order of
onsets, follow the tokens of a network through planted receptive fields in some regions, the mean
luminance of the image or nothing in others. What was planted where is told in derivatives/truth,
from which settings in its desc-truth_statmap.json.
"""


def image_name(number: int) -> str:
    """Name of an image, relative to the folder of stimuli."""
    return f"image-{number + 1:04d}.png"


def write_image(pixels: np.ndarray, number: int, study: StudyFiles) -> Path:
    """Write one image and tell where."""
    path = study.root / "stimuli" / image_name(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_trials(study: StudyFiles, viewer: Viewer, viewed: Viewed, brain: Brain, kinds: list[str]) -> None:
    """Events, betas and brain mask of every run of one person."""
    for run, trials in viewer.trials.groupby("run", sort=False):
        label = str(run)
        events = pd.DataFrame(
            {
                "onset": trials["onset"],
                "duration": SHOWN_S,
                "trial_type": [kinds[number] for number in trials["image"]],
                "stim_file": [image_name(number) for number in trials["image"]],
                "repeat": trials["repeat"],
            }
        )
        write_events(study, viewer.label, label, events)
        path = study.derivative(viewer.label, label, f"space-{SPACE}_desc-betas_statmap.nii.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        volume = np.zeros((*SHAPE, len(trials)), np.float32)
        volume[brain.mask] = viewed.betas[trials.index].T
        _save(volume, path)
        about = {
            "Description": "Responses to single trials, in the order of their onsets",
            "Units": "percent signal change",
            "SkullStripped": True,
        }
        write_json(about, study.derivative(viewer.label, label, f"space-{SPACE}_desc-betas_statmap.json"))
        mask = study.derivative(viewer.label, label, f"space-{SPACE}_desc-brain_mask.nii.gz")
        _save(brain.mask.astype(np.uint8), mask)


def write_events_sidecar(study: StudyFiles, kinds: Sequence[str]) -> None:
    """What the columns of the events mean."""
    write_json(
        {
            "onset": {"Description": "When the image appeared", "Units": "s"},
            "duration": {"Description": "How long it stayed", "Units": "s"},
            "trial_type": {
                "Description": "What the image is made of",
                "Levels": {kind: f"an image of {kind}s" for kind in kinds},
            },
            "stim_file": {"Description": "The image, relative to the folder stimuli"},
            "repeat": {"Description": "How often the subject has seen the image, this time included"},
        },
        study.root / f"task-{study.task}_events.json",
    )


def write_voxel_truth(
    study: StudyFiles,
    plan: VoxelPlan,
    brain: Brain,
    people: dict[str, Viewed],
    made_from: dict[str, Any],
) -> None:
    """Planted depth, receptive fields and ceilings, and the regions as a labelled volume."""
    ceilings = {
        "ceiling": np.stack([viewed.ceiling for viewed in people.values()]),
        "ceiling_of_means": np.stack([viewed.ceiling_of_means for viewed in people.values()]),
    }
    truth = xr.Dataset(
        {
            "depth": ("target", plan.depth),
            "field_x": ("target", plan.centre[:, 0]),
            "field_y": ("target", plan.centre[:, 1]),
            "field_size": ("target", plan.size),
            **{name: (("subject", "target"), values) for name, values in ceilings.items()},
        },
        {
            "subject": np.asarray(list(people), object),
            **{name: ("target", brain.voxels[:, axis]) for axis, name in enumerate("ijk")},
            "roi": ("target", plan.roi),
        },
        {
            "kind": "volume",
            "space": SPACE,
            "affine": AFFINE.ravel().tolist(),
            "shape": list(SHAPE),
            **made_from,
            "description": "Planted relative depth; x, y and standard deviation of receptive fields in "
            "shares of the image, from its upper left corner; the highest correlation that a model can reach "
            "in each subject with responses to single trials (ceiling), and with their mean over all repeats "
            "of an image (ceiling_of_means)",
        },
    )
    arrays.save_arrays(truth, study.root / layout.TRUTH)
    labels = np.zeros(SHAPE, np.uint8)
    labels[brain.mask] = [REGIONS.index(name) + 1 for name in plan.roi]
    path = (study.root / layout.TRUTH).with_name(f"space-{SPACE}_desc-regions_dseg.nii.gz")
    _save(labels, path)
    table = pd.DataFrame({"index": range(1, len(REGIONS) + 1), "name": REGIONS})
    table.to_csv(
        path.with_name(path.name.replace(".nii.gz", ".tsv")), sep="\t", index=False, lineterminator="\n"
    )


def describe_viewers(study: StudyFiles, viewers: list[Viewer]) -> None:
    """The files that tell what the dataset is."""
    labels, noise = [viewer.label for viewer in viewers], [viewer.noise for viewer in viewers]
    write_descriptions(study, "Simulated viewers of images", _README, labels, noise)


def _save(values: np.ndarray, path: Path) -> None:
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
