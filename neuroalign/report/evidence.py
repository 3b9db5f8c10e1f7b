"""Everything the report speaks about, read once from below the study's output."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from neuroalign.artefacts import arrays, layout
from neuroalign.artefacts.owned import open_artefact
from neuroalign.errors import DataError
from neuroalign.headers import reading
from neuroalign.settings.config import Study, twin_name

ALL = "all targets"
"""Name of the region that holds every target."""

TYPES = {
    "eeg": "EEG",
    "mag": "magnetometers",
    "grad": "gradiometers",
    "ecog": "ECoG",
    "seeg": "sEEG",
    "dbs": "DBS",
}
"""What types of channels are called."""


@dataclass(frozen=True)
class Evidence:
    """The artefacts of a study.

    Attributes
    ----------
    study : Study
        The configuration.
    summaries : dict (subject, network, encoder) → xr.Dataset
        What the stage `summary` wrote; the mean subject is named "average".
    groups : dict (network, encoder) → xr.Dataset
        What the stage `group` wrote.
    recordings : dict subject → dict
        `n_samples`, `runs` and `cleaning` of the responses; of sensors `n_shown` and `n_dropped`.
    networks : dict network → dict
        Provenance of the activations.
    truth : xr.Dataset or None
        What a simulated study was made from.
    missing : list of str
        Results that the configuration asks for and that are not there.
    prompts : dict (owner, network) → xr.Dataset
        What the stages `prompts` and `prompts_group` wrote, of subjects, "average" and "group".
    timings : dict (owner, network, encoder) → xr.Dataset
        What the stages `timing` and `timing_group` wrote of epochs.
    reconstructions : dict (subject, network) → xr.Dataset
        What the stage `reconstruction` wrote of continuous recordings.
    """

    study: Study
    summaries: dict[tuple[str, str, str], xr.Dataset]
    groups: dict[tuple[str, str], xr.Dataset]
    recordings: dict[str, dict[str, Any]]
    networks: dict[str, dict[str, Any]]
    truth: xr.Dataset | None
    missing: list[str] = field(default_factory=list)
    prompts: dict[tuple[str, str], xr.Dataset] = field(default_factory=dict)
    timings: dict[tuple[str, str, str], xr.Dataset] = field(default_factory=dict)
    reconstructions: dict[tuple[str, str], xr.Dataset] = field(default_factory=dict)

    @property
    def any_summary(self) -> xr.Dataset:
        """One summary, for what all of them share."""
        return next(iter(self.summaries.values()))

    @property
    def kind(self) -> str:
        """What the targets are: "surface", "volume", "cifti", "parcels" or "sensors"."""
        return str(self.any_summary.attrs["kind"])

    def subjects(self, network: str, encoder: str) -> list[str]:
        """Subjects with a summary, without the mean subject."""
        found = [s for s, n, e in self.summaries if (n, e) == (network, encoder)]
        return [subject for subject in found if subject != layout.AVERAGE]

    def whose(self, network: str, encoder: str) -> dict[str, xr.Dataset]:
        """Every summary of a network by its owner: the group first, then subjects, then "average"."""
        out = {"group": self.groups[network, encoder]} if (network, encoder) in self.groups else {}
        return out | {s: d for (s, n, e), d in self.summaries.items() if (n, e) == (network, encoder)}

    def region_names(self) -> list[str]:
        """Every parcel, or the regions in which anyone has a scored target, in alphabetical order.

        Those of sensors are their types; a type that is the only one is not named.
        """
        if self.kind == "parcels":
            return list(dict.fromkeys(regions(self.any_summary).tolist()))
        found: set[str] = set()
        for dataset in self.summaries.values():
            found.update(regions(dataset)[np.isfinite(dataset["chosen_r"].values)].tolist())
        names = sorted(found - {ALL})
        return [] if self.kind == "sensors" and len(names) < 2 else names

    def models(self) -> list[tuple[str, str]]:
        """The (network, encoder) pairs that the study is about: no twins, no nuisance control."""
        wanted = [
            (network, encoder) for network in self.study.conditions() for encoder in self.study.encoders
        ]
        return [pair for pair in wanted if any(key[1:] == pair for key in self.summaries)]

    def layered(self) -> list[tuple[str, str]]:
        """Those of them whose encoder scores layers one by one."""
        return [
            model
            for model in self.models()
            if all(np.isfinite(d["depth"].values).all() for d in self.whose(*model).values())
        ]

    def twin(self, network: str) -> str | None:
        """The untrained twin of a network, where one was run; all prompts of a network share one."""
        name = twin_name(self.study.origin(network)) if network in self.study.conditions() else ""
        return name if any(key[1] == name for key in self.summaries) else None


def open_evidence(study: Study) -> Evidence:
    """Read what the report needs.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Evidence

    Raises
    ------
    DataError
        There is no summary at all, or a file is damaged.
    """
    output = Path(study.output)
    subjects = study.subjects() + ([layout.AVERAGE] if study.responses.average else [])
    summaries: dict[tuple[str, str, str], xr.Dataset] = {}
    groups: dict[tuple[str, str], xr.Dataset] = {}
    missing: list[str] = []
    for network in [*study.fitted_networks(), layout.NUISANCE]:
        for encoder in study.encoders:
            for subject in subjects:
                path = output / layout.SUMMARY.format(subject=subject, network=network, encoder=encoder)
                if path.exists():
                    summaries[subject, network, encoder] = open_artefact(
                        output, layout.SUMMARY, subject=subject, network=network, encoder=encoder
                    )
                elif network != layout.NUISANCE:
                    missing.append(path.name)
            path = output / layout.GROUP.format(network=network, encoder=encoder)
            if path.exists():
                groups[network, encoder] = open_artefact(
                    output, layout.GROUP, network=network, encoder=encoder
                )
    if not any(key[1] in study.conditions() for key in summaries):
        raise DataError(
            f"{output / 'summary'}: no summary of any network to report on; run the stage 'summary' first"
        )
    recordings = {
        subject: _recording(output / layout.RESPONSES.format(subject=subject)) for subject in subjects
    }
    networks = {
        name: _provenance(output / layout.ACTIVATIONS.format(network=name)) for name in study.all_networks()
    }
    prompts = _prompts(study, subjects, missing)
    truth = Path(study.dataset.path) / layout.TRUTH
    known = arrays.open_arrays(truth) if study.simulate is not None and truth.exists() else None
    timings = _timings(study, summaries)
    return Evidence(
        study,
        summaries,
        groups,
        recordings,
        networks,
        known,
        missing,
        prompts,
        timings,
        _reconstructions(study, subjects),
    )


def _reconstructions(study: Study, subjects: list[str]) -> dict[tuple[str, str], xr.Dataset]:
    """Reconstructions that are there, by subject and network."""
    found = {}
    for network in study.conditions():
        for subject in subjects:
            path = Path(study.output, layout.RECONSTRUCTION.format(subject=subject, network=network))
            if path.exists():
                found[subject, network] = arrays.open_arrays(path)
    return found


def _timings(
    study: Study, summaries: dict[tuple[str, str, str], xr.Dataset]
) -> dict[tuple[str, str, str], xr.Dataset]:
    """Timing of every subject and of the group that has it."""
    found = {}
    for subject, network, encoder in summaries:
        made_for = {"network": network, "encoder": encoder}
        for owner, pattern in ((subject, layout.TIMING), ("group", layout.TIMING_GROUP)):
            path = Path(study.output, pattern.format(subject=owner, **made_for))
            if (owner, network, encoder) not in found and path.exists():
                found[owner, network, encoder] = arrays.open_arrays(path)
    return found


def _prompts(study: Study, subjects: list[str], missing: list[str]) -> dict[tuple[str, str], xr.Dataset]:
    """Comparisons of prompts, by owner and network; those that are not there are noted as missing."""
    if "ridge" not in study.encoders:
        return {}
    found = {}
    for network in study.compared_prompts():
        paths = {s: layout.PROMPTS.format(subject=s, network=network) for s in subjects}
        if len(study.subjects()) > 1:
            paths["group"] = layout.PROMPTS_GROUP.format(network=network)
        for owner, name in paths.items():
            path = Path(study.output, name)
            if path.exists():
                found[owner, network] = arrays.open_arrays(path)
            else:
                missing.append(path.name)
    return found


def _recording(path: Path) -> dict[str, Any]:
    """Size and cleaning of a subject's responses, without reading them."""
    if not path.exists():
        return {}
    with reading(path), xr.open_dataset(path, engine="h5netcdf") as responses:
        runs = list(dict.fromkeys(responses["run"].values.astype(str).tolist()))
        counts = {
            name: int(responses.attrs[name]) for name in ("n_shown", "n_dropped") if name in responses.attrs
        }
        return {
            "n_samples": responses.sizes["sample"],
            "runs": runs,
            "cleaning": str(responses.attrs.get("cleaning", "")),
            **counts,
        }


def _provenance(path: Path) -> dict[str, Any]:
    return arrays.open_activations(path).attributes if path.exists() else {}


def significant(summary: xr.Dataset) -> np.ndarray:
    """Scored targets (target,) called significant; none where nothing was tested, as for the control."""
    if "significant" not in summary:
        return np.zeros(summary.sizes["target"], bool)
    scored = np.isfinite(summary["chosen_r"].values)
    return np.asarray(summary["significant"].values.astype(bool) & scored)


def column(summary: xr.Dataset, name: str) -> np.ndarray:
    """A variable over targets as float64; NaN where the summary does not have it."""
    if name not in summary:
        return np.full(summary.sizes["target"], np.nan)
    return np.asarray(summary[name].values, float)


def config_text(study: Study) -> str:
    """The configuration as it was written, or spelled out in full where no copy was kept."""
    kept = Path(study.output) / layout.CONFIG
    if kept.exists():
        return kept.read_text(encoding="utf-8")
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def dataset_name(study: Study) -> str:
    """The name in `dataset_description.json`, or else the dataset's folder."""
    path = Path(study.dataset.path) / "dataset_description.json"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["Name"])
    except (OSError, ValueError, KeyError, TypeError):
        return Path(study.dataset.path).name


def regions(dataset: xr.Dataset) -> np.ndarray:
    """Region of every target: its name for parcels, else `roi`, or a type of channel, else one of all."""
    if dataset.attrs.get("kind") == "parcels" and "name" in dataset.coords:
        return dataset["name"].values.astype(str)
    labels = dataset["roi"].values.astype(str) if "roi" in dataset.coords else np.array([""])
    if dataset.attrs.get("kind") == "sensors" and not (labels != "").any():
        return np.array([TYPES.get(kind, kind) for kind in dataset["channel_type"].values.astype(str)])
    if "roi" in dataset.coords:
        return np.where(labels == "", "unlabelled", labels)
    return np.full(dataset.sizes["target"], ALL)


def in_region(dataset: xr.Dataset, region: str) -> np.ndarray:
    """Targets (target,) of a region; all of them where it is `ALL`."""
    return np.ones(dataset.sizes["target"], bool) if region == ALL else regions(dataset) == region


def texts(value: Any) -> list[str]:
    """A list attribute as netCDF gives it back: a list, an array, or a bare string for one entry."""
    if value is None or isinstance(value, str):
        return [value] if value else []
    return [str(entry) for entry in np.atleast_1d(np.asarray(value, object)) if str(entry)]


def mean(values: np.ndarray, axis: int | None = None) -> Any:
    """Mean over finite entries; NaN, without a warning, where there is none."""
    values = np.asarray(values, float)
    finite = np.isfinite(values)
    count = finite.sum(axis)
    total = np.where(finite, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)[()]
