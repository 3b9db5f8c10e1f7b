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

from neuroalign import layout
from neuroalign.atomic import replacing
from neuroalign.config import Study
from neuroalign.report import (
    figures,
    partition,
    prompts,
    reconstructions,
    rivals,
    sensor_words,
    tables,
    target_tables,
    truth,
    viewer,
)
from neuroalign.report.canvas import open_canvas
from neuroalign.report.evidence import Evidence, texts
from neuroalign.report.findings import findings, warnings
from neuroalign.report.methods import methods, references
from neuroalign.report.modality import pieces
from neuroalign.report.opening import config_text, dataset_name, open_evidence
from neuroalign.report.parts import parts
from neuroalign.report.surfaces import display_meshes
from neuroalign.settings.networks import Network

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
        "facts": _facts(evidence),
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
        what = (
            f"volumes per subject, TR {float(summary.attrs['tr']):g} s"
            if "tr" in summary.attrs
            else "trials per subject"
        )
        if evidence.kind == "sensors":
            what = sensor_words.samples(evidence)
        facts.append(("Samples", f"{_range(samples)} {what}"))
    if evidence.kind == "sensors":
        facts += sensor_words.facts(evidence)
    else:
        kinds = {"surface": "vertices", "volume": "voxels", "cifti": "grayordinates"}
        where = kinds.get(evidence.kind, "parcels")
        space = f" in {summary.attrs['space']}" if summary.attrs.get("space") else ""
        facts.append(("Targets", f"{summary.sizes['target']:,} {where}{space}"))
    nuisance = study.design.nuisance.networks
    for name, network in study.conditions().items():
        if name in nuisance:
            facts.append((f"Nuisance {name}", "; ".join([network.named, *network.facts])))
        else:
            facts.append((f"Network {name}", _network(evidence, name, network)))
    encoders = ", ".join(study.encoders)
    grid = study.ridge.alphas
    folds = ", ".join(texts(summary.attrs.get("folds")))
    tried = (
        f", {study.banded_ridge.candidates} weights of the bands" if "banded_ridge" in study.encoders else ""
    )
    alphas = f"{grid.count} alphas from {grid.lowest:g} to {grid.highest:g}"
    if "cross_attention" in study.encoders:
        attention = study.cross_attention
        owners = "one network for all" if attention.universal else "a network for each subject"
        seen = f"{pieces(study)} of the last {attention.window_s:g} s"
        if study.responses.samples == "trials":
            seen = "all patches of an image"
        tried += f"; cross-attention to {seen}, {owners}"
    facts.append(("Encoders" if len(study.encoders) > 1 else "Encoder", f"{encoders}; {alphas}{tried}"))
    facts.append(("Folds", folds or study.design.folds.by))
    return facts


def _network(evidence: Evidence, name: str, network: Network) -> str:
    attributes = evidence.networks.get(name, {})
    layers = next((d.sizes["layer"] for key, d in evidence.summaries.items() if key[1] == name), 0)
    parts = [network.named, f"{layers} layers", *network.facts]
    if attributes.get("weights_sha256"):
        parts.append(f"weights sha256 {str(attributes['weights_sha256'])[:16]}…")
    if network.trained:
        parts.append("with untrained twin" if evidence.twin(name) else "no untrained twin")
    return "; ".join(parts)


def _range(values: list[int]) -> str:
    return f"{values[0]}" if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _agreements(evidence: Evidence) -> pd.DataFrame:
    """One row per model and owner: what was planted against what came back; empty without a truth."""
    rows = [
        {"network": network, "encoder": encoder, **truth.agreement(recovery)}
        for network, encoder in evidence.models()
        for recovery in truth.recoveries(evidence, network, encoder)
    ]
    return pd.DataFrame(rows)
