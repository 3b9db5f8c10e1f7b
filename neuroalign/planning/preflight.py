"""What would stop a study, found before hours are spent: settings, data and layer names at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from neuroalign.artefacts import layout
from neuroalign.errors import NeuroalignError, choices
from neuroalign.settings.config import Study
from neuroalign.settings.features import Features
from neuroalign.settings.networks import Network
from neuroalign.settings.responses import TABLED_KINDS

if TYPE_CHECKING:
    import pandas as pd

    from neuroalign.networks.base import Layer

T = TypeVar("T")


def check(study: Study, data: bool = True) -> tuple[list[str], list[str]]:
    """Look for everything that would stop the study later, without a long computation.

    Parameters
    ----------
    study : Study
    data : bool
        Whether to look at data that were simulated before; data of other origin are always read.

    Returns
    -------
    problems : list of str
        Empty where all is well.
    found : list of str
        What there is to work on, a line each.
    """
    problems: list[str] = []
    found: list[str] = []
    folder = Path(study.dataset.path)
    simulated = (folder / layout.TRUTH).exists()
    if study.simulate is None or (simulated and data):
        found += _check_data(study, problems)
    elif not simulated and folder.exists() and any(path.is_file() for path in folder.rglob("*")):
        problems.append(
            f"simulate: '{folder}' holds files that were not simulated; give dataset.path a new folder, "
            "or leave 'simulate' out to read what is there"
        )
    else:
        found.append(f"data: to be simulated in {folder}")
    known: dict[str, list[str]] = {}
    for name, network in study.conditions().items():
        kept = _attempt(problems, lambda network=network: _kept_layers(network))  # type: ignore[misc]
        found.append(f"network {name}: {len(kept or ())} layers of {network.named}")
        known |= {name: kept} if kept else {}
    fitted = study.fitted_networks()
    problems += _unseen(study, {name: kept for name, kept in known.items() if name in fitted})
    problems += _without_patches(study)
    return list(dict.fromkeys(problems)), found


def layers(study: Study) -> dict[str, list[Layer]]:
    """All layers of every network, without loading weights.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict of list of Layer
        Network name → layers, the embedding first.

    Raises
    ------
    NetworkError
        A network cannot be found.
    """
    from neuroalign.networks.families import layer_table

    return {name: layer_table(network) for name, network in study.networks.items()}


def _check_data(study: Study, problems: list[str]) -> list[str]:
    from neuroalign import bids
    from neuroalign.recordings.check import described
    from neuroalign.recordings.check import problems as recording_problems
    from neuroalign.recordings.shown import shown

    table = _attempt(problems, lambda: bids.index_study(study))
    if table is None:
        return []
    problems += recording_problems(study, table)
    listed = study.responses.kind in TABLED_KINDS
    if problems and not listed:
        return []
    whole = not problems
    stimuli = _attempt(problems, lambda: shown(study, table, quickly=True))
    if not whole:
        return []
    lines = [] if stimuli is None else [f"stimuli: {len(stimuli[0])}, shown {len(stimuli[1])} times in all"]
    if stimuli is not None:
        problems += _over_time(study, table, stimuli[1])
    if stimuli is not None and listed and not study.responses.series_of_sensors:
        lines += _shared(study, *stimuli)
    return described(study, table) + lines


def _over_time(study: Study, table: pd.DataFrame, events: pd.DataFrame) -> list[str]:
    """What is wrong with features over time, against the runs that there are."""
    timed = {
        name: network
        for name, network in study.networks.items()
        if isinstance(network, Features) and network.timed
    }
    if not timed:
        return []
    from neuroalign.networks.own.timed_features import course_problems
    from neuroalign.recordings.check import ends_of_runs

    ends = ends_of_runs(study, table)
    return [
        f"networks.{name}: {line}"
        for name, network in timed.items()
        for line in course_problems(network, events, ends)
    ]


def _shared(study: Study, items: pd.DataFrame, events: pd.DataFrame) -> list[str]:
    """Say how many stimuli all subjects have in common; nothing of a single subject."""
    people = events["subject"].nunique()
    if people < 2:
        return []
    seen_by = events.groupby("item")["subject"].nunique()
    common = items.loc[items["item"].isin(seen_by.index[seen_by == people])]
    line = f"shared: {len(common)} of {len(items)} stimuli, by all {people} subjects"
    if study.responses.kind == "nsd":
        from neuroalign.recordings.nsd import shared_addresses

        meant = shared_addresses(study.dataset)
        line += f" ({common['uri'].isin(meant).sum()} of the {len(meant)} that NSD shows to everybody)"
    return [line]


def _unseen(study: Study, known: dict[str, list[str]]) -> list[str]:
    """Layers that cross-attention is to look at and that no network keeps, and networks that keep none."""
    wanted = study.cross_attention.layers
    asked = len(study.conditions()) - len(study.design.nuisance.networks)
    if "cross_attention" not in study.encoders or wanted == "all" or len(known) < asked:
        return []
    every = list(dict.fromkeys(layer for layers in known.values() for layer in layers))
    unknown = [layer for layer in wanted if layer not in every]
    if unknown:
        return [
            f"cross_attention.layers: no network keeps '{layer}': {choices(layer, every)}"
            for layer in unknown
        ]
    return [
        f"cross_attention.layers: network {name} keeps none of them: {choices(wanted[0], layers)}"
        for name, layers in known.items()
        if not set(layers) & set(wanted)
    ]


def _without_patches(study: Study) -> list[str]:
    """Networks of which trials have no patches for cross-attention to look at."""
    if "cross_attention" not in study.encoders or study.responses.samples == "time":
        return []
    return [
        f"networks.{name} keeps no single tokens, but cross_attention looks at them; set tokens: true, "
        "or leave cross_attention out"
        for name, network in study.conditions().items()
        if name not in study.design.nuisance.networks and not network.has_tokens
    ]


def _attempt(problems: list[str], action: Callable[[], T]) -> T | None:
    """The result of `action`; what the user must mend is noted, and None returned."""
    try:
        return action()
    except NeuroalignError as error:
        problems.append(str(error))
        return None


def _kept_layers(network: Network) -> list[str]:
    from neuroalign.networks.families import layer_table

    return [layer.name for layer in layer_table(network) if layer.kept]
