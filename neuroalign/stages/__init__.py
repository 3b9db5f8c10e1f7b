"""The stages of a study: each opens what earlier stages wrote, makes one thing and saves it.

Every stage is a function of the study and of what it is made for, with the name of its command; what makes
it run again stands in `provenance.triggers`. Beside them, `asked` knows for whom and of what they run,
`places` where artefacts lie, `opened` how a stage opens those of another, `starting` what precedes all.
"""

from __future__ import annotations

from neuroalign.stages.conditions import prompts, prompts_group
from neuroalign.stages.dataset import index, stimuli
from neuroalign.stages.extraction import activations
from neuroalign.stages.fitting.fits import fit, joint
from neuroalign.stages.reconstructions import reconstruction
from neuroalign.stages.recordings import responses
from neuroalign.stages.results import maps, report
from neuroalign.stages.scores import ceiling, group, inference, summary
from neuroalign.stages.simulation import simulate
from neuroalign.stages.times import timing, timing_group

__all__ = [
    "activations",
    "ceiling",
    "fit",
    "group",
    "index",
    "inference",
    "joint",
    "maps",
    "prompts",
    "prompts_group",
    "reconstruction",
    "report",
    "responses",
    "simulate",
    "stimuli",
    "summary",
    "timing",
    "timing_group",
]
