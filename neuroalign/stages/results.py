"""The last stages: maps and the report."""

from __future__ import annotations

from pathlib import Path

from neuroalign.artefacts import layout
from neuroalign.settings.config import Study
from neuroalign.stages.opened import open_made
from neuroalign.stages.places import path_of, prompt_files, summaries


def maps(study: Study) -> None:
    """Write every summary onto its geometry."""
    from neuroalign.artefacts import arrays
    from neuroalign.maps.derivatives import write_maps

    made = [open_made(study, pattern, **made_for) for pattern, made_for in summaries(study)]
    made += [arrays.open_arrays(path) for path in prompt_files(study)]
    write_maps(made, path_of(study, layout.MAPS), study.title)


def report(study: Study) -> Path:
    """Write the page that shows it all; its absolute path is returned."""
    from neuroalign.report.page import write_report

    return Path(write_report(study)).resolve()
