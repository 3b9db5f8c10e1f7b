"""Studies with a known truth: made once, left as they are where they stand, never over foreign files.

What a kind of study holds is made by its own module, `story`, `images` or `eeg`; the files
look like a BIDS dataset with derivatives, so that a simulated study goes through every stage as a recorded
one does.
"""

from __future__ import annotations

import json
import logging
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from neuroalign.artefacts import layout
from neuroalign.artefacts.atomic import replacing
from neuroalign.errors import DataError
from neuroalign.networks.families import MODULES
from neuroalign.provenance.sources import stage_digest
from neuroalign.recordings.simulated.study_files import StudyFiles, write_json
from neuroalign.settings.networks import COMPUTING, Network
from neuroalign.settings.simulation import Simulate

log = logging.getLogger(__name__)

RECIPE = str(PurePosixPath(layout.TRUTH).with_suffix(".json"))
"""What the study was made from; a folder that holds it was made here and may be made anew."""

_FILES = {
    "story": ["recordings/simulated/*.txt"],
    "images": ["recordings/simulated/small_vit/*"],
    "eeg": ["recordings/simulated/small_vit/*"],
}
"""Files of the package that a kind of study is made from, beside code."""

_MADE = (
    "README",
    "dataset_description.json",
    "participants.*",
    "task-*_events.json",
    "stimuli",
    "sub-*",
    "derivatives",
    "derivatives/truth",
    ".snakemake_timestamp",
)
"""What a simulated study holds, beside its derivatives."""


def simulate(
    out: str | Path,
    settings: Simulate,
    network: Network,
    seed: int,
    task: str,
    derivatives: str,
) -> None:
    """Write a simulated study: a BIDS dataset, derivatives, and the truth.

    The dataset is built beside `out` and moved there when it is whole. A study made before from the same
    arguments is left untouched, one made from other arguments is replaced.

    Parameters
    ----------
    out : str or Path
        Folder of the new dataset.
    settings : Simulate
        Of the kind of study that is to be made.
    network : Network
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
    module = f"neuroalign.recordings.simulated.{settings.kind}"
    recipe = {
        "Description": "What the simulated study was made from",
        "simulate": settings.model_dump(mode="json"),
        "network": network.model_dump(mode="json", exclude=set(COMPUTING)),
        "seed": seed,
        "task": task,
        "derivatives": derivatives,
        "sources": stage_digest([module, MODULES[network.family]], _FILES[settings.kind]),
    }
    if _stands(out, recipe):
        log.info("%s: made before from the same settings and seed; left as it is", out)
        return
    with replacing(out) as root:
        import_module(module).make(StudyFiles(root, root / derivatives, task), settings, network, seed)
        write_json(recipe, root / RECIPE)


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
