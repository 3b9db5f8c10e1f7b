"""What stages open of what earlier ones wrote, and what of it belongs to one subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroalign.artefacts import layout
from neuroalign.errors import DataError
from neuroalign.settings.config import Study
from neuroalign.stages.asked import known, subjects
from neuroalign.stages.places import path_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neuroalign.artefacts.arrays import Activations

SAME_ONSET_S = 0.05
"""Onsets of two subjects that differ by less are the same for a haemodynamic response."""


def open_made(study: Study, pattern: str, **made_for: str) -> xr.Dataset:
    """The artefact of a subject, network and encoder, if it says so itself."""
    from neuroalign.artefacts.owned import open_artefact

    return open_artefact(study.output, pattern, None, **made_for)


def listed(study: Study, pattern: str) -> pd.DataFrame:
    """The index, the items or the events of the study."""
    from neuroalign.artefacts.owned import open_listed

    return open_listed(study.output, pattern)


def events_of(study: Study, subject: str) -> pd.DataFrame:
    """The events of one subject; of the average, those that all subjects share."""
    events = listed(study, layout.EVENTS)
    if subject != layout.AVERAGE:
        return events[events["subject"] == subject].reset_index(drop=True)
    one_by_one = [events[events["subject"] == name].reset_index(drop=True) for name in study.subjects()]
    first = one_by_one[0]
    for other in one_by_one[1:]:
        same = len(other) == len(first) and (other[["run", "item"]] == first[["run", "item"]]).all(axis=None)
        if not same or (other["onset"] - first["onset"]).abs().max() > SAME_ONSET_S:
            raise DataError(
                f"responses.average: sub-{other['subject'].iat[0]} heard other words, or at other times, "
                f"than sub-{first['subject'].iat[0]}; set average: false, or leave one of them out"
            )
    return first.assign(subject=layout.AVERAGE)


def responses_of(
    study: Study, subject: str, targets: slice | None = None, lazily: bool = False
) -> xr.Dataset:
    """The responses of one subject, or of the average: of all targets or of some; or read when asked for."""
    from neuroalign.artefacts.owned import browse_artefact, open_artefact

    known(subject, subjects(study), "subject")
    if lazily:
        return browse_artefact(study.output, layout.RESPONSES, subject=subject)
    return open_artefact(study.output, layout.RESPONSES, targets, subject=subject)


def samples_of(
    study: Study, subject: str, targets: slice | None = None, lazily: bool = False
) -> tuple[xr.Dataset, pd.DataFrame]:
    """What is fitted of a subject, and its events: trials with what they show, repeats joined if asked.

    Lazily, responses are read when they are asked for, unless repeats are joined.
    """
    from neuroalign.design.trials import average_repeats, with_contents

    averaged = study.responses.samples != "time" and study.design.repeats == "average"
    responses = responses_of(study, subject, targets, lazily and not averaged)
    events = events_of(study, subject)
    if study.responses.samples == "time":
        return responses, events
    if averaged:
        return average_repeats(responses, events)
    return with_contents(responses, events), events


def activations_of(study: Study, network: str) -> Activations:
    """The activations of a network, if they say so themselves and know all stimuli that were shown."""
    from neuroalign.artefacts import arrays
    from neuroalign.artefacts.owned import check_owner

    path = path_of(study, layout.ACTIVATIONS, network=network)
    found = arrays.open_activations(path)
    check_owner(path, found.attributes, {"network": network})
    shown = 0 if found.timed else int(listed(study, layout.EVENTS)["item"].max()) + 1
    if shown > len(found.inputs):
        raise DataError(
            f"{path}: holds {len(found.inputs)} items, but {shown} were shown; it was made of other stimuli: "
            "remove it and run the stage activations again"
        )
    return found


def networks_beside(study: Study) -> list[Activations]:
    """Networks whose features are nuisance."""
    names = study.design.nuisance.networks
    return [activations_of(study, name) for name in names]
