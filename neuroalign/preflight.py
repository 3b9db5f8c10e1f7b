"""What would stop a study, found before hours are spent: settings, data and layer names at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from neuroalign import layout
from neuroalign.config import Study
from neuroalign.errors import NeuroalignError, choices
from neuroalign.network_settings import Network

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
    for name, network in study.networks.items():
        kept = _attempt(problems, lambda network=network: _kept_layers(network))  # type: ignore[misc]
        found.append(f"network {name}: {len(kept or ())} layers of {network.named}")
        known |= {name: kept} if kept else {}
    problems += _unseen(study, known)
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
    from neuroalign.recordings.check import problems as recording_problems
    from neuroalign.stimuli.events import read_stimuli

    data = study.dataset
    table = _attempt(problems, lambda: bids.index_dataset(data.path, data.derivatives, data.task))
    if table is None:
        return []
    problems += recording_problems(study, table)
    if problems:
        return []
    stimuli = _attempt(problems, lambda: read_stimuli(table, data, study.stimuli, study.subjects()))
    words = [] if stimuli is None else [f"words: {len(stimuli[0])}, heard {len(stimuli[1])} times in all"]
    return _recorded(study, table) + words


def _recorded(study: Study, table: pd.DataFrame) -> list[str]:
    from neuroalign.bids import select_runs

    rows = select_runs(
        table[table["n_volumes"].notna() & table["subject"].isin(study.subjects())], study.dataset
    )
    runs = rows.groupby(["subject", "run"])["n_volumes"].max()
    return [f"subjects: {len(study.subjects())}", f"runs: {len(runs)}", f"volumes: {int(runs.sum())}"]


def _unseen(study: Study, known: dict[str, list[str]]) -> list[str]:
    """Layers that cross-attention is to look at and that no network keeps, and networks that keep none."""
    wanted = study.cross_attention.layers
    if "cross_attention" not in study.encoders or wanted == "all" or len(known) < len(study.networks):
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
