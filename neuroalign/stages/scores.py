"""The stages that say what scores are worth: ceilings, tests, summaries, and the group."""

from __future__ import annotations

from pathlib import Path

from neuroalign.artefacts import layout
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.stages.asked import asked_for, group_opens_tests, networks, subjects
from neuroalign.stages.opened import listed, open_made, responses_of, samples_of
from neuroalign.stages.places import path_of


def ceiling(study: Study) -> None:
    """Estimate for every subject how well any model could do."""
    from neuroalign.alignment.ceiling.noise_ceiling import ceilings
    from neuroalign.artefacts import arrays

    everyone = {subject: responses_of(study, subject) for subject in subjects(study)}
    events = listed(study, layout.EVENTS)
    averaged = study.design.repeats == "average"
    sources = [path_of(study, layout.RESPONSES, subject=subject) for subject in everyone]
    made_by = stamp(study, "ceiling", [*sources, path_of(study, layout.EVENTS)])
    for subject, made in ceilings(everyone, events, study.ceiling, study.seed, averaged).items():
        made.attrs[STAMP] = made_by
        arrays.save_arrays(made, path_of(study, layout.CEILING, subject=subject))


def inference(study: Study, subject: str, network: str, encoder: str) -> None:
    """Test which targets are predicted better than chance."""
    from neuroalign.alignment.inference.significance import test
    from neuroalign.artefacts import arrays
    from neuroalign.artefacts.owned import browse_artefact, must_fit

    made_for = asked_for(study, subject=subject, network=network, encoder=encoder)
    predictions = browse_artefact(study.output, layout.PREDICTIONS, **made_for)
    responses, _ = samples_of(study, subject, lazily=True)
    must_fit(responses, predictions, path_of(study, layout.PREDICTIONS, **made_for), ("sample", "target"))
    made = test(predictions, responses, study.inference, study.seed)
    opened = [path_of(study, pattern, **made_for) for pattern in (layout.PREDICTIONS, layout.RESPONSES)]
    made.attrs.update({"network": network, "encoder": encoder, STAMP: stamp(study, "inference", opened)})
    arrays.save_arrays(made, path_of(study, layout.INFERENCE, **made_for))


def summary(study: Study, subject: str, network: str, encoder: str) -> None:
    """Bring scores, controls, ceiling and inference of one subject and network together."""
    from neuroalign.alignment.layers import summarise
    from neuroalign.artefacts import arrays
    from neuroalign.artefacts.owned import must_fit

    made_for = asked_for(study, subject=subject, network=network, encoder=encoder)
    control = {**made_for, "network": layout.NUISANCE}
    alone = network == layout.NUISANCE
    scores = open_made(study, layout.SCORES, **made_for)
    if layout.NUISANCE in networks(study):
        nuisance = open_made(study, layout.SCORES, **control)
    else:  # nothing was asked to stand beside the network: what it alone reaches is unknown
        nuisance = scores[["chosen_r"]] * float("nan")
    tests = None if alone else open_made(study, layout.INFERENCE, **made_for)
    limit = open_made(study, layout.CEILING, subject=subject)
    for beside, pattern, whose in (
        (nuisance, layout.SCORES, control),
        (tests, layout.INFERENCE, made_for),
        (limit, layout.CEILING, made_for),
    ):
        if beside is not None:
            must_fit(scores, beside, path_of(study, pattern, **whose), ("target",))
    made = summarise(scores, nuisance, tests, limit)
    opened = [path_of(study, layout.SCORES, **made_for), path_of(study, layout.SCORES, **control)]
    opened += [path_of(study, pattern, **made_for) for pattern in (layout.INFERENCE, layout.CEILING)]
    made.attrs[STAMP] = stamp(study, "summary", filter(Path.exists, opened))
    arrays.save_arrays(made, path_of(study, layout.SUMMARY, **made_for))


def group(study: Study, network: str, encoder: str) -> None:
    """Combine the subjects, without their average."""
    from neuroalign.alignment.group import combine
    from neuroalign.artefacts import arrays

    asked_for(study, network=network, encoder=encoder)
    parts = [
        open_made(study, layout.SUMMARY, subject=subject, network=network, encoder=encoder)
        for subject in study.subjects()
    ]
    tests = [
        open_made(study, layout.INFERENCE, subject=subject, network=network, encoder=encoder)
        for subject in (study.subjects() if group_opens_tests(study, network) else ())
    ]
    made = combine(parts, study.inference, study.seed, tests)
    model = {"network": network, "encoder": encoder}
    opened = [path_of(study, layout.SUMMARY, subject=subject, **model) for subject in study.subjects()]
    made.attrs[STAMP] = stamp(study, "group", opened)
    arrays.save_arrays(made, path_of(study, layout.GROUP, **model))
