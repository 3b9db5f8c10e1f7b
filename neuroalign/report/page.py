"""The report: one HTML file that needs nothing but itself, and the same numbers as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from neuroalign import layout
from neuroalign.arrays import replacing
from neuroalign.config import Study
from neuroalign.report import figures, tables, truth, viewer
from neuroalign.report.canvas import Canvas, open_canvas
from neuroalign.report.evidence import Evidence, config_text, dataset_name, open_evidence, texts
from neuroalign.report.findings import findings, warnings
from neuroalign.report.methods import methods, references
from neuroalign.report.printed import GROUP_COLUMNS, SUBJECT_COLUMNS, Table, printed, with_intervals
from neuroalign.report.surfaces import display_meshes


@dataclass(frozen=True)
class Part:
    """A section of the page, listed in its table of contents."""

    name: str
    title: str
    pictures: Sequence[figures.Picture] = ()
    tables: Sequence[Table] = ()
    paragraphs: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def write_report(study: Study) -> Path:
    """Write `index.html` and `tables/*.tsv` below the study's report folder.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DataError
        There is no summary to report on, or an artefact is damaged.
    """
    evidence = open_evidence(study)
    folder = Path(study.output) / layout.REPORT
    subjects = tables.subject_table(evidence)
    group = tables.group_table(evidence, subjects)
    warned = warnings(evidence, subjects)
    space = str(evidence.any_summary.attrs.get("space", ""))
    meshes = display_meshes(space) if evidence.kind == "surface" else None
    canvas = open_canvas(evidence.any_summary, meshes)
    script = viewer.plotly_script() if meshes else None
    kept = {
        "scores": tables.score_table(evidence),
        "subjects": subjects,
        "group": group,
        "warnings": pd.DataFrame([vars(entry) for entry in warned], columns=["scope", "text"]),
    }
    agreements = _agreements(evidence)
    if not agreements.empty:
        kept["truth"] = agreements
    tables.save_tables(kept, folder / "tables")
    content = {
        "title": study.title,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": _facts(evidence),
        "findings": findings(evidence, subjects),
        "warnings": warned,
        "comparisons": [figures.comparison_picture(subjects, *model) for model in evidence.models()],
        "parts": _parts(evidence, canvas, subjects, group, agreements),
        "methods": methods(evidence),
        "references": references(evidence),
        "config": config_text(study),
        "viewer": viewer.payload(evidence, meshes) if meshes and script else None,
        "plotly": Markup(script or ""),
    }
    path = folder / "index.html"
    with replacing(path) as temporary:
        temporary.write_text(_environment().get_template("page.html.j2").render(content), encoding="utf-8")
    return path


def _environment() -> jinja2.Environment:
    """Templates with every value escaped; style and script are included as they are."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("neuroalign.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _facts(evidence: Evidence) -> list[tuple[str, str]]:
    """What was run on what."""
    study, summary = evidence.study, evidence.any_summary
    people = study.subjects()
    facts = [
        ("Dataset", dataset_name(study) + (" (simulated)" if study.simulate else "")),
        ("Task", study.dataset.task),
        ("Subjects", f"{len(people)}: {', '.join(people)}"),
    ]
    recorded = [
        entry for subject, entry in evidence.recordings.items() if entry and subject != layout.AVERAGE
    ]
    if recorded:
        samples = sorted({entry["n_samples"] for entry in recorded})
        runs = sorted({len(entry["runs"]) for entry in recorded})
        facts.append(("Runs", f"{_range(runs)} per subject"))
        facts.append(
            ("Samples", f"{_range(samples)} volumes per subject, TR {float(summary.attrs['tr']):g} s")
        )
    where = {"surface": "vertices", "volume": "voxels", "parcels": "parcels"}[evidence.kind]
    space = f" in {summary.attrs['space']}" if summary.attrs.get("space") else ""
    facts.append(("Targets", f"{summary.sizes['target']:,} {where}{space}"))
    for name, network in study.networks.items():
        facts.append((f"Network {name}", _network(evidence, name, network.source, network.context)))
    encoders = ", ".join(study.encoders)
    grid = study.ridge.alphas
    folds = ", ".join(texts(summary.attrs.get("folds")))
    facts.append(("Encoder", f"{encoders}; {grid.count} alphas from {grid.lowest:g} to {grid.highest:g}"))
    facts.append(("Folds", folds or study.design.folds.by))
    return facts


def _network(evidence: Evidence, name: str, source: str, context: int) -> str:
    attributes = evidence.networks.get(name, {})
    layers = next((d.sizes["layer"] for key, d in evidence.summaries.items() if key[1] == name), 0)
    parts = [source, f"{layers} layers", f"context {context} words"]
    if attributes.get("weights_sha256"):
        parts.append(f"weights sha256 {str(attributes['weights_sha256'])[:16]}…")
    parts.append("with untrained twin" if evidence.twin(name) else "no untrained twin")
    return "; ".join(parts)


def _range(values: list[int]) -> str:
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _parts(
    evidence: Evidence,
    canvas: Canvas | None,
    subjects: pd.DataFrame,
    group: pd.DataFrame,
    agreements: pd.DataFrame,
) -> list[Part]:
    """The sections between the findings and the methods."""
    models = evidence.models()
    regional = [
        printed(
            tables.region_table(evidence, *model), f"{model[0]} ({model[1]}) by region, means over subjects"
        )
        for model in models
    ]
    parts = [
        Part("profiles", "Layer profiles", [figures.profile_picture(evidence, *m) for m in models], regional)
    ]
    if canvas is not None:
        drawn = [picture for model in models for picture in figures.map_pictures(evidence, *model, canvas)]
        parts.append(Part("maps", "Maps", drawn))
    elif evidence.kind == "parcels":
        drawn = [picture for model in models for picture in figures.parcel_pictures(evidence, *model)]
        parts.append(Part("maps", "Parcels", drawn))
    else:
        space = evidence.any_summary.attrs.get("space")
        note = f"neuroalign has no mesh of the space {space}: open the files in maps/ with your own surface."
        parts.append(Part("maps", "Maps", notes=[note]))
    if not agreements.empty:
        parts.append(_truth_part(evidence, canvas, agreements))
    parts.append(Part("penalties", "Penalties", [figures.alpha_picture(evidence)]))
    note = "Means over all scored targets. Significant, layer and centroid are of significant targets."
    each = printed(subjects, "Subjects", SUBJECT_COLUMNS, note)
    together = printed(
        with_intervals(group),
        "Group",
        GROUP_COLUMNS,
        "Means over subjects; in brackets 95 % by Student's t.",
    )
    parts.append(
        Part("tables", "Tables", tables=[together, each], paragraphs=["The same and more as TSV in tables/."])
    )
    versions = printed(tables.version_table(evidence), "")
    return [*parts, Part("versions", "Versions", tables=[versions])]


def _agreements(evidence: Evidence) -> pd.DataFrame:
    """One row per model and owner: what was planted against what came back; empty without a truth."""
    rows = [
        {"network": network, **truth.agreement(recovery)}
        for network, encoder in evidence.models()
        for recovery in truth.recoveries(evidence, network, encoder)
    ]
    return pd.DataFrame(rows)


def _truth_part(evidence: Evidence, canvas: Canvas | None, agreements: pd.DataFrame) -> Part:
    pictures = [
        picture
        for model in evidence.models()
        for picture in figures.truth_pictures(truth.recoveries(evidence, *model), canvas)
    ]
    text = (
        "This study was simulated, so the right answer is known. Planted and recovered depth are "
        f"correlated over targets whose true ceiling exceeds {truth.RELIABLE:g}. In the noise region "
        "nothing drives the response, in the word-rate region only the word rate does: the share of "
        "targets with p below the level should be near the level there, and few should be called "
        "significant."
    )
    return Part(
        "truth", "Planted and recovered", pictures, [printed(agreements, "Agreement with the truth")], [text]
    )
