"""The part of the methods that says how EEG, MEG and iEEG were read, and how they follow stimuli at lags."""

from __future__ import annotations

import numpy as np

from neuroalign.maps.sensors import channels
from neuroalign.report.evidence import Evidence
from neuroalign.report.sensors.phrases import described
from neuroalign.settings.config import Study

FORMATS = {"eeg": "Pernet 2019", "meg": "Niso 2018", "ieeg": "Holdgraf 2019"}
"""Where the layout of raw recordings is described."""


def sensor_recordings(evidence: Evidence) -> list[str]:
    """What was read, and by what; what was done to it is said by the responses themselves."""
    kind = evidence.study.responses.kind
    summary = evidence.any_summary
    what = described(summary)
    if kind in FORMATS:
        out = [
            f"Responses of {what} were read from raw data (BIDS: {FORMATS[kind]}) with MNE-Python (Gramfort "
            "2013) and MNE-BIDS (Appelhoff 2019)."
        ]
    elif kind == "epochs":
        out = [f"Responses of {what} were read from epochs cut before, with MNE-Python (Gramfort 2013)."]
    else:
        out = [f"Responses of {what} were read from arrays."]
    places = channels(summary)[["x", "y", "z"]].to_numpy(float)
    if np.isfinite(places).all(axis=1).any():
        out.append("Topographies show channels from above, by azimuthal equidistant projection.")
    return out


def lagged_design(study: Study) -> list[str]:
    """How continuous responses follow stimuli at many lags."""
    lags = study.design.lags
    if lags is None:
        return []
    shown = {
        "impulse": "stood at the onset of each stimulus, and were 0 elsewhere",
        "hold": "stood for as long as each stimulus lasted, and were 0 elsewhere",
    }[lags.features]
    parts = (
        "all features" if lags.components is None else f"the {lags.components} leading principal components"
    )
    return [
        f"Features {shown}, at the rate of the responses. Responses were predicted from {parts} of each "
        f"layer (from training data) at all lags from {1000 * lags.start_s:g} to {1000 * lags.stop_s:g} ms "
        "(temporal response functions; Crosse 2016), nuisance features at the same lags beside them.",
    ]


def timing_methods(evidence: Evidence) -> list[str]:
    """How peaks, onsets, temporal generalisation and identification were found, where they were."""
    found = next((d for key, d in evidence.timings.items() if key[1] in evidence.study.conditions()), None)
    if found is None:
        return []
    count = int(found.attrs.get("bootstraps", 0))
    out = []
    if found.sizes.get("layer"):
        out.append(
            "Of every layer, r was averaged over channels; its peak is the latency of the maximum, its onset "
            "that from which it stays above half of the maximum until then (fractional-peak latency; Kiesel "
            f"2008), with 95 % intervals from {count} bootstraps of held-out stimuli. Depth and latency were "
            "compared by Spearman correlation over the layers that exceed what noise reaches anywhere."
        )
    out.append(
        "Predictions for each latency were correlated with responses at every other (temporal "
        "generalisation; King & Dehaene 2014)."
    )
    if "identification" in found:
        out.append(
            "Stimuli were identified by pairs: of two held-out ones, predictions over channels had to "
            "correlate more with their own responses than with each other's."
        )
    return out
