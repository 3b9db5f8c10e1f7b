"""What to be wary of: what earlier stages declared, and what the numbers show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuroalign.artefacts import layout
from neuroalign.report.evidence import Evidence, texts
from neuroalign.report.numbers.spoken import percent, spread
from neuroalign.report.numbers.tables import (
    declared_warnings,
    of_people,
    over_people,
)
from neuroalign.report.sensors import phrases
from neuroalign.report.wording.modality import SIMPLE

EDGE_SHARE = 0.05
"""Share of choices at an edge of the alpha grid above which the grid is called too narrow."""


@dataclass(frozen=True)
class Warned:
    """One thing to be wary of: whom it concerns, and what it is."""

    scope: str
    text: str


def warnings(evidence: Evidence, subjects: pd.DataFrame) -> list[Warned]:
    """Everything to be wary of: what earlier stages declared and what the numbers show."""
    out = [*_missing(evidence), *_declared(evidence)]
    for network, encoder in evidence.models():
        rows = of_people(subjects, network, encoder)
        out += [*_excluded(rows), *_controls(evidence, rows, network, encoder)]
        out += _group_size(evidence, network, encoder)
    out += [Warned(scope, text) for scope, text in phrases.dropped_warnings(evidence)]
    out += _edges(subjects)
    out += _ceilings(evidence)
    folds = evidence.study.design.folds
    if folds.shared_items == "allow" and folds.by != "item":
        text = (
            "design.folds.shared_items is 'allow': stimuli may stand in training and in test data, "
            "which inflates scores"
        )
        out.append(Warned("study", text))
    for network, attributes in evidence.networks.items():
        cut = int(attributes.get("max_context_truncated") or 0)
        if cut:
            out.append(
                Warned(network, f"{cut} windows were cut because they exceed the network's longest input")
            )
    return _merged(out)


def _merged(warned: list[Warned]) -> list[Warned]:
    """Say what concerns several only once, with all whom it concerns."""
    scopes: dict[str, list[str]] = {}
    for entry in warned:
        scopes.setdefault(entry.text, []).append(entry.scope)
    return [Warned(", ".join(dict.fromkeys(whose)), text) for text, whose in scopes.items()]


def _missing(evidence: Evidence) -> list[Warned]:
    return [Warned("study", f"{name} was not found: its stage has not run") for name in evidence.missing]


def _declared(evidence: Evidence) -> list[Warned]:
    """Warnings that earlier stages left; the group repeats those of its subjects."""
    of_subjects = [
        Warned(f"sub-{subject}", text)
        for (subject, _, _), dataset in evidence.summaries.items()
        for text in declared_warnings(dataset)
    ]
    told = {entry.text for entry in of_subjects}
    of_groups = [
        Warned(f"{network}, group", text)
        for (network, _), dataset in evidence.groups.items()
        for text in declared_warnings(dataset)
        if text not in told
    ]
    return [*of_subjects, *of_groups]


def _excluded(rows: pd.DataFrame) -> list[Warned]:
    out = []
    for row in rows.to_dict("records"):
        total = row["n_valid"] + row["n_excluded"]
        scope = f"sub-{row['subject']}"
        if not row["n_valid"]:
            text = f"none of {total:,} targets could be scored: the subject is left out of every mean"
            out.append(Warned(scope, text))
        elif row["n_excluded"]:
            text = f"{row['n_excluded']:,} of {total:,} targets are constant or non-finite: NaN in every map"
            out.append(Warned(scope, text))
    return out


def _edges(subjects: pd.DataFrame) -> list[Warned]:
    out = []
    for row in subjects.to_dict("records"):
        for side, remedy in (("low", "ridge.alphas.lowest"), ("high", "ridge.alphas.highest")):
            share = row[f"alpha_edge_{side}"]
            # The control is not tested: its targets without signal count too, and take the largest alpha.
            expected = side == "high" and row["network"] == layout.NUISANCE
            if share > EDGE_SHARE and not expected:
                text = f"{percent(share)} of alphas lie at the grid's {side}est value: widen {remedy}"
                out.append(Warned(f"{row['network']}, sub-{row['subject']}", text))
    return out


def _controls(evidence: Evidence, rows: pd.DataFrame, network: str, encoder: str) -> list[Warned]:
    out = []
    comparisons = [("gain_nuisance", "the nuisance features alone"), ("gain_twin", "its untrained twin")]
    for column, rival in comparisons:
        gain = over_people(rows, column)
        if gain.n and gain.mean <= 0:
            out.append(
                Warned(network, f"{network} ({encoder}) is not better than {rival}: Δr = {spread(gain)}")
            )
        elif gain.n > 1 and gain.low <= 0:
            text = f"{network} ({encoder}) is not reliably better than {rival}: Δr = {spread(gain)}"
            out.append(Warned(network, text))
    if not rows["gain_nuisance"].notna().any() and rows["r"].notna().any():
        simple = SIMPLE[evidence.study.stimuli.modality]
        text = f"no nuisance-only control was run: {simple} may explain the scores; see design.nuisance"
        out.append(Warned(network, text))
    if evidence.study.networks[network].trained and evidence.twin(network) is None:
        out.append(Warned(network, "no untrained twin was run: architecture alone may explain the scores"))
    if rows["share_significant"].notna().any() and not rows["share_significant"].fillna(0).any():
        out.append(Warned(network, "no target is significant in any subject"))
    return out


def _group_size(evidence: Evidence, network: str, encoder: str) -> list[Warned]:
    people = evidence.subjects(network, encoder)
    dataset = evidence.groups.get((network, encoder))
    if len(people) == 1:
        return [Warned(network, "one subject: no group inference, nothing generalises beyond this person")]
    if dataset is None:
        return [Warned(network, "no group file was found: the group is not tested")]
    n = (
        int(np.max(dataset["n_subjects"].values))
        if "n_subjects" in dataset
        else len(texts(dataset.attrs.get("subjects")))
    )
    level = float(dataset.attrs.get("inference_level", 0.05))
    smallest = 0.5**n
    if str(dataset.attrs.get("group_method")) != "sign-flip":
        text = (
            f"{n} subjects are too few for sign-flipping (smallest p {smallest:.3g}): the group's p-values "
            "combine the subjects' own, which tests these subjects and not the population"
        )
        return [Warned(network, text)]
    if smallest > level / 10:
        text = (
            f"with {n} subjects sign-flipping reaches p = {smallest:.3g} at best: little survives correction"
        )
        return [Warned(network, text)]
    return []


def _ceilings(evidence: Evidence) -> list[Warned]:
    told: dict[str, list[str]] = {}
    for (subject, network, _), dataset in evidence.summaries.items():
        if network in evidence.study.conditions() and str(dataset.attrs.get("ceiling_method", "")) == "none":
            told.setdefault(str(dataset.attrs.get("ceiling_reason", "")), []).append(f"sub-{subject}")
    return [
        Warned(
            ", ".join(dict.fromkeys(whose)),
            f"no noise ceiling ({reason or 'none asked for'}): r cannot be normalised",
        )
        for reason, whose in told.items()
    ]
