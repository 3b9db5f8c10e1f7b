"""The stages that compare the prompts of a network: for a subject and for the group."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.stages.asked import COMPARED, known, prompted_networks
from neuroalign.stages.opened import activations_of, networks_beside, open_made, samples_of
from neuroalign.stages.origins import fingerprint, fitted_from
from neuroalign.stages.places import path_of


def prompts(study: Study, subject: str, network: str) -> None:
    """Compare the prompts of one network for one subject."""
    from neuroalign.alignment.prompts.comparison import Condition, compare_prompts
    from neuroalign.alignment.prompts.partition import BandSettings, KeptLayers
    from neuroalign.artefacts import arrays

    known(network, prompted_networks(study), "network with several prompts")

    def condition(name: str) -> Condition:
        made_for = {"subject": subject, "network": name, "encoder": COMPARED}
        return Condition(
            getattr(study.conditions()[name], "prompt", ""),
            open_made(study, layout.SCORES, **made_for),
            open_made(study, layout.PREDICTIONS, **made_for),
            activations_of(study, name),
        )

    under = study.compared_prompts()[network]
    path = path_of(study, layout.PROMPTS, subject=subject, network=network)
    fits = [
        path_of(study, pattern, subject=subject, network=name, encoder=COMPARED)
        for name in under.values()
        for pattern in (layout.SCORES, layout.PREDICTIONS)
    ]
    sources = [source for name in under.values() for source in fitted_from(study, [subject], name)]
    made = compare_prompts(
        *samples_of(study, subject),
        {prompt: condition(name) for prompt, name in under.items()},
        study.design,
        study.inference,
        BandSettings(study.ridge.alphas.values(), study.banded_ridge.candidates, study.seed),
        networks_beside(study),
        KeptLayers(path.with_suffix(".partial"), fingerprint(study, "prompts", [*sources, *fits])),
    )
    made_by = stamp(study, "prompts", [*sources, *fits])
    made.attrs.update({"network": network, "encoder": COMPARED, STAMP: made_by})
    arrays.save_arrays(made, path)


def prompts_group(study: Study, network: str) -> None:
    """Combine what the subjects prefer, without their average."""
    from neuroalign.alignment.prompts.comparison import combine_prompts
    from neuroalign.artefacts import arrays

    known(network, prompted_networks(study), "network with several prompts")
    parts = [
        open_made(study, layout.PROMPTS, subject=subject, network=network) for subject in study.subjects()
    ]
    made = combine_prompts(parts, study.inference, study.seed)
    opened = [
        path_of(study, layout.PROMPTS, subject=subject, network=network) for subject in study.subjects()
    ]
    made.attrs[STAMP] = stamp(study, "prompts_group", opened)
    arrays.save_arrays(made, path_of(study, layout.PROMPTS_GROUP, network=network))
