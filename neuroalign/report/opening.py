"""The artefacts of a study, opened for the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from neuroalign.artefacts import arrays, layout
from neuroalign.artefacts.owned import browse_artefact
from neuroalign.errors import DataError
from neuroalign.headers import reading
from neuroalign.report.evidence import Evidence
from neuroalign.settings.config import Study

Places = dict[str, np.ndarray]
"""Coordinates of targets by their names, as they were met first."""


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
    places: Places = {}
    for network in [*study.fitted_networks(), layout.NUISANCE]:
        for encoder in study.encoders:
            made_for = {"network": network, "encoder": encoder}
            for subject in subjects:
                path = output / layout.SUMMARY.format(subject=subject, **made_for)
                if path.exists():
                    summaries[subject, network, encoder] = _scores(
                        output, layout.SUMMARY, places, subject=subject, **made_for
                    )
                elif network != layout.NUISANCE:
                    missing.append(path.name)
            if (output / layout.GROUP.format(**made_for)).exists():
                groups[network, encoder] = _scores(output, layout.GROUP, places, **made_for)
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


def _scores(output: Path, pattern: str, places: Places, **made_for: str) -> xr.Dataset:
    """A summary whose values are read when they are asked for: of many subjects they would fill the memory.

    Where targets are is kept, once for all summaries that have the same.
    """
    found = browse_artefact(output, pattern, **made_for)
    kept = {}
    for name, coordinate in found.coords.items():
        if name not in found.dims:
            with reading(output / pattern.format(**made_for)):
                values = coordinate.values
            same = places.setdefault(str(name), values)
            kept[name] = (coordinate.dims, same if np.array_equal(same, values) else values)
    return found.assign_coords(kept)


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
