"""The stages that say when layers predict epochs: of a subject and of the group."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.stages.asked import asked_for
from neuroalign.stages.opened import open_made, samples_of
from neuroalign.stages.places import path_of


def timing(study: Study, subject: str, network: str, encoder: str) -> None:
    """Find out when each layer predicts the epochs of one subject."""
    from neuroalign.alignment.timing.epochs import timing as time
    from neuroalign.artefacts import arrays

    made_for = asked_for(study, subject=subject, network=network, encoder=encoder)
    scores, predictions = (open_made(study, of, **made_for) for of in (layout.SCORES, layout.PREDICTIONS))
    responses, _ = samples_of(study, subject)
    made = time(scores, predictions, responses, study.inference, study.seed)
    opened = [path_of(study, of, **made_for) for of in (layout.SCORES, layout.PREDICTIONS)]
    made.attrs.update({**made_for, STAMP: stamp(study, "timing", opened)})
    arrays.save_arrays(made, path_of(study, layout.TIMING, **made_for))


def timing_group(study: Study, network: str, encoder: str) -> None:
    """Combine when layers predict the epochs of all subjects, without their average."""
    from neuroalign.alignment.timing.group import combine_timing
    from neuroalign.artefacts import arrays

    model = asked_for(study, network=network, encoder=encoder)
    parts = [open_made(study, layout.TIMING, subject=subject, **model) for subject in study.subjects()]
    made = combine_timing(parts, study.inference, study.seed)
    opened = [path_of(study, layout.TIMING, subject=subject, **model) for subject in study.subjects()]
    made.attrs.update({**model, STAMP: stamp(study, "timing_group", opened)})
    arrays.save_arrays(made, path_of(study, layout.TIMING_GROUP, **model))
