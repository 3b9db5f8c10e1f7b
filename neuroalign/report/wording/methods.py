"""A methods paragraph that can be pasted into a paper, with the references it calls for."""

from __future__ import annotations

import numpy as np

from neuroalign.artefacts import layout
from neuroalign.design.folds import ITEM_FOLDS
from neuroalign.report.evidence import Evidence, texts
from neuroalign.report.sensors.methods import lagged_design, sensor_recordings, timing_methods
from neuroalign.report.wording.fitting import fitting
from neuroalign.report.wording.modality import pieces, rate
from neuroalign.report.wording.references import REFERENCES
from neuroalign.settings.config import Study


def methods(evidence: Evidence) -> str:
    """The methods paragraph of this study, from its configuration and its artefacts."""
    study = evidence.study
    parts = [
        *_networks(evidence),
        *_recordings(evidence),
        *_design(study),
        *fitting(evidence),
        *_prompts(evidence),
        *_controls(evidence),
        *_ceiling(evidence),
        *_inference(evidence),
        *timing_methods(evidence),
    ]
    return " ".join(parts)


def references(evidence: Evidence) -> list[str]:
    """The references that the methods paragraph cites, in alphabetical order."""
    text = methods(evidence)
    return [entry for key, entry in sorted(REFERENCES.items()) if key in text]


def _networks(evidence: Evidence) -> list[str]:
    out = ["Data were organised by the brain imaging data structure (Gorgolewski 2016)."]
    within = {"sentence": "its sentence", "run": "its run", "task": "the whole task"}[
        evidence.study.stimuli.passage
    ]
    for name, network in evidence.study.conditions().items():
        layers = evidence.whose(name, evidence.study.encoders[0])
        count = next(iter(layers.values())).sizes["layer"] if layers else 0
        out.append(network.described(name, count, within))
    return out


def _recordings(evidence: Evidence) -> list[str]:
    study = evidence.study
    settings = study.responses
    if evidence.kind == "sensors":
        return [*sensor_recordings(evidence), *_cleaning(evidence)]
    kinds = {"surface": "surface vertices", "volume": "voxels", "cifti": "grayordinates"}
    where = kinds.get(evidence.kind, "parcels")
    space = f" in {settings.space}" if settings.space else ""
    reader = ", read with nilearn (Abraham 2014)" if settings.kind != "parcels" else ""
    out = [f"Responses were taken at {where}{space} from {study.dataset.derivatives}{reader}."]
    if cleaning := _cleaning(evidence):
        return [*out, *cleaning]
    if settings.confounds:
        out.append(f"Confounds were regressed out within each run: {', '.join(settings.confounds)}.")
    if settings.high_pass_hz:
        out.append(
            f"Drifts below {settings.high_pass_hz:g} Hz were removed by a cosine basis within each run."
        )
    if settings.standardize:
        out.append("Every target was z-scored within each run.")
    if any(settings.trim_s):
        out.append(
            f"The first {settings.trim_s[0]:g} s and last {settings.trim_s[1]:g} s of every run were dropped."
        )
    return out


def _cleaning(evidence: Evidence) -> list[str]:
    """What the responses say was done to them, once for all who had the same."""
    told = dict.fromkeys(r["cleaning"] for r in evidence.recordings.values() if r.get("cleaning"))
    return [text if text.endswith(".") else f"{text}." for text in told]


def _design(study: Study) -> list[str]:
    design = study.design
    if study.responses.samples == "trials":
        return _trial_design(study)
    if design.lags is not None:
        out = lagged_design(study)
    elif design.resample == "lanczos":
        delays = ", ".join(f"{delay:g}" for delay in design.delays)
        out = [
            f"Features of {pieces(study)} were resampled to the times of the volumes with a Lanczos kernel "
            f"of {design.lanczos_window} lobes and delayed by {delays} s (finite impulse response; Huth "
            "2016)."
        ]
    else:
        out = [
            f"Features of {pieces(study)} were convolved with a canonical haemodynamic response function "
            "(Glover 1999) and sampled at the times of the volumes."
        ]
    if design.filter and study.responses.high_pass_hz:
        out.append("The drifts removed from the responses were removed from the features too.")
    folds = design.folds
    if folds.by == "run":
        held = "one run at a time" if folds.n is None else f"whole runs, in {folds.n} folds"
    else:
        count = f"{folds.n} " if folds.n else ""
        held = f"{count}contiguous blocks within runs, with a gap of {folds.gap_s:g} s on both sides"
    out.append(
        f"Cross-validation held out {held}; all standardising and every choice used training data only."
    )
    return out


def _trial_design(study: Study) -> list[str]:
    """Trials follow their own stimulus, and are held out by it."""
    folds = study.design.folds
    joined = "" if study.design.repeats == "each" else " Trials of one stimulus were averaged."
    held = (
        f"stimuli with all their trials, in {folds.n or ITEM_FOLDS} folds"
        if folds.by == "item"
        else "whole runs"
    )
    return [
        f"Every trial was predicted from the features of its own stimulus.{joined}",
        f"Cross-validation held out {held}; all standardising and every choice used training data only.",
    ]


def _prompts(evidence: Evidence) -> list[str]:
    networks = list(dict.fromkeys(network for _, network in evidence.prompts))
    if not networks:
        return []
    return [
        f"For {', '.join(networks)}, the prompt of every target was the one whose chosen layer had the "
        "highest inner score, chosen anew in every fold from training data; held-out R² was parted among "
        "prompts by banded ridge (Nunez-Elizalde 2019) with a band for each prompt and one for the nuisance "
        "features, at the layer with the highest mean inner score over prompts, as the loss of R² when a "
        "prompt is left out."
    ]


def _controls(evidence: Evidence) -> list[str]:
    nuisance = evidence.study.design.nuisance
    named = [*([rate(evidence.study)] if nuisance.word_rate else []), *nuisance.columns, *nuisance.networks]
    out = []
    if named:
        longer = ""
        design = evidence.study.design
        if nuisance.word_rate and design.resample == "lanczos" and design.lags is None:
            delays = nuisance.delays
            span = f"{len(delays)} delays from {min(delays):g} to {max(delays):g} s"
            longer = f"; {rate(evidence.study)} with {span}"
        out.append(
            f"Nuisance features ({', '.join(named)}{longer}) stood beside the network in every model, went "
            "through the same folds alone as a control, and were projected out of both held-out response "
            "and prediction for the partial correlation r_unique."
        )
    if any(evidence.twin(network) for network in evidence.study.conditions()):
        out.append(
            "Each network was compared with an untrained twin: the same architecture with random weights."
        )
    return out


def _ceiling(evidence: Evidence) -> list[str]:
    found = {
        str(d.attrs.get("ceiling_method", "none"))
        for key, d in evidence.summaries.items()
        if key[0] != layout.AVERAGE
    }
    out = []
    how = {
        "subjects": "from the agreement of each subject with the mean of the others (Nili 2014; "
        "Lage-Castellanos 2019)",
        "repeats": "from the agreement of repeated runs (Lage-Castellanos 2019)",
        "repeated trials (signal_power)": "from trials of the same stimulus, by analysis of variance (Sahani "
        "& Linden 2003)",
        "repeated trials (split_half)": "from random halves of the trials of a stimulus, by Spearman and "
        "Brown's formula",
        "repeated trials (nsd)": "from the variance of all trials less that among trials of one stimulus "
        "(Allen 2022)",
    }
    settings = evidence.study.ceiling
    for method in sorted(found & set(how)):
        parts = "stimuli" if "trials" in method else f"{settings.block_s:g} s blocks"
        out.append(
            f"The noise ceiling of every target was estimated {how[method]}, with a "
            f"{100 * settings.confidence:g} % interval from {settings.bootstraps} bootstraps of {parts}; "
            "scores are normalised as r / r_ceiling where the ceiling is above chance."
        )
    return out or ["No noise ceiling could be estimated; scores are not normalised."]


def _inference(evidence: Evidence) -> list[str]:
    summary = next(d for key, d in evidence.summaries.items() if key[1] in evidence.study.conditions())
    settings = evidence.study.inference
    how = {
        "circular_shift": "circular shifts of each held-out run's responses against their predictions",
        "block": f"permutations of {settings.block_s:g} s blocks of the responses",
        "item": "circular shifts of randomly ordered held-out stimuli, their trials together, against their "
        "predictions",
    }[str(summary.attrs.get("inference_method", settings.method))]
    count = int(summary.attrs.get("inference_permutations", settings.permutations))
    rule = {
        "fdr": f"a false discovery rate of {settings.level:g} (Benjamini & Hochberg 1995)",
        "max": f"a family-wise error rate of {settings.level:g} by the maximum statistic (Nichols & Holmes "
        "2002)",
        "cluster": f"a family-wise error rate of {settings.level:g} by the mass of clusters of neighbouring "
        f"channels and latencies with p ≤ {settings.cluster_level:g} (Maris & Oostenveld 2007)",
        "tfce": f"a family-wise error rate of {settings.level:g} after threshold-free cluster enhancement "
        "over neighbouring channels and latencies (Smith & Nichols 2009)",
    }[settings.correction]
    out = [
        "Targets were tested, one-sided, for a held-out partial correlation above chance, against "
        f"{count} {how}; the null was widened, at least by √2, since every pair of folds is used in both "
        "directions and folds choose layers. "
        f"Targets are called significant at {rule}."
    ]
    group = next((d for key, d in evidence.groups.items() if key[0] in evidence.study.conditions()), None)
    if group is not None:
        n = (
            int(np.max(group["n_subjects"].values))
            if "n_subjects" in group
            else len(texts(group.attrs.get("subjects")))
        )
        way = (
            "sign-flipping"
            if group.attrs.get("group_method") == "sign-flip"
            else "Stouffer's combination of p-values"
        )
        out.append(f"The group of {n} subjects was tested by {way}.")
    return out
