"""What every fit writes: predictions, scores, and by what they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroalign.artefacts import layout
from neuroalign.provenance.stamps import STAMP, stamp
from neuroalign.settings.config import Study
from neuroalign.settings.encoders import STACKED
from neuroalign.stages.origins import fitted_from
from neuroalign.stages.places import path_of

if TYPE_CHECKING:
    import xarray as xr


def save_fit(study: Study, scores: xr.Dataset, predictions: xr.Dataset, **made_for: str) -> None:
    """Write scores, and before them the predictions, with whose they are."""
    from neuroalign.artefacts import arrays

    about = made_by_fit(study, made_for)
    for made, pattern in ((predictions, layout.PREDICTIONS), (scores, layout.SCORES)):
        made.attrs.update(about)
        arrays.save_arrays(made, path_of(study, pattern, **made_for))


def made_by_fit(study: Study, made_for: dict[str, str]) -> dict[str, str]:
    """Whose scores and predictions are, and by what they are made, as attributes."""
    sources = fitted_from(study, [made_for["subject"]], made_for["network"])
    if made_for["encoder"] == "stack" and made_for["network"] != layout.NUISANCE:
        parts = [{**made_for, "encoder": encoder} for encoder in STACKED]
        sources += [path_of(study, layout.PREDICTIONS, **part) for part in parts]
        sources.append(path_of(study, layout.SCORES, **parts[0]))
    return {**made_for, STAMP: stamp(study, "fit", sources, encoder=made_for["encoder"])}
