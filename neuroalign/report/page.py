"""The report: one HTML file that needs nothing but itself, and the same numbers as tables."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from neuroalign.artefacts import layout
from neuroalign.artefacts.atomic import replacing
from neuroalign.report import figures
from neuroalign.report.brain import viewer
from neuroalign.report.brain.canvas import open_canvas
from neuroalign.report.brain.surfaces import display_meshes
from neuroalign.report.comparisons import partition, prompts, rivals
from neuroalign.report.evidence import Evidence
from neuroalign.report.facts import facts
from neuroalign.report.numbers import tables, target_tables
from neuroalign.report.opening import config_text, open_evidence
from neuroalign.report.parts import parts
from neuroalign.report.planted import truth
from neuroalign.report.sensors import reconstructions
from neuroalign.report.wording.cautions import warnings
from neuroalign.report.wording.findings import findings
from neuroalign.report.wording.methods import methods, references
from neuroalign.settings.config import Study

POLICY = "SCRIPTS-OF-THIS-PAGE"
"""Stands in the template where the page's policy names its scripts."""

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def write_report(study: Study) -> Path:
    """Write `index.html` and `tables/` below the study's report folder.

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
    regional = [
        tables.region_table(evidence, *model).assign(network=model[0], encoder=model[1])
        for model in evidence.models()
    ]
    kept["regions"] = pd.concat(regional)
    targets = target_tables.all_target_tables(evidence)
    if not targets.empty:
        kept["targets"] = targets
    agreements = _agreements(evidence)
    if not agreements.empty:
        kept["truth"] = agreements
    kept |= _more_tables(evidence)
    tables.save_tables(kept, folder / "tables")
    content = {
        "title": study.title,
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "facts": facts(evidence),
        "findings": [*findings(evidence, subjects), *_comparisons(evidence)],
        "warnings": warned,
        "comparisons": [figures.comparison_picture(subjects, *model) for model in evidence.models()],
        "parts": parts(evidence, canvas, subjects, group, agreements),
        "methods": methods(evidence),
        "references": references(evidence),
        "config": config_text(study),
        "viewer": viewer.payload(evidence, meshes) if meshes and script else None,
        "plotly": Markup(script or ""),
    }
    path = folder / "index.html"
    with replacing(path) as temporary:
        page = _environment().get_template("page.html.j2").render(content)
        temporary.write_text(with_policy(page), encoding="utf-8")
    return path


def with_policy(page: str) -> str:
    """Say in the page which scripts may run, by their hashes: those that it was written with, and no other.

    Whatever data might smuggle in is text twice over: escaped, and of no hash that is known.

    Parameters
    ----------
    page : str
        Holds `POLICY` where the sources of scripts go.

    Returns
    -------
    str
    """
    own = page.rpartition("</main>")[2]  # behind all that was made of data
    digests = [hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(own)]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return page.replace(POLICY, f"{hashes} 'unsafe-eval'" if hashes else "'none'", 1)


def _more_tables(evidence: Evidence) -> dict[str, pd.DataFrame]:
    """Tables that only some studies have: the variance partition, prompts, encoders beside each other."""
    found = {}
    if models := partition.parted(evidence):
        parts = [
            partition.partition_table(evidence, *model).assign(network=model[0], encoder=model[1])
            for model in models
        ]
        found["partition"] = pd.concat(parts)
    if networks := reconstructions.reconstructed(evidence):
        found["reconstruction"] = pd.concat(
            [reconstructions.reconstruction_table(evidence, name).assign(network=name) for name in networks]
        )
    if networks := prompts.compared(evidence):
        found["prompts"] = pd.concat([prompts.prompt_table(evidence, network) for network in networks])
    if pairs := rivals.pairs(evidence):
        found["encoders"] = pd.concat([rivals.rival_table(evidence, pair) for pair in pairs])
    return found


def _comparisons(evidence: Evidence) -> list[list[str]]:
    sentences = [rivals.rival_sentence(evidence, pair) for pair in rivals.pairs(evidence)]
    said = [prompts.prompt_sentence(evidence, network) for network in prompts.compared(evidence)]
    return [part for part in (sentences, said) if part]


def _environment() -> jinja2.Environment:
    """Templates with every value escaped; style and script are included as they are."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("neuroalign.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _agreements(evidence: Evidence) -> pd.DataFrame:
    """One row per model and owner: what was planted against what came back; empty without a truth."""
    rows = [
        {"network": network, "encoder": encoder, **truth.agreement(recovery)}
        for network, encoder in evidence.models()
        for recovery in truth.recoveries(evidence, network, encoder)
    ]
    return pd.DataFrame(rows)
