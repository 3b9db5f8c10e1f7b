"""The plan of a study: every job of the workflow, with what it is expected to need."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.planning.costs import Costs
from neuroalign.planning.facts import measure
from neuroalign.planning.table import Need
from neuroalign.settings.config import Study

UNIVERSAL = "cross_attention"
"""The encoder that several subjects may share."""


def plan(study: Study) -> list[Need]:
    """Say what every job of a study will need, in the order of the workflow.

    Parameters
    ----------
    study : Study

    Returns
    -------
    list of Need
        Named as logs and benchmarks are.

    Raises
    ------
    NeuroalignError
        The data or a network cannot be found or read.
    """
    costs = Costs(study, measure(study))
    everyone = [*study.subjects(), *([layout.AVERAGE] if study.responses.average else [])]
    needs = [costs.simulate().need("simulate")] if study.simulate else []
    needs += [costs.index().need("index"), costs.stimuli().need("stimuli")]
    needs += [costs.activations(name).need(f"activations/network-{name}") for name in study.all_networks()]
    needs += [costs.responses(name).need(f"responses/sub-{name}") for name in study.subjects()]
    if study.responses.average:
        needs.append(costs.average().need(f"responses/sub-{layout.AVERAGE}"))
    needs.append(costs.ceiling().need("ceiling"))
    return [*needs, *_fits(study, costs, everyone), *_ends(study, costs, everyone)]


def _fits(study: Study, costs: Costs, everyone: list[str]) -> list[Need]:
    """Fits with what follows them, and their groups."""
    fitted = list(study.fitted_networks())
    needs = []
    joint = study.cross_attention.universal and UNIVERSAL in study.encoders
    if joint:
        needs = [costs.joint(name).need(f"fit/network-{name}_encoder-{UNIVERSAL}") for name in fitted]
    for network in _with_control(study):
        for encoder in study.encoders:
            for subject in everyone:
                name = f"sub-{subject}_network-{network}_encoder-{encoder}"
                together = joint and encoder == UNIVERSAL and subject != layout.AVERAGE and network in fitted
                if not together:
                    needs.append(costs.fit(subject, network, encoder).need(f"fit/{name}"))
                if network in fitted:
                    needs.append(costs.inference(subject).need(f"inference/{name}"))
                needs.append(costs.summary(subject, network, encoder).need(f"summary/{name}"))
            if _has_group(study):
                name = f"group/network-{network}_encoder-{encoder}"
                needs.append(costs.group(network, encoder).need(name))
    return [*needs, *_of_sensors(study, costs, fitted)]


def _of_sensors(study: Study, costs: Costs, fitted: list[str]) -> list[Need]:
    """What only EEG and MEG have: timing of epochs, reconstruction from continuous recordings."""
    needs, lags = [], study.design.lags
    for network in fitted:
        for subject in study.subjects():
            if lags is not None and lags.backward:
                needs.append(
                    costs.reconstruction(subject).need(f"reconstruction/sub-{subject}_network-{network}")
                )
            for encoder in study.encoders if study.responses.epoched else ():
                name = f"timing/sub-{subject}_network-{network}_encoder-{encoder}"
                needs.append(costs.timing(subject, network, encoder).need(name))
        for encoder in study.encoders if study.responses.epoched and _has_group(study) else ():
            needs.append(costs.timing_group().need(f"timing/group_network-{network}_encoder-{encoder}"))
    return needs


def _ends(study: Study, costs: Costs, everyone: list[str]) -> list[Need]:
    """What needs all that was fitted."""
    needs = []
    for network, under in (study.compared_prompts() if "ridge" in study.encoders else {}).items():
        first = next(iter(under.values()))
        for subject in everyone:
            cost = costs.prompts(subject, first, len(under))
            needs.append(cost.need(f"prompts/sub-{subject}_network-{network}"))
        if _has_group(study):
            needs.append(costs.group(first, "ridge").need(f"prompts/group_network-{network}"))
    summaries = costs.summaries_bytes(_with_control(study))
    return [*needs, costs.maps(summaries).need("maps"), costs.report(summaries).need("report")]


def _with_control(study: Study) -> list[str]:
    return [*study.fitted_networks(), *([layout.NUISANCE] if study.design.nuisance.asked else [])]


def _has_group(study: Study) -> bool:
    return study.group and len(study.subjects()) > 1
