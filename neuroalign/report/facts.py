"""What was run on what, as the head of the page lists it."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.report.evidence import Evidence, texts
from neuroalign.report.opening import dataset_name
from neuroalign.report.sensors import phrases
from neuroalign.report.wording.modality import pieces
from neuroalign.settings.networks import Network


def facts(evidence: Evidence) -> list[tuple[str, str]]:
    """What was run on what."""
    study, summary = evidence.study, evidence.any_summary
    people = study.subjects()
    found = [
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
        found.append(("Runs", f"{_range(runs)} per subject"))
        what = (
            f"volumes per subject, TR {float(summary.attrs['tr']):g} s"
            if "tr" in summary.attrs
            else "trials per subject"
        )
        if evidence.kind == "sensors":
            what = phrases.samples(evidence)
        found.append(("Samples", f"{_range(samples)} {what}"))
    if evidence.kind == "sensors":
        found += phrases.facts(evidence)
    else:
        kinds = {"surface": "vertices", "volume": "voxels", "cifti": "grayordinates"}
        where = kinds.get(evidence.kind, "parcels")
        space = f" in {summary.attrs['space']}" if summary.attrs.get("space") else ""
        found.append(("Targets", f"{summary.sizes['target']:,} {where}{space}"))
    nuisance = study.design.nuisance.networks
    for name, network in study.conditions().items():
        if name in nuisance:
            found.append((f"Nuisance {name}", "; ".join([network.named, *network.facts])))
        else:
            found.append((f"Network {name}", _network(evidence, name, network)))
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
    found.append(("Encoders" if len(study.encoders) > 1 else "Encoder", f"{encoders}; {alphas}{tried}"))
    found.append(("Folds", folds or study.design.folds.by))
    return found


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
