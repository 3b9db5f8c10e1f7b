"""What was found, in sentences with numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neuroalign.report.attention.learned import attending, attention_sentence
from neuroalign.report.evidence import Evidence, significant
from neuroalign.report.numbers.spoken import number, percent, spread
from neuroalign.report.numbers.tables import (
    Estimate,
    layer_shares,
    of_people,
    over_people,
)
from neuroalign.report.sensors import phrases, timings


def findings(evidence: Evidence, subjects: pd.DataFrame) -> list[list[str]]:
    """Key findings, one list of sentences per network × encoder."""
    return [_model_findings(evidence, subjects, *model) for model in evidence.models()]


def _model_findings(evidence: Evidence, subjects: pd.DataFrame, network: str, encoder: str) -> list[str]:
    rows = of_people(subjects, network, encoder)
    model = f"{network} ({encoder})"
    r = over_people(rows, "r")
    if not r.n:
        return [f"{model}: no subject has a target that could be scored."]
    targets = {"parcels": "over parcels", "sensors": phrases.over(evidence)}.get(
        evidence.kind, "over all targets"
    )
    out = [
        f"{model} predicts held-out responses with a mean r of {spread(r, counted=True)}, averaged {targets}."
    ]
    if evidence.kind == "sensors":
        opening = phrases.sentences(evidence, network, encoder)
        out = [*opening[:1], *out, *opening[1:], *timings.timing_sentences(evidence, network, encoder)]
    if (network, encoder) in evidence.layered():
        out.append(_layer_sentence(evidence, network, encoder))
    elif (network, encoder) in attending(evidence):
        out.append(attention_sentence(evidence, network, encoder))
    gain, unique = over_people(rows, "gain_nuisance"), over_people(rows, "r_unique")
    if gain.n:
        gained = _gain_sentence(gain, "the nuisance features alone")
        out.append(f"{gained}; the partial correlation beyond them is {spread(unique)}.")
    if over_people(rows, "unique_network").n:
        out.append(_partition_sentence(rows, network))
    twin = over_people(rows, "gain_twin")
    if twin.n:
        out.append(f"{_gain_sentence(twin, 'its untrained twin')}.")
    out.append(_significance_sentence(evidence, rows, network, encoder))
    ceiling = over_people(rows, "ceiling")
    if ceiling.n:
        reached = over_people(rows, "normalised_r")
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
    unique, both = over_people(rows, "unique_network"), number(over_people(rows, "r2").mean)
    shared, own = (number(over_people(rows, name).mean) for name in ("shared", "unique_nuisance"))
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
