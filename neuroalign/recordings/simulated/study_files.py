"""The files that all simulated studies share: where they lie, and what tells what the dataset is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from neuroalign import __version__
from neuroalign.artefacts import layout

_BIDS_VERSION = "1.10.0"


@dataclass(frozen=True)
class StudyFiles:
    """Where the study is written, and how its files are called; `datatype` is the folder of its runs."""

    root: Path
    derivatives: Path
    task: str
    datatype: str = "func"

    def raw(self, subject: str, run: str) -> Path:
        """The events file of a run."""
        return self.recorded(subject, run, "events.tsv")

    def recorded(self, subject: str, run: str, ending: str) -> Path:
        """A file of a run as it was recorded, whose name goes on with `ending`."""
        name = f"sub-{subject}_task-{self.task}_run-{run}_{ending}"
        return self.root / f"sub-{subject}" / self.datatype / name

    def derivative(self, subject: str, run: str, ending: str) -> Path:
        """A derivative of a run, whose name goes on with `ending`."""
        return (
            self.derivatives
            / f"sub-{subject}"
            / "func"
            / f"sub-{subject}_task-{self.task}_run-{run}_{ending}"
        )


def write_events(study: StudyFiles, subject: str, run: str, table: pd.DataFrame, decimals: int = 3) -> None:
    """The events of one run of one subject, times with as many decimals."""
    path = study.raw(subject, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, sep="\t", index=False, float_format=f"%.{decimals}f", lineterminator="\n")


def write_descriptions(
    study: StudyFiles, name: str, readme: str, labels: Sequence[str], noise: Sequence[float]
) -> None:
    """The files that tell what the dataset is; the one that makes it a BIDS dataset comes last."""
    about = {"BIDSVersion": _BIDS_VERSION, "GeneratedBy": [{"Name": "neuroalign", "Version": __version__}]}
    truth = (study.root / layout.TRUTH).parent
    for folder, title in ((study.derivatives, "Simulated responses"), (truth, "Planted truth")):
        if not folder.is_dir():
            continue
        write_json({"Name": title, "DatasetType": "derivative", **about}, folder / "dataset_description.json")
    people = pd.DataFrame({"participant_id": [f"sub-{label}" for label in labels], "noise": noise})
    people.to_csv(study.root / "participants.tsv", sep="\t", index=False, lineterminator="\n")
    meaning = {"Description": "Standard deviation of the noise, relative to that of an average subject"}
    write_json({"noise": meaning}, study.root / "participants.json")
    (study.root / "README").write_text(readme, encoding="utf-8")
    write_json({"Name": name, "DatasetType": "raw", **about}, study.root / "dataset_description.json")


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write a sidecar."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
