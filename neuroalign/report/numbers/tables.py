"""The numbers of the report as tables: what the page prints and what lies beside it as TSV."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign import __version__
from neuroalign.alignment.fitting.partition import PARTS
from neuroalign.artefacts import layout
from neuroalign.artefacts.atomic import replacing
from neuroalign.provenance.sources import versions
from neuroalign.report.evidence import Evidence, column, mean, significant, texts
from neuroalign.report.regions import ALL

MEASURES = (
    *("r", "r_unique", "nuisance_r", "gain_nuisance", "twin_r", "gain_twin", "ceiling", "normalised_r"),
    *("r2", *PARTS),
)
"""Columns of the subject table that the group table averages."""

LONG = 100_000
"""Rows above which a table is saved as Parquet: as text it would take long to write and to read."""


@dataclass(frozen=True)
class Estimate:
    """A mean over subjects with its spread and its 95 % interval (Student's t)."""

    mean: float
    sd: float
    low: float
    high: float
    n: int


def estimate(values: np.ndarray) -> Estimate:
    """Mean, standard deviation (n − 1) and 95 % t interval of one number per subject; NaNs are left out."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    n = len(values)
    if n < 2:
        return Estimate(float(values[0]) if n else np.nan, np.nan, np.nan, np.nan, n)
    from scipy.special import stdtrit

    centre, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * sd / np.sqrt(n)
    return Estimate(centre, sd, centre - half, centre + half, n)


def subject_table(evidence: Evidence) -> pd.DataFrame:
    """One row per subject × network × encoder; means run over the targets that have a score."""
    rows = [
        subject_row(evidence, dataset, subject, network, encoder)
        for (subject, network, encoder), dataset in evidence.summaries.items()
    ]
    return pd.DataFrame(rows)


def subject_row(
    evidence: Evidence, dataset: xr.Dataset, subject: str, network: str, encoder: str
) -> dict[str, object]:
    """The numbers of one summary."""
    r = dataset["chosen_r"].values.astype(float)
    scored = np.isfinite(r)
    control = network == layout.NUISANCE
    nuisance = np.full_like(r, np.nan) if control else column(dataset, "nuisance_r")
    twin = evidence.twin(network)
    beside = evidence.summaries.get((subject, twin, encoder)) if twin else None
    twin_r = np.full_like(r, np.nan) if beside is None else beside["chosen_r"].values
    layer, share = modal_layer(dataset)
    verdict = significant(dataset)
    return {
        "subject": subject,
        "network": network,
        "encoder": encoder,
        "n_valid": int(scored.sum()),
        "n_excluded": int((~scored).sum()),
        "r": float(mean(r)),
        "r2": float(mean(dataset["chosen_r2"].values)),
        "r_unique": float(mean(column(dataset, "chosen_r_unique"))),
        **{name: float(mean(column(dataset, f"chosen_{name}"))) for name in PARTS},
        "nuisance_r": float(mean(nuisance)),
        "gain_nuisance": float(mean(r - nuisance)),
        "twin_r": float(mean(twin_r)),
        "gain_twin": float(mean(r - twin_r)),
        "share_significant": np.nan if control or not scored.any() else float(verdict.sum() / scored.sum()),
        "layer": "" if control else layer,
        "layer_share": np.nan if control else share,
        "depth_centroid": np.nan if control else float(mean(dataset["centroid"].values[verdict])),
        "ceiling": float(mean(dataset["ceiling"].values)),
        "normalised_r": float(mean(dataset["normalised_r"].values)),
        "alpha_edge_low": float(dataset.attrs.get("edge_low", np.nan)),
        "alpha_edge_high": float(dataset.attrs.get("edge_high", np.nan)),
    }


def modal_layer(dataset: xr.Dataset) -> tuple[str, float]:
    """The layer that training folds chose for most targets, and its share of them; none without a choice."""
    if not np.isfinite(dataset["depth"].values).all():
        return "", float("nan")
    shares = layer_shares(dataset)
    if not np.isfinite(shares).all():
        return "", float("nan")
    return str(dataset["layer"].values[shares.argmax()]), float(shares.max())


def layer_shares(dataset: xr.Dataset) -> np.ndarray:
    """Share of targets for which training folds chose each layer (layer,); NaN without a scored target.

    Significant targets are counted; where there is none, all scored targets are.
    """
    best = dataset["best_layer"].values.astype(int)
    verdict = significant(dataset) & (best >= 0)
    counted = best[verdict] if verdict.any() else best[best >= 0]
    count = np.bincount(counted, minlength=dataset.sizes["layer"])
    return count / counted.size if counted.size else np.full(len(count), np.nan)


def group_table(evidence: Evidence, subjects: pd.DataFrame) -> pd.DataFrame:
    """One row per network × encoder: means over subjects with sd and 95 % interval."""
    rows = []
    people = subjects[subjects["subject"] != layout.AVERAGE]
    for (network, encoder), part in people.groupby(["network", "encoder"], sort=False):
        key = (str(network), str(encoder))
        row: dict[str, object] = {
            "network": key[0],
            "encoder": key[1],
            "n_subjects": int((part["n_valid"] > 0).sum()),
        }
        for measure in MEASURES:
            found = estimate(part[measure].to_numpy(float))
            row |= {measure: found.mean, f"{measure}_sd": found.sd}
            row |= {f"{measure}_ci_low": found.low, f"{measure}_ci_high": found.high}
        dataset = evidence.groups.get(key)
        row["share_significant_subjects"] = estimate(part["share_significant"].to_numpy(float)).mean
        row["share_significant_group"] = np.nan if dataset is None else _share(dataset, key[0])
        row["group_method"] = "" if dataset is None else str(dataset.attrs.get("group_method", ""))
        rows.append(row)
    return pd.DataFrame(rows)


def _share(dataset: xr.Dataset, network: str) -> float:
    scored = np.isfinite(dataset["chosen_r"].values)
    if network == layout.NUISANCE or not scored.any():
        return float("nan")
    return float(significant(dataset).sum() / scored.sum())


def score_table(evidence: Evidence) -> pd.DataFrame:
    """Mean score of every subject × network × encoder × layer × region, and over all targets."""
    parted = any(PARTS[0] in dataset for dataset in evidence.summaries.values())
    measures = ("r", "r2", "r_unique", *(PARTS if parted else ()))
    frames = []
    for (subject, network, encoder), dataset in evidence.summaries.items():
        regions = evidence.regions(dataset)
        count = regions.count(np.isfinite(dataset["chosen_r"].values))
        n_layers, n_regions = dataset.sizes["layer"], len(regions.names)
        whose = {"subject": subject, "network": network, "encoder": encoder}
        columns = {
            "layer": np.tile(dataset["layer"].values.astype(str), n_regions),
            "depth": np.tile(dataset["depth"].values.astype(float), n_regions),
            "region": np.repeat(regions.names, n_layers),
            "n_targets": np.repeat(count, n_layers),
        }
        for name in measures:
            known = (
                regions.mean(dataset[name].values)
                if name in dataset
                else np.full((n_layers, n_regions), np.nan)
            )
            columns[name] = known.T.ravel()
        frames.append(pd.DataFrame(whose | columns))
    return pd.concat(frames, ignore_index=True)


def region_table(evidence: Evidence, network: str, encoder: str) -> pd.DataFrame:
    """One row per region of one network: means over targets, then mean and sd over subjects."""
    people = [
        _by_region(evidence, subject, network, encoder) for subject in evidence.subjects(network, encoder)
    ]
    over = {name: np.array([each[name] for each in people]) for name in people[0]}
    columns: dict[str, object] = {
        "region": [ALL, *evidence.region_names],
        "targets": over.pop("targets").max(axis=0).astype(int),
    }
    for name, values in over.items():
        columns[name] = mean(values, axis=0)
        if name == "r":
            columns["r_sd"] = [estimate(region).sd for region in values.T]
    return pd.DataFrame(columns)


def _by_region(evidence: Evidence, subject: str, network: str, encoder: str) -> dict[str, np.ndarray]:
    """Means over the targets of every region (region,) of one subject."""
    dataset = evidence.summaries[subject, network, encoder]
    regions, r, verdict = evidence.regions(dataset), column(dataset, "chosen_r"), significant(dataset)
    twin = evidence.twin(network)
    beside = evidence.summaries.get((subject, twin, encoder)) if twin else None
    nowhere = np.full(len(regions.names), np.nan)
    targets = regions.count(np.isfinite(r))
    means = {
        name: regions.mean(column(dataset, variable))
        for name, variable in (
            ("r", "chosen_r"),
            ("r_unique", "chosen_r_unique"),
            ("nuisance_r", "nuisance_r"),
            ("ceiling", "ceiling"),
            ("normalised_r", "normalised_r"),
        )
    }
    twin_r = nowhere if beside is None else evidence.regions(beside).mean(beside["chosen_r"].values)
    return {
        "targets": targets,
        **{name: means[name] for name in ("r", "r_unique", "nuisance_r")},
        "twin_r": twin_r,
        **{name: means[name] for name in ("ceiling", "normalised_r")},
        "depth_centroid": regions.mean(column(dataset, "centroid"), verdict),
        "share_significant": np.where(targets > 0, regions.count(verdict) / np.maximum(targets, 1), np.nan),
    }


def version_table(evidence: Evidence) -> pd.DataFrame:
    """Versions recorded when activations were extracted, and those that wrote this page."""
    found = {"neuroalign": __version__, "python": platform.python_version(), **versions()}
    rows = [
        {"software": name, "version": version, "used for": "this report"} for name, version in found.items()
    ]
    for network, attributes in evidence.networks.items():
        for name, version in dict(attributes.get("versions") or {}).items():
            rows.append(
                {"software": str(name), "version": str(version), "used for": f"activations of {network}"}
            )
    return (
        pd.DataFrame(rows)
        .groupby(["software", "version"], sort=False)["used for"]
        .agg(", ".join)
        .reset_index()
    )


def save_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each table as `NAME.tsv`, or `NAME.parquet` if it is long, replacing the folder as a whole."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, table in tables.items():
            path = temporary / file_of(name, table)
            if path.suffix == ".parquet":
                table.to_parquet(path, index=False)
            else:
                table.to_csv(path, sep="\t", index=False, na_rep="n/a", float_format="%.6g")


def file_of(name: str, table: pd.DataFrame) -> str:
    """Name of the file that a table is saved in."""
    return f"{name}.parquet" if len(table) > LONG else f"{name}.tsv"


def declared_warnings(dataset: xr.Dataset) -> list[str]:
    """The warnings that earlier stages left with a summary."""
    return texts(dataset.attrs.get("warnings"))


def of_people(subjects: pd.DataFrame, network: str, encoder: str) -> pd.DataFrame:
    """Rows of the subject table of a model, without the mean subject."""
    people = subjects["subject"] != layout.AVERAGE
    return subjects[people & (subjects["network"] == network) & (subjects["encoder"] == encoder)]


def over_people(rows: pd.DataFrame, name: str) -> Estimate:
    """Mean over subjects of a column."""
    return estimate(rows[name].to_numpy(float))
