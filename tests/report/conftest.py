"""Synthetic studies on disk, by the schemas that the stages write, with a planted truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign.artefacts import arrays, layout
from neuroalign.report.evidence import Evidence
from neuroalign.settings import config, configfile

LAYERS = [f"encoder.layer.{index}" for index in range(-1, 6)]
LAYERS[0] = "embeddings"
DEPTH = np.linspace(0, 1, len(LAYERS))
ALPHAS = np.geomspace(1e-2, 1e6, 17)
ROIS = ["auditory", "temporal", "frontal", "rate", "noise"]


def places(kind: str) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """Target coordinates, place attributes, and a position in [0, 1] for every target."""
    if kind == "surface":
        hemi = np.repeat(["L", "R"], 10242)
        vertex = np.tile(np.arange(10242), 2)
        position = _anterior()
        coordinates = {"hemi": hemi.astype(object), "vertex": vertex}
        attributes = {"space": "fsaverage5", "vertices": [10242, 10242]}
    elif kind == "volume":
        i, j, k = (index.ravel() for index in np.indices((9, 11, 5)))
        inside = (i - 4) ** 2 / 16 + (j - 5) ** 2 / 25 <= 1
        i, j, k = i[inside], j[inside], k[inside]
        position = j / 10
        coordinates = {"i": i, "j": j, "k": k}
        affine = np.array([[-3, 0, 0, 12], [0, 3, 0, -15], [0, 0, 4, -8], [0, 0, 0, 1]], float)
        attributes = {"space": "MNI152NLin2009cAsym", "affine": affine.ravel().tolist(), "shape": [9, 11, 5]}
    elif kind in ("sensors", "series"):
        return sensed(kind)
    else:
        names = ["LATL", "RATL", "RPTL", "LIPL", "LPreM", "LIFG"]
        position = np.linspace(0.05, 0.95, len(names))
        coordinates = {"name": np.array(names, object)}
        attributes = {"space": ""}
    return coordinates, attributes, position


LATENCIES = np.arange(-10, 41) / 100
FIRST_S, LAST_S = 0.1, 0.3
"""Latencies at which the first and the last layer were planted."""


def cap() -> tuple[list[str], np.ndarray]:
    """Names of 64 channels and their places (m)."""
    import mne

    montage = mne.channels.make_standard_montage("biosemi64")
    found = montage.get_positions()["ch_pos"]
    return list(found), np.array(list(found.values()))


def sensed(kind: str) -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """EEG of 64 channels: at latencies, or of whole runs. Channels behind answer, layer after layer."""
    names, where = cap()
    times = LATENCIES if kind == "sensors" else np.zeros(1)
    channel = np.repeat(names, len(times)).astype(object)
    x, y, z = np.repeat(where, len(times), axis=0).T
    latency = np.tile(times, len(names))
    position = (latency - FIRST_S) / (LAST_S - FIRST_S) if kind == "sensors" else 0.5 + 0 * latency
    position = np.where((y < -0.03) & (position >= 0) & (position <= 1), position, np.nan)
    coordinates = {"channel": channel, "channel_type": np.full(len(channel), "eeg", object)}
    coordinates |= {"x": x, "y": y, "z": z}
    attributes = {"kind": "sensors", "space": "", "sampling_hz": 100.0, "montage": "biosemi64"}
    attributes["n_channels"] = len(names)
    if kind == "series":
        return coordinates | {"name": channel}, attributes | {"tr": 0.01}, position
    shown = np.array(
        [f"{name} {1000 * at:.0f} ms" for name, at in zip(channel, latency, strict=True)], object
    )
    more = {"samples": "trials", "n_latencies": len(times)}
    return coordinates | {"latency": latency, "name": shown}, attributes | more, position


def _anterior() -> np.ndarray:
    """Position of every fsaverage5 vertex from back (0) to front (1)."""
    from nilearn import datasets, surface

    meshes = datasets.fetch_surf_fsaverage("fsaverage5")
    y = np.concatenate(
        [surface.load_surf_mesh(meshes[f"pial_{side}"]).coordinates[:, 1] for side in ("left", "right")]
    )
    return (y - y.min()) / np.ptp(y)


def planted(kind: str, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Region, depth (NaN where no network drives) and true ceiling of every target."""
    if kind == "parcels":
        return np.array([""] * len(position), object), position.copy(), np.full(len(position), 0.6)
    if kind in ("sensors", "series"):
        driven = np.isfinite(position)
        return np.array([""] * len(position), object), position.copy(), np.where(driven, 0.6, 0.0)
    edges = [0.25, 0.5, 0.72, 0.86]
    region = np.array(ROIS, object)[np.digitize(position, edges)]
    depth = np.where(position < edges[2], position / edges[2], np.nan)
    ceiling = np.where(region == "noise", 0.0, np.where(region == "rate", 0.4, 0.55))
    return region, depth, ceiling


def with_parts(made: xr.Dataset, seed: int, options: dict[str, Any]) -> xr.Dataset:
    """The summary of an encoder that parts R²; all its r are higher by `gain`."""
    rng = np.random.default_rng(seed)
    gain = options.get("gain", 0.02) + options.get("gain_sd", 0.004) * rng.standard_normal()
    made = made.copy(deep=True).assign_attrs(encoder="banded_ridge")
    for prefix in ("", "chosen_"):
        made[f"{prefix}r"] += np.float32(gain)
        r2 = made[f"{prefix}r2"]
        noise = [0.01 * rng.standard_normal(r2.shape) for _ in range(2)]
        unique, own = (options.get("unique", 0.5) * r2 + noise[0], 0.1 * r2 + noise[1])
        parts = {"unique_network": unique, "shared": r2 - unique - own, "unique_nuisance": own}
        parts |= {"product_network": 0.7 * r2, "product_nuisance": 0.3 * r2, "network_weight": 0 * r2 + 0.6}
        for name, values in parts.items():
            made[f"{prefix}{name}"] = values.astype(np.float32)
    return made


def with_attention(made: xr.Dataset, seed: int, options: dict[str, Any]) -> xr.Dataset:
    """The summary of an encoder that looks at all layers: one score, their importance, and delay curves."""
    rng = np.random.default_rng(seed)
    gain = options.get("gain", 0.02) + options.get("gain_sd", 0.004) * rng.standard_normal()
    best = made["best_depth"].values
    made = made.isel(layer=[0], drop=False).drop_vars(["alpha", "alpha_count"])
    made = made.copy(deep=True).assign_attrs(encoder="cross_attention", window_s=10.0, universal=0)
    for edge in ("edge_low", "edge_high"):
        del made.attrs[edge]
    made["chosen_r"] += np.float32(gain)
    made["r"][0] = made["chosen_r"]
    made = made.assign_coords(layer=np.array(["all layers"], object), depth=("layer", [np.nan]))
    for name in ("best_depth", "centroid"):
        made[name][:] = np.nan
    valid = made["valid"].values
    made["best_layer"] = ("target", np.where(valid, 0, -1).astype(np.int16))
    if made.attrs["network"] == "nuisance":
        return made
    near = np.exp(-((DEPTH[:, None] - np.nan_to_num(best)) ** 2) / 0.05)
    importance = np.where(valid, 0.05 * near + 0.005 * rng.standard_normal(near.shape), np.nan)
    lags = np.linspace(0, 10, 41)
    curve = np.exp(-((lags - 5) ** 2) / 4)[:, None] * np.where(valid, 1.0, np.nan)
    made["importance"] = (("source_layer", "target"), importance.astype(np.float32))
    made["delay"] = (("lag", "target"), (curve / curve.sum(axis=0)).astype(np.float32))
    made["importance_depth"] = ("target", np.where(valid, best, np.nan).astype(np.float32))
    made["peak_delay"] = ("target", np.where(valid, 5, np.nan).astype(np.float32))
    depth = ("source_layer", DEPTH)
    return made.assign_coords(source_layer=np.array(LAYERS, object), source_depth=depth, lag=lags)


def with_stack(made: xr.Dataset, seed: int, options: dict[str, Any]) -> xr.Dataset:
    """The summary of two encoders mixed: one score, and how much of it is attention."""
    kept = with_attention(made, seed, options)
    gone = ["importance", "delay", "importance_depth", "peak_delay", "source_layer", "source_depth", "lag"]
    kept = kept.drop_vars([name for name in gone if name in kept.variables]).assign_attrs(encoder="stack")
    kept = kept.assign_coords(layer=np.array(["stack"], object))
    if made.attrs["network"] != "nuisance":
        valid = kept["valid"].values
        kept["attention_weight"] = ("target", np.where(valid, 0.4, np.nan).astype(np.float32))
    return kept


def summary(kind: str, subject: str, network: str, seed: int, options: dict[str, Any]) -> xr.Dataset:
    """One summary: layers peak at the planted depth; the twin and nuisance features know less."""
    rng = np.random.default_rng(seed)
    coordinates, attributes, position = places(kind)
    region, depth, true_ceiling = planted(kind, position)
    n = len(position)
    layers, depths = (["nuisance"], np.zeros(1)) if network == "nuisance" else (LAYERS, DEPTH)
    driven = np.isfinite(depth)
    strength = {"nuisance": 0.15, "minilmuntrained": 0.25}.get(network, options.get("strength", 0.8))
    tuning = np.exp(-((depths[:, None] - np.nan_to_num(depth)) ** 2) / 0.08) if strength >= 0.5 else 0.8
    r = true_ceiling * np.where(driven, strength * tuning, 0.3) + rng.normal(0, 0.03, (len(layers), n))
    nuisance_r = true_ceiling * np.where(driven, 0.15, 0.3) + rng.normal(0, 0.02, n)
    valid = np.ones(n, bool)
    valid[: options.get("excluded", 1 if n < 100 else 5)] = False
    if subject == options.get("dead_subject"):
        valid[:] = False
    best = r.argmax(0)
    unique = np.sqrt(np.clip(r**2 - nuisance_r**2, 0, None)) + rng.normal(0, 0.02, r.shape)
    chosen, chosen_unique = r[best, np.arange(n)], unique[best, np.arange(n)]
    p = np.clip(np.exp(-chosen_unique * 40) * rng.uniform(0.2, 1, n), 5e-4, 1)
    p = np.where(driven, p, rng.uniform(0, 1, n))
    ceiling = true_ceiling + rng.normal(0, 0.03, n)
    above = ceiling > 0.15
    if options.get("ceiling") == "none":
        ceiling, above = np.full(n, np.nan), np.zeros(n, bool)
    weight = np.clip(r, 0, None) ** 2
    per_target = {
        "chosen_r": chosen,
        "chosen_r2": chosen**2,
        "chosen_r_unique": np.full(n, np.nan) if network == "nuisance" else chosen_unique,
        "nuisance_r": nuisance_r,
        "best_depth": depths[best],
        "centroid": (weight * depths[:, None]).sum(0) / np.maximum(weight.sum(0), 1e-9),
        "stability": rng.uniform(0.5, 1, n),
        "ceiling": ceiling,
        "ceiling_low": ceiling - 0.06,
        "ceiling_high": ceiling + 0.06,
        "normalised_r": np.where(above, chosen / ceiling, np.nan),
        "normalised_r2": np.where(above, chosen**2 / ceiling**2, np.nan),
        "p": p,
        "q": np.minimum(p * 1.8, 1),
        "p_max": np.minimum(p * 20, 1),
    }
    variables: dict[str, Any] = {
        name: ("target", np.where(valid, values, np.nan).astype(np.float32))
        for name, values in per_target.items()
    }
    layered = {"r": r, "r2": r**2, "r_unique": unique}
    for name, values in layered.items():
        variables[name] = (("layer", "target"), np.where(valid, values, np.nan).astype(np.float32))
    variables["best_layer"] = ("target", np.where(valid, best, -1).astype(np.int16))
    variables["above_chance"] = ("target", above & valid)
    variables["significant"] = ("target", (per_target["q"] < 0.05) & valid)
    if network == "nuisance":
        for name in ("p", "q", "p_max", "significant"):
            del variables[name]
    counts = rng.multinomial(int(valid.sum()) * 4, np.exp(-((np.arange(17) - 9) ** 2) / 8) / 5.0132565)
    variables["alpha_count"] = ("alpha", counts.astype(np.int64))
    coordinates = {name: ("target", values) for name, values in coordinates.items()}
    if kind in ("sensors", "series"):
        coordinates["roi"] = ("target", np.full(n, "", object))
    elif kind != "parcels" and options.get("roi", True):
        names = options.get("roi_names", {})
        coordinates["roi"] = ("target", np.array([names.get(label, label) for label in region], object))
    if kind == "series":
        lags = np.arange(-10, 41) / 100
        shape = np.exp(-((lags - 0.2) ** 2) / 0.002)[:, None] * np.where(valid & driven, 1.0, 0.05)
        variables["chosen_kernel"] = (("lag", "target"), shape.astype(np.float32))
        by_layer = np.tile(shape, (len(layers), 1, 1)).astype(np.float32)
        variables["kernel"] = (("layer", "lag", "target"), by_layer)
        coordinates["lag"] = lags
    return xr.Dataset(
        variables,
        {
            "layer": np.array(layers, object),
            "depth": ("layer", depths),
            "alpha": ALPHAS,
            "valid": ("target", valid),
            **coordinates,
        },
        {
            "subject": subject,
            "task": "story",
            "kind": kind,
            **({} if "samples" in attributes else {"tr": 1.5}),
            **attributes,
            "network": network,
            "encoder": "ridge",
            "warnings": options.get("warnings", []),
            "n_valid": int(valid.sum()),
            "n_excluded": int((~valid).sum()),
            "edge_low": options.get("edge_low", 0.0),
            "edge_high": 0.01,
            "inference_method": "circular_shift",
            "inference_permutations": 2000,
            "inference_level": 0.05,
            "inference_correction": "fdr",
            "ceiling_method": options.get("ceiling", "subjects"),
            "ceiling_reason": "one subject and no repeated run" if options.get("ceiling") == "none" else "",
            "folds": ["run-1", "run-2", "run-3", "run-4"],
        },
    )


def group(members: list[xr.Dataset]) -> xr.Dataset:
    """Means over the subjects that have scores."""
    out = members[0].copy(deep=True)
    for name in out.data_vars:
        if out[name].dtype.kind == "f":
            stacked = np.stack([member[name].values for member in members])
            count = np.isfinite(stacked).sum(0)
            total = np.nansum(stacked, axis=0)
            out[name] = (
                out[name].dims,
                np.where(count, total / np.maximum(count, 1), np.nan).astype(np.float32),
            )
    if "q" in out:
        out["significant"] = ("target", np.nan_to_num(out["q"].values, nan=1.0) < 0.05)
    out["n_subjects"] = ("target", np.sum([member["valid"].values for member in members], 0))
    subjects = [str(member.attrs["subject"]) for member in members]
    method = "stouffer" if len(subjects) < 6 else "sign-flip"
    return out.assign_attrs(subject="group", group_method=method, subjects=subjects)


SENSORS = {
    "sensors": {"kind": "eeg", "samples": "trials"},
    "series": {"kind": "eeg", "samples": "time"},
}
"""What the config says of responses of these kinds."""


def configured(folder: Path, kind: str, subjects: int, options: dict[str, Any]) -> config.Study:
    """The configuration of a synthetic study below `folder`."""
    raw: dict[str, Any] = {
        "title": options.get("title", "Where in the brain is a story?"),
        "output": str(folder / "results"),
        "dataset": {
            "path": str(folder / "bids"),
            "task": "story",
            "subjects": [f"{subject + 1:02d}" for subject in range(subjects)],
        },
        "networks": {"minilm": {"source": "package:some/model", "untrained": options.get("twin", True)}},
        "responses": {"kind": kind, "average": options.get("average", False)} | SENSORS.get(kind, {}),
        "design": options.get("design", {}),
        "encoders": options.get("encoders", ["ridge"]),
    }
    if options.get("truth"):
        raw["simulate"] = {"subjects": subjects}
    return configfile.parse(raw)


def as_of(encoder: str, plain: xr.Dataset, seed: int, options: dict[str, Any]) -> xr.Dataset:
    """The summary as another encoder would make it."""
    if encoder == "cross_attention":
        return with_attention(plain, seed, options)
    if encoder == "stack":
        return with_stack(plain, seed, options)
    if encoder == "banded_ridge" and plain.attrs["network"] != "nuisance":
        return with_parts(plain, seed, options)
    return plain.assign_attrs(encoder=encoder)


def made(study: config.Study, options: dict[str, Any]) -> tuple[dict[Any, xr.Dataset], dict[Any, xr.Dataset]]:
    """All summaries by (subject, network, encoder) and groups by (network, encoder)."""
    labels = study.subjects() + (["average"] if options.get("average") else [])
    summaries, groups = {}, {}
    kind = options.get("kind", study.responses.kind)
    for number, network in enumerate([*study.all_networks(), "nuisance"]):
        for index, subject in enumerate(labels):
            seed = 100 * number + index
            plain = summary(kind, subject, network, seed, options)
            for encoder in study.encoders:
                summaries[subject, network, encoder] = as_of(encoder, plain, seed, options)
        left_out = ("average", options.get("dead_subject"))
        for encoder in study.encoders if len(study.subjects()) > 1 else []:
            people = [subject for subject in labels if subject not in left_out]
            groups[network, encoder] = group([summaries[s, network, encoder] for s in people])
    return summaries, groups


def build_study(folder: Path, kind: str = "parcels", subjects: int = 3, **options: Any) -> config.Study:
    """Write the artefacts that the report reads and give back the configuration.

    Options: twin, truth, roi (bool), title, ceiling ("none"), dead_subject, edge_low, excluded,
    warnings, strength, roi_names, average; encoders, and of banded ridge: gain and gain_sd (of r over
    ridge), unique (share of R² that is the network's own).
    """
    study = configured(Path(folder), kind, subjects, options)
    output = Path(study.output)
    root = Path(study.dataset.path)
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "A story", "BIDSVersion": "1.10.0"}))
    summaries, groups = made(study, options | {"kind": kind})
    for (subject, network, encoder), dataset in summaries.items():
        path = layout.SUMMARY.format(subject=subject, network=network, encoder=encoder)
        arrays.save_arrays(dataset, output / path)
    for (network, encoder), dataset in groups.items():
        arrays.save_arrays(dataset, output / layout.GROUP.format(network=network, encoder=encoder))
    for index, subject in enumerate(dict.fromkeys(key[0] for key in summaries)):
        _save_responses(output / layout.RESPONSES.format(subject=subject), kind, subject, index)
    if options.get("truth"):
        _save_truth(root / layout.TRUTH, kind, subjects)
    return study


def _save_responses(path: Path, kind: str, subject: str, seed: int) -> None:
    data = np.random.default_rng(seed).normal(size=(40, 3))
    samples = pd.DataFrame(
        {
            "run": np.repeat(["run-1", "run-2", "run-3", "run-4"], 10),
            "time_s": np.tile(np.arange(10) * 1.5, 4),
        }
    )
    targets = pd.DataFrame({"name": ["a", "b", "c"]})
    cleaning = "Six motion parameters and cosines below 0.01 Hz were regressed out of every run."
    responses = arrays.build_responses(
        data, samples, targets, subject=subject, task="story", kind=kind, tr=1.5, cleaning=cleaning
    )
    arrays.save_arrays(responses, path)


def _save_truth(path: Path, kind: str, subjects: int) -> None:
    coordinates, _, position = places(kind)
    region, depth, ceiling = planted(kind, position)
    coords = {name: ("target", values) for name, values in coordinates.items()}
    truth = xr.Dataset(
        {
            "depth": ("target", depth.astype(np.float32)),
            "ceiling": (("subject", "target"), np.tile(ceiling.astype(np.float32), (subjects, 1))),
        },
        {
            **coords,
            "roi": ("target", region),
            "subject": np.array([f"{s + 1:02d}" for s in range(subjects)], object),
        },
        {"network": "package:some/model", "seed": 0, "description": "planted depth"},
    )
    arrays.save_arrays(truth, path)


@pytest.fixture
def make_study(tmp_path: Path):
    """A function that writes a synthetic study and gives its configuration."""

    def make(kind: str = "parcels", subjects: int = 3, **options: Any) -> config.Study:
        return build_study(tmp_path / f"study-{kind}-{subjects}", kind, subjects, **options)

    return make


@pytest.fixture
def make_evidence(tmp_path: Path):
    """A function that gives what the report would read of a synthetic study, without its files."""

    def make(kind: str = "parcels", subjects: int = 3, **options: Any) -> Evidence:
        study = configured(tmp_path, kind, subjects, options)
        found = made(study, options | {"kind": kind})
        return Evidence(study, *found, recordings={}, networks={}, truth=None)

    return make


@pytest.fixture(scope="session")
def surface_study(tmp_path_factory: pytest.TempPathFactory) -> config.Study:
    """A simulated surface study: three subjects on fsaverage5, with its truth."""
    return build_study(tmp_path_factory.mktemp("surface"), "surface", 3, truth=True)
