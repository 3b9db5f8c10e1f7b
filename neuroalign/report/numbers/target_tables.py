"""Single targets as a table, where there are more of them than can be regions of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neuroalign.report.evidence import Evidence, column, significant
from neuroalign.report.regions import are_many

MEASURES = {
    "r": "chosen_r",
    "r2": "chosen_r2",
    "r_unique": "chosen_r_unique",
    "nuisance_r": "nuisance_r",
    "ceiling": "ceiling",
    "normalised_r": "normalised_r",
    "depth_centroid": "centroid",
}
"""Column of the table → variable of the summaries."""

COLUMNS = (
    *("subject", "target", "region", "r", "r_unique", "nuisance_r", "ceiling", "normalised_r"),
    *("depth_centroid", "share_of_subjects", "significant_in_group"),
)
"""Columns that the page prints."""


def target_table(evidence: Evidence, network: str, encoder: str) -> pd.DataFrame:
    """One row per target: means over the subjects that have it, or each subject's own without a group.

    Returns
    -------
    DataFrame
        Empty where targets are few, or lie in maps that the page draws.
    """
    if not are_many(evidence.any_summary):
        return pd.DataFrame()
    frames = [_of_subject(evidence, s, network, encoder) for s in evidence.subjects(network, encoder)]
    joined = pd.concat(frames, ignore_index=True)
    if evidence.study.group:
        by = ["target", "region"] if "region" in joined else ["target"]
        joined = joined.drop(columns="subject").groupby(by, sort=False, as_index=False).mean()
        if (network, encoder) in evidence.groups:
            group = evidence.groups[network, encoder]
            verdict = pd.Series(significant(group), group["name"].values.astype(str))
            verdict = verdict[~verdict.index.duplicated()].map({True: "yes", False: "no"})
            joined["significant_in_group"] = joined["target"].map(verdict)
    return joined.assign(network=network, encoder=encoder)


def _of_subject(evidence: Evidence, subject: str, network: str, encoder: str) -> pd.DataFrame:
    """The targets of one subject, in single precision as they were scored."""
    dataset = evidence.summaries[subject, network, encoder]
    columns: dict[str, object] = {"subject": subject, "target": dataset["name"].values.astype(str)}
    if evidence.region_names:
        regions = evidence.regions(dataset)
        columns["region"] = np.array(regions.names, object)[regions.codes]
    for name, variable in MEASURES.items():
        columns[name] = column(dataset, variable).astype(np.float32)
    twin = evidence.twin(network)
    beside = evidence.summaries.get((subject, twin, encoder)) if twin else None
    if beside is not None and beside.sizes["target"] == dataset.sizes["target"]:
        columns["twin_r"] = column(beside, "chosen_r").astype(np.float32)
    share = significant(dataset).astype(np.float32)
    return pd.DataFrame(columns | {"share_of_subjects": share})


def all_target_tables(evidence: Evidence) -> pd.DataFrame:
    """The targets of every model; empty where they are few."""
    found = [target_table(evidence, *model) for model in evidence.models()]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
