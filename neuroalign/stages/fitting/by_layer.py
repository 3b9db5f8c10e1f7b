"""Every layer fitted by itself: of all targets at once, or of as many as the memory allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuroalign.artefacts import layout
from neuroalign.provenance.triggers import BY_LAYER
from neuroalign.settings.config import Study
from neuroalign.stages.fitting.saved import made_by_fit, save_fit
from neuroalign.stages.opened import activations_of, networks_beside, responses_of, samples_of
from neuroalign.stages.origins import fingerprint, fitted_from
from neuroalign.stages.places import path_of

if TYPE_CHECKING:
    import xarray as xr

    from neuroalign.alignment.fitting.fold import FoldEncoder


def fit_by_layer(study: Study, subject: str, network: str, encoder: str) -> None:
    """Every layer by itself: of all targets at once, or of as many as the memory allows."""
    from neuroalign.alignment.evaluation.blocks import discard, fit_in_blocks, join_predictions
    from neuroalign.alignment.evaluation.courses import Resampling
    from neuroalign.alignment.evaluation.evaluate import evaluate
    from neuroalign.artefacts import arrays

    store = None if network == layout.NUISANCE else path_of(study, layout.ACTIVATIONS, network=network)
    made_from = fingerprint(study, "fit", fitted_from(study, [subject], network), encoder)

    def fit(targets: slice | None, unfinished: Path) -> tuple[xr.Dataset, xr.Dataset]:
        return evaluate(
            *samples_of(study, subject, targets),
            None if store is None else activations_of(study, network),
            study.design,
            _fold_encoder(study, encoder, subject),
            partial=unfinished,
            fingerprint=made_from,
            beside=networks_beside(study),
            resampling=Resampling(study.inference.bootstraps, study.seed) if encoder in BY_LAYER else None,
        )

    made_for = {"subject": subject, "network": network, "encoder": encoder}
    partial = path_of(study, layout.SCORES, **made_for).with_suffix(".partial")
    blocks = _blocks(study, subject, store, encoder)
    if len(blocks) == 1:
        scores, predictions = fit(None, partial)
        return save_fit(study, scores, predictions, **made_for)
    scores = fit_in_blocks(fit, blocks, partial, made_from)
    about = made_by_fit(study, made_for)
    join_predictions(blocks, partial, path_of(study, layout.PREDICTIONS, **made_for), **about)
    arrays.save_arrays(scores.assign_attrs(about), path_of(study, layout.SCORES, **made_for))
    discard(partial)


def _blocks(study: Study, subject: str, store: Path | None, encoder: str) -> list[slice]:
    """The targets that a fit by layers takes at once."""
    from neuroalign.alignment.evaluation.blocks import SCORE_KINDS, ZARR_BYTES, FitSize
    from neuroalign.artefacts import arrays

    samples, targets = arrays.shape_of(path_of(study, layout.RESPONSES, subject=subject), "response")
    budget = study.resources.memory_bytes
    if budget is None or study.responses.epoched:  # whose time courses are means over all channels
        return [slice(0, targets)]
    delays = len(study.design.delays) if study.responses.samples == "time" else 1
    units = [0] if store is None else arrays.open_activations(store).attributes["units"]
    beside = sum(sum(network.attributes["units"]) for network in networks_beside(study))
    nuisance = study.design.nuisance
    features = (max(units) + beside) * delays + len(nuisance.delays) * nuisance.word_rate
    scores = len(units) * (study.design.folds.n or 5) * SCORE_KINDS[encoder]
    size = FitSize(targets, samples, samples, features, scores, ZARR_BYTES, encoder == "banded_ridge")
    return size.blocks(budget)


def _fold_encoder(study: Study, name: str, subject: str) -> FoldEncoder:
    """The encoder of this name with the study's settings; `triggers.FITS_WITH` says what it reads."""
    alphas = study.ridge.alphas.values()
    if study.design.lags is not None and name == "ridge":
        from neuroalign.alignment.fitting.lagged_ridge import FoldLaggedRidge

        return FoldLaggedRidge.of(responses_of(study, subject), study.design.lags, alphas)
    if name == "banded_ridge":
        from neuroalign.alignment.fitting.banded_ridge import FoldBandedRidge

        return FoldBandedRidge(alphas, study.banded_ridge.candidates, study.seed)
    if name in ("cross_attention", "stack"):  # of which only the nuisance features are fitted here
        from neuroalign.alignment.attention.fold import FoldNuisance

        return FoldNuisance(alphas)
    from neuroalign.alignment.fitting.ridge import FoldRidge

    return FoldRidge(alphas)
