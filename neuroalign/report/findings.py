"""What was found and what to be wary of, in sentences with numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neuroalign import layout
from neuroalign.report import sensor_words, timings
from neuroalign.report.attention import attending, attention_sentence
from neuroalign.report.evidence import Evidence, significant, texts
from neuroalign.report.modality import SIMPLE
from neuroalign.report.tables import Estimate, declared_warnings, estimate, layer_shares

EDGE_SHARE = 0.05
"""Share of choices at an edge of the alpha grid above which the grid is called too narrow."""


@dataclass(frozen=True)
class Warned:
    """One thing to be wary of: whom it concerns, and what it is."""

    scope: str
    text: str


def number(value: float, digits: int = 3) -> str:
    """A number for a sentence or a table; a dash for NaN, and no minus before zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−") if np.isfinite(value) else "–"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %" if np.isfinite(value) else "–"


def spread(found: Estimate, digits: int = 3, counted: bool = False) -> str:
    """A mean with its sd and interval, as far as the number of subjects allows."""
    if not found.n:
        return "not available"
    if found.n == 1:
        return f"{number(found.mean, digits)}{' (1 subject)' if counted else ''}"
    interval = f"95 % CI {number(found.low, digits)} to {number(found.high, digits)}"
    count = f", {found.n} subjects" if counted else ""
    return f"{number(found.mean, digits)} (sd {number(found.sd, digits)}, {interval}{count})"


def findings(evidence: Evidence, subjects: pd.DataFrame) -> list[list[str]]:
    """Key findings, one list of sentences per network × encoder."""
    return [_model_findings(evidence, subjects, *model) for model in evidence.models()]


def _rows(subjects: pd.DataFrame, network: str, encoder: str) -> pd.DataFrame:
    people = subjects["subject"] != layout.AVERAGE
    return subjects[people & (subjects["network"] == network) & (subjects["encoder"] == encoder)]


def _column(rows: pd.DataFrame, name: str) -> Estimate:
    return estimate(rows[name].to_numpy(float))


def _model_findings(evidence: Evidence, subjects: pd.DataFrame, network: str, encoder: str) -> list[str]:
    rows = _rows(subjects, network, encoder)
    model = f"{network} ({encoder})"
    r = _column(rows, "r")
    if not r.n:
        return [f"{model}: no subject has a target that could be scored."]
    targets = {"parcels": "over parcels", "sensors": sensor_words.over(evidence)}.get(
        evidence.kind, "over all targets"
    )
    out = [
        f"{model} predicts held-out responses with a mean r of {spread(r, counted=True)}, averaged {targets}."
    ]
    if evidence.kind == "sensors":
        opening = sensor_words.sentences(evidence, network, encoder)
        out = [*opening[:1], *out, *opening[1:], *timings.timing_sentences(evidence, network, encoder)]
    if (network, encoder) in evidence.layered():
        out.append(_layer_sentence(evidence, network, encoder))
    elif (network, encoder) in attending(evidence):
        out.append(attention_sentence(evidence, network, encoder))
    gain, unique = _column(rows, "gain_nuisance"), _column(rows, "r_unique")
    if gain.n:
        gained = _gain_sentence(gain, "the nuisance features alone")
        out.append(f"{gained}; the partial correlation beyond them is {spread(unique)}.")
    if _column(rows, "unique_network").n:
        out.append(_partition_sentence(rows, network))
    twin = _column(rows, "gain_twin")
    if twin.n:
        out.append(f"{_gain_sentence(twin, 'its untrained twin')}.")
    out.append(_significance_sentence(evidence, rows, network, encoder))
    ceiling = _column(rows, "ceiling")
    if ceiling.n:
        reached = _column(rows, "normalised_r")
        share = (
            f"where it is above chance, the model reaches {spread(reached, 2)} of it (r / r_ceiling)"
            if reached.n
            else "it is nowhere above chance, so that r is not normalised"
        )
        out.append(f"The noise ceiling averages {spread(ceiling)}; {share}.")
    return out


def _layer_sentence(evidence: Evidence, network: str, encoder: str) -> str:
    """The layer that training folds chose: never the layer that tested best."""
    people = [
        evidence.summaries[subject, network, encoder] for subject in evidence.subjects(network, encoder)
    ]
    counted = [(summary, layer_shares(summary)) for summary in people]
    counted = [(summary, shares) for summary, shares in counted if np.isfinite(shares).all()]
    tested = [(summary, shares) for summary, shares in counted if significant(summary).any()]
    counted = tested or counted
    shares = np.mean([shares for _, shares in counted], axis=0)
    best = int(shares.argmax())
    dataset = counted[0][0]
    agree = sum(int(shares.argmax()) == best for _, shares in counted)
    among = "significant targets" if tested else "targets (none is significant)"
    text = (
        f"The layer that the training folds chose most often is {dataset['layer'].values[best]} "
        f"(relative depth {number(float(dataset['depth'].values[best]), 2)}), "
        f"for {percent(float(shares[best]))} of {among}"
    )
    return (
        f"{text}; it comes first in {agree} of {len(counted)} subjects." if len(counted) > 1 else f"{text}."
    )


def _gain_sentence(gain: Estimate, rival: str) -> str:
    """How much better than a control, or plainly that it is not."""
    if gain.mean <= 0:
        return f"It is not better than {rival}: Δr = {spread(gain)}"
    return f"Over {rival} it gains Δr = {spread(gain)}"


def _partition_sentence(rows: pd.DataFrame, network: str) -> str:
    """How held-out R² falls apart; a unique part that is not above zero is called so."""
    unique, both = _column(rows, "unique_network"), number(_column(rows, "r2").mean)
    shared, own = (number(_column(rows, name).mean) for name in ("shared", "unique_nuisance"))
    text = (
        f"With the nuisance features it explains a held-out R² of {both} on average: {spread(unique)} unique "
        f"to {network}, {shared} shared, {own} unique to the nuisance features"
    )
    if unique.mean <= 0:
        return f"{text}. On average nothing is unique to {network}."
    if unique.low <= 0:
        return f"{text}. The interval of the unique part includes zero."
    return f"{text}."


def _significance_sentence(evidence: Evidence, rows: pd.DataFrame, network: str, encoder: str) -> str:
    summary = evidence.summaries[evidence.subjects(network, encoder)[0], network, encoder]
    level = float(summary.attrs.get("inference_level", np.nan))
    correction = str(summary.attrs.get("inference_correction", ""))
    rule = {
        "fdr": "false discovery rate",
        "max": "family-wise error rate",
        "cluster": "family-wise error rate of clusters",
        "tfce": "family-wise error rate after threshold-free enhancement",
    }.get(correction, correction)
    group_test = {"stouffer": "Stouffer's method", "sign-flip": "sign-flipping"}
    shares = rows["share_significant"].dropna().to_numpy(float)
    text = f"Significant targets ({rule} {level:g}): {percent(shares.mean())} on average"
    if len(shares) > 1:
        text += f", from {percent(shares.min())} to {percent(shares.max())} over subjects"
    dataset = evidence.groups.get((network, encoder))
    if dataset is not None:
        method = str(dataset.attrs.get("group_method", "no test"))
        scored = np.isfinite(dataset["chosen_r"].values)
        share = significant(dataset).sum() / max(scored.sum(), 1)
        text += f"; {percent(share)} in the group, by {group_test.get(method, method)}"
    return f"{text}."


def warnings(evidence: Evidence, subjects: pd.DataFrame) -> list[Warned]:
    """Everything to be wary of: what earlier stages declared and what the numbers show."""
    out = [*_missing(evidence), *_declared(evidence)]
    for network, encoder in evidence.models():
        rows = _rows(subjects, network, encoder)
        out += [*_excluded(rows), *_controls(evidence, rows, network, encoder)]
        out += _group_size(evidence, network, encoder)
    out += [Warned(scope, text) for scope, text in sensor_words.dropped_warnings(evidence)]
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
        gain = _column(rows, column)
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
