"""What makes a stage run again: the settings it reads and the sources that do its work.

`READS` is the one place that says so; the workflow passes the digests of both to every job and
runs a stage again when one of them has changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from neuroalign.networks.families import MODULES
from neuroalign.networks.origins import files_digest, origin_digest
from neuroalign.provenance.sources import stage_digest
from neuroalign.settings.config import Study
from neuroalign.settings.networks import COMPUTING, Network
from neuroalign.settings.responses import TABLED_KINDS
from neuroalign.settings.section import Section


@dataclass(frozen=True)
class Reads:
    """What decides the result of a stage, beside its input files.

    Attributes
    ----------
    modules : tuple of str
        Where the work is done; what they import counts too.
    settings : tuple of str
        Sections of the config, dotted for a part of one.
    but : tuple of str
        Keys of those sections that do not matter here.
    files : tuple of str
        Patterns of package files, relative to the package.
    """

    modules: tuple[str, ...]
    settings: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


_DATASET = ("dataset.path", "dataset.derivatives", "dataset.task")

_DRAWS = ("inference.bootstraps",)
"""Of time courses alone."""

READS = {
    "simulate": Reads(("neuroalign.recordings.simulated.simulations",), ("simulate", "seed", *_DATASET)),
    "index": Reads(
        ("neuroalign.bids",),
        (*_DATASET, "responses.kind", "responses.samples", "responses.suffix", "responses.glm"),
    ),
    "stimuli": Reads(
        ("neuroalign.recordings.shown",),
        ("dataset", "stimuli", *(f"responses.{key}" for key in ("kind", "samples", "path", "items"))),
    ),
    "activations": Reads(("neuroalign.activations",), ("seed",)),
    "responses": Reads(
        (
            "neuroalign.recordings.fmri",
            *(f"neuroalign.recordings.meeg.{name}" for name in ("responses", "arrays")),
        ),
        ("dataset", "responses"),
        but=("dataset.subjects", "responses.average"),
    ),
    "average": Reads(("neuroalign.recordings.fmri",)),
    "fit": Reads(("neuroalign.alignment.evaluation.evaluate",), ("design", "seed")),
    "ceiling": Reads(("neuroalign.alignment.ceiling.noise_ceiling",), ("ceiling", "design.repeats", "seed")),
    "inference": Reads(
        ("neuroalign.alignment.inference.significance",), ("inference", "design.repeats", "seed"), but=_DRAWS
    ),
    "summary": Reads(("neuroalign.alignment.layers",)),
    "group": Reads(("neuroalign.alignment.group",), ("inference", "seed"), but=_DRAWS),
    "reconstruction": Reads(("neuroalign.alignment.evaluation.reconstruction",), ("design", "ridge")),
    "timing": Reads(
        ("neuroalign.alignment.timing.epochs",), ("inference.bootstraps", "design.repeats", "seed")
    ),
    "timing_group": Reads(
        ("neuroalign.alignment.timing.group",), ("inference.bootstraps", "inference.permutations", "seed")
    ),
    "prompts": Reads(
        ("neuroalign.alignment.prompts.comparison",),
        ("design", "inference", "ridge", "banded_ridge", "seed"),
        but=_DRAWS,
    ),
    "prompts_group": Reads(("neuroalign.alignment.prompts.comparison",), ("inference", "seed"), but=_DRAWS),
    "maps": Reads(("neuroalign.maps.derivatives",), ("title",)),
    "report": Reads(
        ("neuroalign.report.page",),
        tuple(name for name in Study.model_fields if name not in ("output", "resources")),
        files=("report/templates/*",),
    ),
}
"""Stage → what it reads."""

FITS_WITH = {
    "ridge": Reads(("neuroalign.alignment.fitting.ridge",), ("ridge", *_DRAWS)),
    "banded_ridge": Reads(("neuroalign.alignment.fitting.banded_ridge",), ("ridge", "banded_ridge", *_DRAWS)),
    "cross_attention": Reads(("neuroalign.alignment.attention.evaluate",), ("ridge", "cross_attention")),
    "stack": Reads(("neuroalign.alignment.evaluation.stack",), ("ridge", "cross_attention")),
}
"""Encoder → what the stage `fit` reads more where it fits that one: a change of one encoder leaves the
scores of the others alone."""

SIMULATES_WITH = {
    "story": Reads(("neuroalign.recordings.simulated.story",), files=("recordings/simulated/*.txt",)),
    "images": Reads(("neuroalign.recordings.simulated.images",), files=("recordings/simulated/small_vit/*",)),
    "eeg": Reads(("neuroalign.recordings.simulated.eeg",), files=("recordings/simulated/small_vit/*",)),
}
"""Kind of simulated study → what the stage `simulate` reads more where it makes that one."""

EVENTS = tuple(f"{above}*_events.tsv" for above in ("", "sub-*/", "sub-*/*/", "sub-*/*/*/"))
"""Where BIDS keeps events, relative to the dataset."""

LISTED_IN = {
    "nsd": ("nsddata_stimuli/stimuli/nsd/*", "nsddata/experiments/nsd/*"),
    "algonauts": ("subj*/training_split/training_images/*",),
}
"""Kind of responses → where its stimuli and their order lie, relative to the dataset."""

BY_LAYER = ("ridge", "banded_ridge")
"""Encoders that fit and score every layer by itself."""


def settings_digest(study: Study, stage: str, network: str | None = None, encoder: str | None = None) -> str:
    """A short hash of the settings that `stage` reads, of one network's or encoder's where it reads those.

    Parameters
    ----------
    study : Study
    stage : str
        A key of `READS`.
    network : str, optional
        Name of a network or of an untrained twin, for the stage ``activations``.
    encoder : str, optional
        For the stage ``fit``.

    Returns
    -------
    str
    """
    parts = [
        part
        for reads in _all_reads(stage, encoder)
        for section in reads.settings
        for part in _parts(study, section, reads.but)
    ]
    digest = study.digest(*parts)
    if stage == "simulate":
        return f"{digest}-{_hash(simulated_network(study))}"
    if stage == "stimuli" and study.label_columns():
        return f"{digest}-{','.join(study.label_columns())}"
    if network is None:
        return digest
    return f"{digest}-{_hash(study.all_networks()[network], exclude={'untrained'})}"


def network_digest(study: Study, network: str | None = None) -> str:
    """A short hash of the files that a network is made of: other weights at the same path have another.

    Parameters
    ----------
    study : Study
    network : str, optional
        Name of a network or of an untrained twin; left out, the one that is simulated.

    Returns
    -------
    str
    """
    return origin_digest(simulated_network(study) if network is None else study.all_networks()[network])


def stimuli_digest(study: Study) -> str:
    """A short hash of the state of the files that the stage ``stimuli`` finds by itself.

    Those that a job of the study makes count as nothing, their job being what changes them.

    Parameters
    ----------
    study : Study

    Returns
    -------
    str
    """
    root, source, kind = Path(study.dataset.path), study.stimuli, study.responses.kind
    if study.simulate is not None:
        return ""
    patterns = [*LISTED_IN.get(kind, ()), study.responses.items or ""]
    if kind not in TABLED_KINDS:
        patterns = list(EVENTS) if source.source == "events" else [source.path or ""]
    whole = [f"{source.root}/**/*"] if kind in TABLED_KINDS or source.modality != "text" else []
    found = {
        path
        for pattern in filter(None, [*patterns, *whole])
        for path in root.glob(re.sub(r"\{.*?\}", "*", pattern))
        if path.is_file()
    }
    return files_digest(found, root)


def code_digest(
    stage: str, encoder: str | None = None, family: str | None = None, kind: str | None = None
) -> str:
    """A short hash of the sources that `stage` runs.

    Those of an encoder are among them for the stage ``fit``, those of a family of networks for the
    stage ``activations``, those of a kind of study, and of the family that is planted, for ``simulate``.
    """
    reads = [*_all_reads(stage, encoder), *([SIMULATES_WITH[kind]] if kind else [])]
    modules = [module for each in reads for module in each.modules]
    files = [pattern for each in reads for pattern in each.files]
    return stage_digest([*modules, *([MODULES[family]] if family else [])], files)


def _all_reads(stage: str, encoder: str | None) -> list[Reads]:
    return [READS[stage], *([FITS_WITH[encoder]] if encoder else [])]


def _parts(study: Study, section: str, but: tuple[str, ...]) -> list[str]:
    if not any(key.startswith(f"{section}.") for key in but):
        return [section]
    fields = type(getattr(study, section)).model_fields
    return [f"{section}.{field}" for field in fields if f"{section}.{field}" not in but]


def _hash(section: Section, exclude: set[str] | None = None) -> str:
    plain = section.model_dump(mode="json", exclude=exclude)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def simulated_network(study: Study) -> Network:
    """The first network of the config, with only those settings that say what a layer answers.

    Under several prompts it is shown the first.

    Parameters
    ----------
    study : Study

    Returns
    -------
    Network
    """
    first = next(iter(study.conditions().values()))
    fields = type(first).model_fields
    return first.model_copy(update={key: fields[key].default for key in COMPUTING if key in fields})
