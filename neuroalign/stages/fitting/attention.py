"""Cross-attention fitted for one subject, or one network of it for several."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from neuroalign.artefacts import layout
from neuroalign.settings.config import Study
from neuroalign.stages.asked import known
from neuroalign.stages.fitting.saved import save_fit
from neuroalign.stages.opened import activations_of, networks_beside, samples_of
from neuroalign.stages.origins import fingerprint, fitted_from
from neuroalign.stages.places import path_of


def fit_attention(study: Study, people: Sequence[str], network: str) -> None:
    """Cross-attention for one subject, or one network for several."""
    from neuroalign.alignment.attention.evaluate import evaluate_attention
    from neuroalign.alignment.attention.fold import FoldAttention
    from neuroalign.stages.fitting.heap import keep_freed_memory

    keep_freed_memory()
    name = "cross_attention"
    known(name, study.encoders, "encoder")
    known(network, study.fitted_networks(), "network")
    made_from = fingerprint(study, "fit", fitted_from(study, people, network), name)
    owner = people[0] if len(people) == 1 else "together"
    place = path_of(study, layout.SCORES, subject=owner, network=network, encoder=name)
    samples = {subject: samples_of(study, subject) for subject in people}
    settings = study.cross_attention.asking(
        sum(int(responses["valid"].sum()) for responses, _ in samples.values())
    )
    found = evaluate_attention(
        samples,
        activations_of(study, network),
        study.design,
        FoldAttention(settings, study.ridge.alphas.values(), study.seed),
        partial=place.with_suffix(".partial"),
        fingerprint=made_from,
        beside=networks_beside(study),
    )
    for subject, made in found.items():
        save_fit(study, *made, subject=subject, network=network, encoder=name)
    shutil.rmtree(place.with_suffix(".partial"), ignore_errors=True)
