"""What the rotatable surface viewer shows: meshes and maps packed for the page's script."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.maps import geometry
from neuroalign.report import figures
from neuroalign.report.brain import surfaces
from neuroalign.report.drawing.palette import Scale
from neuroalign.report.drawing.style import paint
from neuroalign.report.evidence import Evidence, significant

NOTHING = 65535
"""The code of a vertex without a value; others count from the map's lowest to its highest."""


def plotly_script() -> str | None:
    """The plotly-gl3d script (MIT licence) that nilearn carries; None where it does not."""
    import nilearn

    path = Path(nilearn.__file__).parent / "plotting" / "data" / "js" / "plotly-gl3d-latest.min.js"
    if not path.exists():
        return None
    # A closing tag inside a string of the script would end the element that holds it.
    return path.read_text(encoding="utf-8").replace("</script", "<\\/script")


def payload(evidence: Evidence, meshes: dict[str, surfaces.Mesh]) -> dict[str, Any]:
    """Everything the viewer needs.

    Parameters
    ----------
    evidence : Evidence
    meshes : dict hemisphere → Mesh

    Returns
    -------
    dict
        `meshes`, `colours`, `masks` (what is significant, of each model and owner), and `maps`: a list of
        owner, network, map, limits, name of the mask and, per hemisphere, 16-bit codes in base64. Untrained
        twins appear with their group only (or their only subject), and as many subjects as have maps drawn,
        which keeps the page small; `left` counts the others.
    """
    top = figures.top_of_scale(evidence)
    entries: list[dict[str, Any]] = []
    masks: dict[str, dict[str, str]] = {}
    left = 0
    for network, encoder in evidence.models():
        whose = evidence.whose(network, encoder)
        left = max(left, len(whose) - figures.MAX_SUBJECTS - 1)
        for owner, dataset in list(whose.items())[: figures.MAX_SUBJECTS + 1]:
            entries += _entries(dataset, f"{network} · {encoder}", owner, top, meshes, masks)
        twin = evidence.twin(network)
        for owner, dataset in list(evidence.whose(twin, encoder).items())[:1] if twin else []:
            entries += _entries(dataset, f"{twin} · {encoder}", owner, top, meshes, masks)
    names = {entry["colours"] for entry in entries}
    return {
        "meshes": {hemi: _mesh(mesh) for hemi, mesh in meshes.items()},
        "colours": {name: _colours(name) for name in sorted(names)},
        "masks": masks,
        "left": left,
        "maps": entries,
    }


def _entries(
    dataset: xr.Dataset,
    model: str,
    owner: str,
    top: float,
    meshes: dict[str, surfaces.Mesh],
    masks: dict[str, dict[str, str]],
) -> list[dict[str, Any]]:
    verdict, key = significant(dataset).astype(float), f"{model}, {owner}"
    masks[key] = {
        h: _base64(geometry.on_surface(dataset, verdict, h)[m.vertices] == 1, np.uint8)
        for h, m in meshes.items()
    }
    out = []
    for shown in figures.shown_maps(dataset, top):
        finite = shown.values[np.isfinite(shown.values)]
        low, high = float(finite.min()), float(finite.max())
        codes = {
            hemi: _base64(
                _coded(geometry.on_surface(dataset, shown.values, hemi)[mesh.vertices], low, high), np.uint16
            )
            for hemi, mesh in meshes.items()
        }
        entry: dict[str, Any] = {
            "model": model,
            "owner": _owner(owner),
            "map": shown.title,
            "label": shown.scale.label,
        }
        entry |= {"colours": shown.scale.colours, "from": shown.scale.low, "to": shown.scale.high}
        out.append({**entry, "low": low, "high": high, "codes": codes, "mask": key})
    return out


def _owner(owner: str) -> str:
    return {"group": "group", layout.AVERAGE: "mean subject"}.get(owner, f"sub-{owner}")


def _coded(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values as whole numbers from 0 (`low`) to 65534 (`high`)."""
    scaled = (values - low) / (high - low if high > low else 1.0) * (NOTHING - 1)
    return np.where(np.isfinite(scaled), np.round(np.nan_to_num(scaled)), NOTHING)


def _mesh(mesh: surfaces.Mesh) -> dict[str, Any]:
    shapes = {name: _base64(xyz.T, np.float32) for name, xyz in mesh.shapes.items()}
    grey = np.round(255 * surfaces.base_grey(mesh))
    return {
        "shapes": shapes,
        "faces": _base64(mesh.faces.T, np.uint16),
        "grey": _base64(grey, np.uint8),
        "vertices": _base64(mesh.vertices, np.uint32),
    }


def _colours(name: str) -> list[list[int]]:
    """256 colours of a colour map."""
    table = paint(np.linspace(0, 1, 256), Scale(name, 0.0, 1.0, ""))
    return [[int(part) for part in colour] for colour in np.round(255 * table)]


def _base64(values: np.ndarray, dtype: Any) -> str:
    """Little-endian bytes, so that every browser reads the same numbers."""
    packed = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(packed.tobytes()).decode()
