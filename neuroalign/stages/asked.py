"""What a study asks of its stages: for whom, of which networks and encoders, and what beside the fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from neuroalign.artefacts import layout
from neuroalign.errors import ConfigError, choices
from neuroalign.settings.config import Study
from neuroalign.settings.sensors import SENSOR_KINDS
from neuroalign.settings.statistics import CLUSTERED

COMPARED = "ridge"
"""The encoder whose scores say which prompt a target prefers."""


def subjects(study: Study) -> list[str]:
    """The subjects that are fitted: those of the dataset, and their average where it is asked for."""
    return [*study.subjects(), *([layout.AVERAGE] if study.responses.average else [])]


def networks(study: Study) -> list[str]:
    """The networks that are fitted: those of the config, untrained twins, nuisance features alone."""
    control = [layout.NUISANCE] if study.design.nuisance.asked else []
    return [*study.fitted_networks(), *control]


def has_group(study: Study) -> bool:
    """Whether there are subjects to combine."""
    return study.group and len(study.subjects()) > 1


def has_timing(study: Study) -> bool:
    """Whether responses are epochs, so that their time courses are looked at."""
    return study.responses.kind in SENSOR_KINDS and study.responses.samples == "trials"


def reconstructing(study: Study) -> bool:
    """Whether stimuli are predicted from recordings, too."""
    return study.design.lags is not None and study.design.lags.backward


def prompted_networks(study: Study) -> list[str]:
    """Networks whose prompts are compared: those fitted under several, where ridge regression is."""
    return list(study.compared_prompts()) if COMPARED in study.encoders else []


def group_opens_tests(study: Study, network: str) -> bool:
    """Whether the group is corrected by neighbours, so that it needs the nulls of its subjects."""
    return network != layout.NUISANCE and study.inference.correction in CLUSTERED


def known(name: str, names: Iterable[str], what: str) -> str:
    """The name, if the study has it."""
    there = list(names)
    if name not in there:
        raise ConfigError(f"the study has no {what} '{name}': {choices(name, there)}")
    return name


def asked_for(study: Study, **wanted: str) -> dict[str, str]:
    """What a stage is asked for, if the study has a subject, network and encoder of these names."""
    there: dict[str, Callable[[], Iterable[str]]] = {
        "subject": lambda: subjects(study),
        "network": lambda: networks(study),
        "encoder": lambda: study.encoders,
    }
    return {what: known(name, there[what](), what) for what, name in wanted.items()}
