"""The sections of the page between the findings and the methods: which there are, and what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from neuroalign.report import figures, parcels
from neuroalign.report.attention import learned
from neuroalign.report.brain.canvas import Canvas
from neuroalign.report.comparisons import partition, prompts, rivals
from neuroalign.report.evidence import Evidence
from neuroalign.report.numbers import tables, target_tables
from neuroalign.report.numbers.printed import (
    GROUP_COLUMNS,
    GROUP_INTERVALS,
    PARTITION_COLUMNS,
    SUBJECT_COLUMNS,
    Table,
    foremost,
    printed,
    with_intervals,
)
from neuroalign.report.planted import latencies, recovered, truth
from neuroalign.report.sensors import continuous, epochs, reconstructions, timings

RIVAL_NOTE = (
    "Means over scored targets; in brackets 95 % by Student's t over subjects, of each region by itself: of "
    "many regions some intervals leave out zero by chance."
)


@dataclass(frozen=True)
class Part:
    """A section of the page, listed in its table of contents."""

    name: str
    title: str
    pictures: Sequence[figures.Picture] = ()
    tables: Sequence[Table] = ()
    paragraphs: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def parts(
    evidence: Evidence,
    canvas: Canvas | None,
    subjects: pd.DataFrame,
    group: pd.DataFrame,
    agreements: pd.DataFrame,
) -> list[Part]:
    """The sections between the findings and the methods."""
    models, layered = evidence.models(), evidence.layered()
    regional = [_region_part(evidence, *model) for model in models]
    found = [
        Part(
            "profiles",
            "Layer profiles" if layered else "Regions",
            [figures.profile_picture(evidence, *m) for m in layered],
            regional,
        )
    ]
    if evidence.kind == "sensors":
        found += _sensor_parts(evidence)
    elif canvas is not None:
        drawn = [picture for model in models for picture in figures.map_pictures(evidence, *model, canvas)]
        found.append(Part("maps", "Maps", drawn))
    elif evidence.kind == "parcels":
        drawn = [picture for model in models for picture in parcels.parcel_pictures(evidence, *model)]
        found.append(Part("maps", "Parcels", drawn, _target_tables(evidence)))
    else:
        space = evidence.any_summary.attrs.get("space")
        note = f"neuroalign has no mesh of the space {space}: open the files in maps/ with your own surface."
        found.append(Part("maps", "Maps", notes=[note]))
    found[1:1] = [
        *_partition_parts(evidence),
        *_prompt_parts(evidence, canvas),
        *_attention_parts(evidence, canvas),
        *_encoder_parts(evidence, canvas),
    ]
    if not agreements.empty:
        found.append(_truth_part(evidence, canvas, agreements))
    if figures.penalised(evidence):
        found.append(Part("penalties", "Penalties", [figures.alpha_picture(evidence)]))
    note = "Means over all scored targets. Significant, layer and centroid are of significant targets."
    several = len(evidence.study.encoders) > 1
    each = printed(subjects, "Subjects", _named(SUBJECT_COLUMNS, several), note)
    together = printed(
        with_intervals(group, GROUP_INTERVALS),
        "Group",
        _named(GROUP_COLUMNS, several),
        "Means over subjects; in brackets 95 % by Student's t.",
    )
    found.append(
        Part(
            "tables", "Tables", tables=[together, each], paragraphs=["The same and more as files in tables/."]
        )
    )
    versions = printed(tables.version_table(evidence), "")
    return [*found, Part("versions", "Versions", tables=[versions])]


def _region_part(evidence: Evidence, network: str, encoder: str) -> Table:
    """The regions of a model, all of them where they are few."""
    shown, note = foremost(tables.region_table(evidence, network, encoder), "r", "regions.tsv")
    if epochs.is_epoched(evidence):
        note = f"{note} Means over all latencies, those before onset among them.".strip()
    return printed(shown, f"{network} ({encoder}) by region, means over subjects", note=note)


def _target_tables(evidence: Evidence) -> list[Table]:
    """The foremost targets of every model, where there are too many to be regions of their own."""
    out = []
    for network, encoder in evidence.models():
        found = target_tables.target_table(evidence, network, encoder)
        if not found.empty:
            shown, note = foremost(found, "r", "targets.parquet")
            columns = [name for name in target_tables.COLUMNS if name in shown]
            out.append(printed(shown, f"{network} ({encoder}): targets", columns, note))
    return out


def _sensor_parts(evidence: Evidence) -> list[Part]:
    """Scores of channels: over time and on heads, or by channel and over lags."""
    models = evidence.models()
    if epochs.is_epoched(evidence):
        times = [picture for model in models for picture in epochs.time_pictures(evidence, *model)]
        heads = epochs.models_picture(evidence, models)
        heads += [picture for model in models for picture in epochs.head_pictures(evidence, *model)]
        when = [picture for model in models for picture in timings.timing_pictures(evidence, *model)]
        found = [Part("time", "Layers in time", times), Part("maps", "Topographies", heads)]
        return [*found, Part("timing", "Timing", when, paragraphs=[timings.ABOUT])] if when else found
    drawn = [picture for model in models for picture in continuous.channel_pictures(evidence, *model)]
    found = [Part("maps", "Channels", drawn)]
    kernels = [picture for model in models for picture in continuous.kernel_pictures(evidence, *model)]
    if kernels:
        found.append(Part("kernels", "Kernels over lags", kernels, paragraphs=[continuous.ABOUT]))
    if networks := reconstructions.reconstructed(evidence):
        shown = [
            printed(
                reconstructions.reconstruction_table(evidence, network), f"{network}: reconstructed features"
            )
            for network in networks
        ]
        found.append(
            Part("reconstruction", "Reconstruction", tables=shown, paragraphs=[reconstructions.ABOUT])
        )
    return found


def _named(columns: Sequence[str], several: bool) -> list[str]:
    """The columns, with the encoder's name only where there are several."""
    return [name for name in columns if several or name != "encoder"]


def _partition_parts(evidence: Evidence) -> list[Part]:
    """The variance partition, where an encoder makes one."""
    models = partition.parted(evidence)
    drawn = [picture for model in models for picture in partition.partition_pictures(evidence, *model)]
    note = (
        "Of the layer chosen in the training folds; means over scored targets, in brackets 95 % by "
        "Student's t over subjects. R² is against the training mean. The product measure splits the "
        "prediction of both instead of comparing models; the network's weight is its share of the two "
        "weights of the bands."
    )
    shown = []
    for model in models:
        rows, said = foremost(partition.partition_table(evidence, *model), "r2", "partition.tsv", note)
        title = f"{model[0]} ({model[1]}): parts of held-out R² by region"
        shown.append(printed(with_intervals(rows, ["unique_network"]), title, PARTITION_COLUMNS, said))
    return [Part("partition", "Variance partition", drawn, shown, [partition.ABOUT])] if models else []


def _prompt_parts(evidence: Evidence, canvas: Canvas | None) -> list[Part]:
    """The prompts of networks beside each other, where any has several."""
    networks = prompts.compared(evidence)
    drawn = [
        picture for network in networks for picture in prompts.prompt_pictures(evidence, network, canvas)
    ]
    shown = []
    for network in networks:
        rows, said = foremost(prompts.prompt_table(evidence, network), "r", "prompts.tsv", prompts.NOTE)
        title = f"{network}: prompts by region"
        shown.append(printed(with_intervals(rows, ["unique"]), title, prompts.COLUMNS, said))
    return [Part("prompts", "Prompts", drawn, shown, [prompts.ABOUT])] if networks else []


def _attention_parts(evidence: Evidence, canvas: Canvas | None) -> list[Part]:
    """What cross-attention learned, where it was fitted."""
    models = learned.attending(evidence)
    drawn = [picture for model in models for picture in learned.attention_pictures(evidence, *model, canvas)]
    samples = evidence.study.responses.samples
    title = {"time": "Layers and delays", "trials": "Layers and receptive fields"}[samples]
    return [Part("attention", title, drawn, paragraphs=[learned.about(evidence.study)])] if models else []


def _encoder_parts(evidence: Evidence, canvas: Canvas | None) -> list[Part]:
    """The encoders beside each other, where there are several."""
    pairs = rivals.pairs(evidence)
    drawn = [picture for pair in pairs for picture in rivals.rival_pictures(evidence, pair, canvas)]
    shown = []
    for network, encoder, rival in pairs:
        table = rivals.rival_table(evidence, (network, encoder, rival))
        rows, said = foremost(table, f"r {encoder}", "encoders.tsv", RIVAL_NOTE)
        columns = ["whose", "region", f"r {encoder}", f"r {rival}", "difference", "n_subjects"]
        title = f"{network}: {encoder} less {rival}, of the layers chosen"
        shown.append(printed(with_intervals(rows, ["difference"]), title, columns, said))
    return [Part("encoders", "Encoders compared", drawn, shown)] if pairs else []


def _truth_part(evidence: Evidence, canvas: Canvas | None, agreements: pd.DataFrame) -> Part:
    pictures = [
        picture
        for model in evidence.layered()
        for picture in recovered.truth_pictures(truth.recoveries(evidence, *model), canvas)
    ]
    pictures += [
        picture
        for model in evidence.models()
        for picture in recovered.field_pictures(truth.recoveries(evidence, *model))
    ]
    kind = evidence.study.simulate.kind if evidence.study.simulate else "story"
    columns = _named(list(agreements.columns), len(evidence.study.encoders) > 1)
    text = (
        "This study was simulated, so the right answer is known. Planted and recovered depth are "
        f"correlated over targets whose true ceiling exceeds {truth.RELIABLE:g}. {truth.UNDRIVEN[kind]}: "
        "the share of targets with p below the level should be near the level there, and few should be "
        "called significant."
    )
    by_layer, sentences = [], []
    for model in evidence.layered():
        found = [(r.owner, r.layers) for r in truth.recoveries(evidence, *model) if not r.layers.empty]
        if found:
            whole = pd.concat([layers.assign(whose=owner) for owner, layers in found])
            title = f"{model[0]} ({model[1]}): layers in time"
            by_layer.append(printed(whole, title, latencies.COLUMNS, latencies.NOTE))
            sentences.append(latencies.latency_sentence(found, model[0]))
    return Part(
        "truth",
        "Planted and recovered",
        pictures,
        [printed(agreements, "Agreement with the truth", columns), *by_layer],
        [text, *sentences],
    )
