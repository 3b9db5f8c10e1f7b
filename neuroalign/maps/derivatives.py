"""Scores onto their geometry: NIfTI, GIFTI, CIFTI, evoked or tables, named as a BIDS-derivative dataset.

`scores` and `prompts` say which maps there are, `geometry` puts them on vertices, voxels and grayordinates,
and `evoked` on sensors; here they become files.
The folder is made whole and then moved into place, and equal summaries give equal bytes.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign import __version__
from neuroalign.artefacts import arrays, layout
from neuroalign.artefacts.atomic import replacing
from neuroalign.bids import bids_name
from neuroalign.errors import DataError, choices
from neuroalign.maps.evoked import evoked_maps
from neuroalign.maps.geometry import HEMISPHERES, affine, grayordinates, in_volume, on_surface
from neuroalign.maps.prompts import prompt_maps
from neuroalign.maps.scores import ScoreMap, score_maps
from neuroalign.maps.sensors import channels, datatype

BIDS_VERSION = "1.10.0"


def write_maps(summaries: Iterable[xr.Dataset], folder: str | Path, study_title: str) -> list[Path]:
    """Write every map of every summary below `folder` under BIDS-derivative names.

    Parameters
    ----------
    summaries : iterable of xr.Dataset
        Of subjects and of the group (attribute `subject` is "group"); comparisons of prompts too.
    folder : str or Path
        Replaced as a whole.
    study_title : str
        Becomes the name of the derivative dataset.

    Returns
    -------
    list of Path
        The map files, without their sidecars.

    Raises
    ------
    DataError
        A summary is of none of the kinds that are known, or its targets lie outside its geometry.
    """
    summaries = list(summaries)
    folder = Path(folder)
    encoders = {str(summary.attrs["encoder"]) for summary in summaries}
    written: list[Path] = []
    with replacing(folder) as temporary:
        temporary.mkdir()
        arrays.save_json(_description(study_title), temporary / "dataset_description.json")
        for summary in summaries:
            for name, content, sidecar in _files(summary, several_encoders=len(encoders) > 1):
                path = temporary / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                arrays.save_json(sidecar, path.with_name(path.name.split(".", 1)[0] + ".json"))
                written.append(folder / name)
    return written


def _description(study_title: str) -> dict[str, Any]:
    """`dataset_description.json`: the summaries are reached by the link `study`."""
    return {
        "Name": f"{study_title}: encoding-model maps",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "neuroalign", "Version": __version__}],
        "DatasetLinks": {"study": ".."},
    }


def _files(summary: xr.Dataset, several_encoders: bool) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Relative path, bytes and sidecar of every file made from one summary."""
    attributes = summary.attrs
    kind = str(attributes.get("kind", ""))
    network, encoder = str(attributes["network"]), str(attributes["encoder"])
    subject = str(attributes["subject"])
    entities = {
        "sub": "" if subject == "group" else subject,
        "task": str(attributes.get("task") or ""),
        "space": str(attributes.get("space") or ""),
        "desc": f"{network}{encoder.title().replace('_', '')}" if several_encoders else network,
    }
    folder = datatype(channels(summary)["channel_type"]) if kind == "sensors" else "func"
    place = f"sub-{subject}/{folder}" if entities["sub"] else "group"
    found = prompt_maps(summary) if _of_prompts(summary) else score_maps(summary)
    if kind in ("parcels", "sensors"):
        more = {"stat": "prompts"} if _of_prompts(summary) else {}
        name = bids_name({**entities, **more}, "statmap", ".tsv")
        yield f"{place}/{name}", _table(summary, found), _table_sidecar(summary, found)
        if kind == "parcels":
            return
        # One sidecar serves both: it lies beside them under the name without an ending.
        yield f"{place}/{Path(name).stem}.nc", _arrays(summary), _table_sidecar(summary, found)
        for score_map, content in evoked_maps(summary, found):
            name = bids_name({**entities, "stat": score_map.stat}, "ave", ".fif")
            yield f"{place}/{name}", content, _evoked_sidecar(summary, score_map)
        return
    makers = {"surface": _surfaces, "volume": _volume, "cifti": _cifti}
    if kind not in makers:
        raise DataError(
            f"maps: kind of sub-{subject} is {kind!r}: {choices(kind, [*makers, 'parcels', 'sensors'])}"
        )
    for score_map in found:
        for more, extension, content in makers[kind](summary, score_map):
            name = bids_name({**entities, **more, "stat": score_map.stat}, "statmap", extension)
            yield f"{place}/{name}", content, _sidecar(summary, score_map)


def _of_prompts(summary: xr.Dataset) -> bool:
    return "prompt" in summary.dims


def _surfaces(summary: xr.Dataset, score_map: ScoreMap) -> Iterator[tuple[dict[str, str], str, bytes]]:
    import nibabel

    names = _layer_names(summary, score_map.rows) if score_map.values.ndim == 2 else [score_map.stat]
    for hemi, structure in HEMISPHERES.items():
        rows = np.atleast_2d(on_surface(summary, score_map.values, hemi))
        darrays = [
            nibabel.gifti.GiftiDataArray(
                row, intent="NIFTI_INTENT_SHAPE", datatype="NIFTI_TYPE_FLOAT32", meta={"Name": name}
            )
            for row, name in zip(rows, names, strict=True)
        ]
        meta = nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure})
        yield {"hemi": hemi}, ".shape.gii", nibabel.gifti.GiftiImage(meta=meta, darrays=darrays).to_bytes()


def _volume(summary: xr.Dataset, score_map: ScoreMap) -> Iterator[tuple[dict[str, str], str, bytes]]:
    import nibabel

    image = nibabel.nifti1.Nifti1Image(in_volume(summary, score_map.values), affine(summary))
    image.header.set_xyzt_units("mm")
    # A fixed time stamp: gzip would otherwise write the time of day into the file.
    yield {}, ".nii.gz", gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def _cifti(summary: xr.Dataset, score_map: ScoreMap) -> Iterator[tuple[dict[str, str], str, bytes]]:
    import nibabel

    names = _layer_names(summary, score_map.rows) if score_map.values.ndim == 2 else [score_map.stat]
    rows = np.atleast_2d(score_map.values).astype(np.float32)
    axes = (nibabel.cifti2.ScalarAxis(names), grayordinates(summary))
    image = nibabel.Cifti2Image(rows, axes)
    image.update_headers()
    image.nifti_header.set_intent("ConnDenseScalar")
    yield {}, ".dscalar.nii", image.to_bytes()


def _table(summary: xr.Dataset, found: Sequence[ScoreMap]) -> bytes:
    places = {name: summary[name].values for name in arrays.TARGET_COORDINATES if name in summary.coords}
    table = pd.DataFrame({**places, **dict(_columns(summary, found))})
    return table.to_csv(
        sep="\t", index=False, na_rep="n/a", float_format="%.6g", lineterminator="\n"
    ).encode()


def _columns(summary: xr.Dataset, found: Sequence[ScoreMap]) -> Iterator[tuple[str, np.ndarray]]:
    for score_map in found:
        if score_map.values.ndim == 1:
            yield score_map.stat, score_map.values
        else:
            for layer, row in zip(_layer_names(summary, score_map.rows), score_map.values, strict=True):
                yield f"{score_map.stat}:{layer}", row


def _table_sidecar(summary: xr.Dataset, found: Sequence[ScoreMap]) -> dict[str, Any]:
    columns = {name: _about(score_map) for score_map in found for name, _ in _columns(summary, [score_map])}
    what = {"sensors": "channel, at every latency where there are latencies"}.get(
        str(summary.attrs.get("kind")), "parcel"
    )
    return {
        "Description": f"Scores of every {what}, one row each",
        **_origin(summary),
        **_made_by(summary),
        **columns,
    }


def _arrays(summary: xr.Dataset) -> bytes:
    """The summary itself, as netCDF-4."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "statmap.nc"
        arrays.save_arrays(summary, path)
        return path.read_bytes()


def _evoked_sidecar(summary: xr.Dataset, score_map: ScoreMap) -> dict[str, Any]:
    """What MNE cannot know: that values are no volts, and how to plot them."""
    return {
        **_sidecar(summary, score_map),
        "Software": "mne.read_evokeds(path); values are in the units above whatever the type of a channel, "
        'so plot with scalings=1 and units="r" or the like; channels that could not be scored are bad '
        "and NaN: drop them before get_peak",
        "Positions": str(summary.attrs.get("montage") or "unknown"),
    }


def _sidecar(summary: xr.Dataset, score_map: ScoreMap) -> dict[str, Any]:
    return {**_about(score_map), **_origin(summary), **_made_by(summary)}


def _about(score_map: ScoreMap) -> dict[str, Any]:
    return {
        "Description": score_map.description,
        "Units": score_map.units,
        "Masking": score_map.masking,
        **({"Levels": score_map.levels} if score_map.levels else {}),
    }


def _origin(summary: xr.Dataset) -> dict[str, Any]:
    """What the maps were made from: network, encoder, layers and the summary's place in the study."""
    attributes = summary.attrs
    names = {key: str(attributes[key]) for key in ("subject", "network", "encoder")}
    if _of_prompts(summary):
        pattern = layout.PROMPTS_GROUP if names["subject"] == "group" else layout.PROMPTS
        return {
            "Network": names["network"],
            "Encoder": names["encoder"],
            "Prompts": dict(zip(_layer_names(summary, "prompt"), _layer_names(summary, "text"), strict=True)),
            "Sources": [f"bids:study:{pattern.format(**names)}"],
        }
    # An encoder that has one score for all layers names those that it looks at.
    rows = "source_layer" if "source_layer" in summary.coords else "layer"
    depths = summary[rows.replace("layer", "depth")].values
    pattern = layout.GROUP if names["subject"] == "group" else layout.SUMMARY
    return {
        "Network": names["network"],
        "Encoder": names["encoder"],
        "Layers": _layer_names(summary, rows),
        # None for the one layer of encoders that are mixed.
        "Depths": [round(float(depth), 6) if np.isfinite(depth) else None for depth in depths],
        "Sources": [f"bids:study:{pattern.format(**names)}"],
    }


def _made_by(summary: xr.Dataset) -> dict[str, Any]:
    """By what the summary was made, where it says so."""
    stamp = summary.attrs.get("provenance")
    return {} if stamp is None else {"Provenance": json.loads(str(stamp))}


def _layer_names(summary: xr.Dataset, rows: str = "layer") -> list[str]:
    return [str(name) for name in summary[rows].values]
