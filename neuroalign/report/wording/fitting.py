"""The part of the methods that says how responses were predicted, encoder by encoder."""

from __future__ import annotations

from neuroalign.alignment.fitting.ridge import NUISANCE_VARIANCE
from neuroalign.report.evidence import Evidence
from neuroalign.report.wording.modality import pieces
from neuroalign.settings.config import Study


def fitting(evidence: Evidence) -> list[str]:
    """Sentences on how responses were predicted and scored, encoder by encoder."""
    study = evidence.study
    grid = study.ridge.alphas
    spaced = f"{grid.count} values spaced logarithmically from {grid.lowest:g} to {grid.highest:g}"
    beside = study.design.nuisance.asked
    own = (
        f"its features of {pieces(study)}"
        if study.responses.samples == "time"
        else "its features of the stimulus"
    )
    scaled = "z-scored"
    if study.design.lags is not None:  # impulses stay at zero between stimuli
        own, scaled = "its features at all lags", "scaled"
    features = f"{own} and the nuisance features" if beside else own
    used = [float(a) for d in evidence.summaries.values() if "alpha" in d for a in d["alpha"].values[[0, -1]]]
    widened = ""
    if used and (min(used) < 0.99 * grid.lowest or max(used) > 1.01 * grid.highest):
        widened = (
            f" (widened to {min(used):g} to {max(used):g} where an end of the grid was chosen too often)"
        )
    linear = [name for name in study.encoders if name in LINEAR]
    out = []
    if linear:
        cited = "; ".join(LINEAR[name][1] for name in linear)
        out.append(
            f"For every layer, responses were predicted from {features}, {scaled} on the training "
            f"samples, by {' and, for comparison, by '.join(LINEAR[name][0] for name in linear)} "
            f"({cited}; NumPy, Harris 2020), penalties chosen per target from {spaced}{widened} by "
            "cross-validation within the training folds."
        )
    if "ridge" in study.encoders and beside:
        out.append(
            "For ridge, features were scaled as bands: the network's to a total variance of 1, the nuisance "
            f"features to {NUISANCE_VARIANCE:g}."
        )
    if "banded_ridge" in study.encoders:
        out += _banded(study)
    if linear:
        out.append(
            "The layer of each target was chosen within the training folds as well, and scored on the "
            "held-out fold."
        )
    if "cross_attention" in study.encoders:
        out += _attention(evidence)
    if "stack" in study.encoders:
        out += _stacked()
    return [
        *out,
        "Scores are Pearson correlations of measured and predicted responses, computed within each "
        "held-out fold and then averaged over folds.",
    ]


LINEAR = {
    "ridge": ("ridge regression", "Hoerl & Kennard 1970"),
    "banded_ridge": ("banded ridge regression", "Nunez-Elizalde 2019; Dupré la Tour 2022"),
}
"""Encoders that score every layer by itself: what they are called, and whose they are."""


def _attention(evidence: Evidence) -> list[str]:
    """What attends to what, how it is learned, and when that stops."""
    study = evidence.study
    given = study.cross_attention
    asking = {str(d.attrs["queries"]) for d in evidence.summaries.values() if "queries" in d.attrs}
    layers = "all layers" if given.layers == "all" else f"the layers {', '.join(given.layers)}"
    owners = "of all subjects shared one network" if given.universal else "of a subject shared one network"
    asked = {
        "voxel": "a learned embedding of every target asks",
        "prototype": "prototypes that all targets share ask, and every target mixes what they are answered",
    }["prototype" if "prototype" in asking else "voxel"]
    first = ""
    if study.design.nuisance.asked:
        first = (
            "Nuisance features were fitted first by ridge regression within the training samples; "
            "cross-attention learned what they left, and the prediction was the sum of both. "
        )
    drifts, answering = "", "all patches of a sample's image answer, by what they show and where they lie"
    if study.responses.samples == "time":
        answering = (
            f"the {pieces(study)} that began in the {given.window_s:g} s before a sample answer, by what "
            "they are and how long ago they began"
        )
    if study.responses.samples == "time" and study.design.filter and study.responses.high_pass_hz:
        drifts = " The drifts removed from the responses were removed from its predictions."
    return [
        f"By cross-attention (after Beliy 2024) responses were predicted from {layers} at once: {asked}, and "
        f"{answering}; all targets {owners} ({given.width} dimensions, embeddings of "
        f"{given.embedding}). {first}Training stopped by the mean r in the first inner fold of the training "
        f"samples.{drifts}",
        "How much a layer adds was measured as the loss of r in the held-out fold where its part of the "
        "prediction was replaced by its mean.",
    ]


def _stacked() -> list[str]:
    """How two encoders are mixed."""
    return [
        "Ridge regression and cross-attention were stacked (Breiman 1996): a weight per target, from 0 to 1 "
        "and shrunk to what all targets of a subject have in common, by what both predict in the first inner "
        "fold of the training samples, and 0 unless mixing lowered the error there by more than one standard "
        "error; the held-out predictions of both were then mixed by it."
    ]


def _banded(study: Study) -> list[str]:
    """How bands were weighed, and how R² was parted."""
    return [
        "For banded ridge, network and nuisance features were each scaled to a total variance of 1 and "
        "multiplied by √γ and √(1 − γ); γ was chosen per target, together with the penalty, among "
        f"{study.banded_ridge.candidates} candidates: equal weights, either band alone, and random draws "
        "refined near those that did best within the training folds; how far targets share a choice was "
        "learned there too.",
        "The network's and the nuisance features were also fitted alone by ridge regression, through the "
        "same folds with penalties of their own, and the held-out R² (against the mean of the training "
        "samples) was parted (Borcard 1992; Lescroart 2015): unique to the network, R²(both) − R²(nuisance); "
        "unique to the nuisance features, R²(both) − R²(network); shared, R²(network) + R²(nuisance) − "
        "R²(both). Negative values were kept. The product measure of a band with predictions ŷ_b, "
        "Σ ŷ_b (2y − ŷ) / Σ y² about the mean of the training samples, splits R²(both) within one model "
        "(Dupré la Tour 2022).",
    ]
