"""By what an artefact was made, written into it: settings, code, versions, seed, and the files it is made of.

A stamp knows no time and no absolute path, so that equal studies still give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neuroalign.artefacts import layout
from neuroalign.errors import DataError
from neuroalign.headers import reading
from neuroalign.provenance.sources import versions
from neuroalign.provenance.triggers import code_digest, settings_digest
from neuroalign.settings.config import Study

STAMP = "provenance"
"""Attribute that holds the stamp, as JSON; in sidecars of maps the key `Provenance`."""


def stamp(
    study: Study,
    stage: str,
    sources: Iterable[Path] = (),
    network: str | None = None,
    encoder: str | None = None,
) -> str:
    """By what a stage makes its artefact, as JSON.

    Parameters
    ----------
    study : Study
    stage : str
        A key of `triggers.READS`.
    sources : iterable of Path
        Files that are opened; those below the study's output are named relative to it.
    network, encoder : str, optional
        Where settings of these count.

    Returns
    -------
    str
    """
    root = Path(study.output)
    inputs = {
        (path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name): file_digest(path)
        for path in sources
    }
    content = {
        "stage": stage,
        "config": layout.CONFIG,
        "settings_digest": settings_digest(study, stage, network=network, encoder=encoder),
        "code_digest": code_digest(stage, encoder),
        "seed": study.seed,
        "inputs": dict(sorted(inputs.items())),
        "versions": versions(),
    }
    return json.dumps(content)


def file_digest(path: Path) -> str:
    """The sha256 of a file; of a Zarr store that of its description, which holds digests of its items."""
    path = path / "zarr.json" if path.is_dir() else path
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_stamp(path: str | Path) -> dict[str, Any]:
    """Read by what an artefact was made: netCDF, Parquet, Zarr, or a map with its JSON sidecar.

    Raises
    ------
    DataError
        There is no such file, it is no artefact, or it carries no stamp.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file; give an artefact of a study")
    with reading(path):
        found = _attribute(path)
        content = json.loads(found) if isinstance(found, str) else found
    if not isinstance(content, dict):
        raise DataError(f"{path}: does not say by what it was made; run again the stage that makes it")
    return content


def _attribute(path: Path) -> Any:
    if path.suffix == ".nc":
        import h5netcdf

        with h5netcdf.File(path, "r") as file:
            return file.attrs.get(STAMP)
    if path.suffix == ".parquet":
        import pyarrow.parquet

        known = (pyarrow.parquet.read_schema(path).metadata or {}).get(b"PANDAS_ATTRS", b"{}")
        return json.loads(known).get(STAMP)
    if path.is_dir():
        return json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"].get(STAMP)
    sidecar = path.with_name(path.name.split(".", 1)[0] + ".json")
    return json.loads(sidecar.read_text(encoding="utf-8")).get(STAMP.title())


def printed(content: dict[str, Any]) -> str:
    """The stamp as lines for a reader."""
    lines = []
    for key, value in content.items():
        if isinstance(value, dict):
            lines += [f"{key}:", *(f"  {name}: {part}" for name, part in value.items())]
        else:
            lines.append(f"{key}: {value}")
    return "\n".join(lines)
