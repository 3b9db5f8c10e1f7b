"""The stage that predicts stimuli from recordings."""

from __future__ import annotations

from neuroalign.artefacts import layout
from neuroalign.errors import ConfigError
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.stages.asked import known, reconstructing
from neuroalign.stages.opened import activations_of, networks_beside, samples_of
from neuroalign.stages.origins import fitted_from
from neuroalign.stages.places import path_of


def reconstruction(study: Study, subject: str, network: str) -> None:
    """Predict the features of one network from the recordings of one subject."""
    from neuroalign.alignment.evaluation.reconstruction import reconstruct
    from neuroalign.artefacts import arrays

    if not reconstructing(study):
        raise ConfigError("design.lags.backward is not set; set it to true for continuous EEG or MEG")
    known(network, study.fitted_networks(), "network")
    made = reconstruct(
        *samples_of(study, subject),
        activations_of(study, network),
        study.design,
        study.ridge.alphas.values(),
        networks_beside(study),
    )
    sources = fitted_from(study, [subject], network)
    made.attrs.update({"network": network, STAMP: stamp(study, "reconstruction", sources)})
    arrays.save_arrays(made, path_of(study, layout.RECONSTRUCTION, subject=subject, network=network))
