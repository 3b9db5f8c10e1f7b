"""Where the artefacts of a study lie: one by one, and all that maps and report are made of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neuroalign.artefacts import layout
from neuroalign.settings.config import Study
from neuroalign.stages.asked import (
    has_group,
    has_timing,
    networks,
    prompted_networks,
    reconstructing,
    subjects,
)


def path_of(study: Study, pattern: str, **wildcards: str) -> Path:
    """Where an artefact lies: a pattern of `layout` below the output of the study."""
    return Path(study.output, pattern.format(**wildcards))


def summaries(study: Study) -> Iterator[tuple[str, dict[str, str]]]:
    """Pattern of every summary, and what it is made for."""
    for network in networks(study):
        for encoder in study.encoders:
            model = {"network": network, "encoder": encoder}
            yield from ((layout.SUMMARY, {"subject": name, **model}) for name in subjects(study))
            if has_group(study):
                yield layout.GROUP, model


def summary_files(study: Study) -> list[Path]:
    """Where the summaries of all subjects, and of the group where there is one, lie."""
    return [path_of(study, pattern, **made_for) for pattern, made_for in summaries(study)]


def timing_files(study: Study) -> list[Path]:
    """Where the timing of all subjects and of the group lies; none of anything but epochs."""
    if not has_timing(study):
        return []
    return [
        path
        for network in networks(study)
        for encoder in study.encoders
        for path in (
            *(
                path_of(study, layout.TIMING, subject=name, network=network, encoder=encoder)
                for name in subjects(study)
            ),
            *(
                [path_of(study, layout.TIMING_GROUP, network=network, encoder=encoder)]
                if has_group(study)
                else []
            ),
        )
    ]


def reconstruction_files(study: Study) -> list[Path]:
    """Where the reconstructions lie; none where none are asked for."""
    return [
        path_of(study, layout.RECONSTRUCTION, subject=subject, network=network)
        for subject in (study.subjects() if reconstructing(study) else [])
        for network in study.fitted_networks()
    ]


def prompt_files(study: Study) -> list[Path]:
    """Where the comparisons of prompts lie; none where no network has several."""
    return [
        path
        for network in prompted_networks(study)
        for path in (
            *(path_of(study, layout.PROMPTS, subject=name, network=network) for name in subjects(study)),
            *([path_of(study, layout.PROMPTS_GROUP, network=network)] if has_group(study) else []),
        )
    ]
