"""What the results of a fit are made from: the files it opens, and a hash of those, settings and code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroalign.artefacts import layout
from neuroalign.provenance.triggers import code_digest, settings_digest
from neuroalign.settings.config import Study
from neuroalign.stages.places import path_of


def fitted_from(study: Study, people: Sequence[str], network: str) -> list[Path]:
    """The files that a fit opens."""
    names = [*([] if network == layout.NUISANCE else [network]), *study.design.nuisance.networks]
    store = [path_of(study, layout.ACTIVATIONS, network=name) for name in names]
    responses = [path_of(study, layout.RESPONSES, subject=subject) for subject in people]
    return [*responses, path_of(study, layout.EVENTS), *store]


def fingerprint(study: Study, stage: str, sources: Iterable[Path], encoder: str | None = None) -> str:
    """A short hash of what a stage's result is made from: settings, code and the files it opens.

    Layers kept from a killed run are used again only where it is the same.
    """
    settings = settings_digest(study, stage, encoder=encoder)
    digest = hashlib.sha256(f"{settings} {code_digest(stage, encoder)}".encode())
    for source in sources:
        state = source.stat() if source.exists() else None
        digest.update(f"{source} {state and (state.st_size, state.st_mtime_ns)}".encode())
    return digest.hexdigest()[:12]
