"""The prompts of a network beside each other: which one targets prefer, and what is unique to each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.report.brain.canvas import Canvas
from neuroalign.report.drawing import plots
from neuroalign.report.drawing.palette import Scale
from neuroalign.report.evidence import Evidence, mean
from neuroalign.report.figures import MAX_SUBJECTS, Picture, called
from neuroalign.report.numbers.spoken import number, percent
from neuroalign.report.numbers.tables import estimate
from neuroalign.report.regions import ALL

ABOUT = (
    "The network was run once under each prompt. A target prefers the prompt whose chosen layer has the "
    "best inner score: training folds alone decide, and the choice is made anew in every fold. Targets are "
    "called significant where the prompt chosen is better than chance, which does not say that it is better "
    "than the others. All prompts together stood in a banded ridge, a band for each beside the nuisance "
    "features: unique to a prompt is R²(all) − R²(all but this one); shared by prompts is R²(all) − "
    "R²(nuisance) less all unique parts. Parts may be negative, where features cost more than they bring, "
    "and are shown so."
)
NOTE = (
    "Means over scored targets, then over subjects; in brackets 95 % by Student's t over subjects. The share "
    "that prefer a prompt is of significant targets."
)
COLUMNS = ("whose", "region", "prompt", "share_preferred", "r", "unique", "shared", "nuisance_r2", "r2")


def compared(evidence: Evidence) -> list[str]:
    """Networks whose prompts were compared for anyone."""
    return list(dict.fromkeys(network for _, network in evidence.prompts))


def _people(evidence: Evidence, network: str) -> list[xr.Dataset]:
    owners = ("group", layout.AVERAGE)
    found = [d for (owner, name), d in evidence.prompts.items() if name == network and owner not in owners]
    return [dataset for dataset in found if dataset.attrs["n_valid"] > 0]


def prompt_table(evidence: Evidence, network: str) -> pd.DataFrame:
    """One row per region and prompt: who prefers it, its r, its unique part, and what prompts share."""
    average = evidence.prompts.get((layout.AVERAGE, network))
    owners = {"subjects": _people(evidence, network)} | ({"mean subject": [average]} if average else {})
    rows = []
    for whose, datasets in owners.items():
        if not datasets:
            continue
        texts, shares = datasets[0]["text"].values.astype(str), _shares(evidence, datasets)
        over = {
            name: evidence.over(datasets, name) for name in ("r", "unique", "shared", "nuisance_r2", "r2")
        }
        for at, region in enumerate([ALL, *evidence.region_names]):
            for place, prompt in enumerate(datasets[0]["prompt"].values.astype(str)):
                unique = estimate(over["unique"][:, place, at])
                row: dict[str, object] = {"network": network, "whose": whose, "region": region}
                row |= {"prompt": prompt, "text": texts[place]}
                row["share_preferred"] = float(mean(shares[:, place, at]))
                row["r"] = estimate(over["r"][:, place, at]).mean
                row |= {"unique": unique.mean, "unique_ci_low": unique.low, "unique_ci_high": unique.high}
                row |= {name: estimate(over[name][:, at]).mean for name in ("shared", "nuisance_r2", "r2")}
                rows.append(row)
    return pd.DataFrame(rows)


def _shares(evidence: Evidence, datasets: list[xr.Dataset]) -> np.ndarray:
    """Shares (subject, prompt, region) of significant targets that prefer each prompt; NaN without any."""
    found = []
    for dataset in datasets:
        preferred = dataset["preferred"].values == np.arange(dataset.sizes["prompt"])[:, None]
        verdict = dataset["significant"].values.astype(bool)
        found.append(evidence.regions(dataset).mean(preferred.astype(np.float32), verdict))
    return np.array(found)


def prompt_sentence(evidence: Evidence, network: str) -> str:
    """Which prompt most targets prefer, and how much is unique to each."""
    people = _people(evidence, network)
    if not people:
        return f"{network}: no subject has a target whose prompts could be compared."
    names = people[0]["prompt"].values.astype(str).tolist()
    shares = mean(_shares(evidence, people)[..., 0], axis=0)
    unique = [estimate(each) for each in evidence.over(people, "unique")[..., 0].T]
    shared = estimate(evidence.over(people, "shared")[:, 0])
    parts = ", ".join(f"{number(u.mean, 4)} to {name}" for name, u in zip(names, unique, strict=True))
    text = f"Of held-out R², {number(shared.mean, 4)} is shared by prompts; unique are {parts}."
    if not np.isfinite(shares).any():
        return f"{network} under {len(names)} prompts: no target is significant. {text}"
    order = np.argsort(shares)[::-1]
    listed = ", ".join(f"{names[place]} by {percent(shares[place])}" for place in order)
    count = "subject" if len(people) == 1 else "subjects"
    return (
        f"{network} under {len(names)} prompts: of significant targets of {len(people)} {count}, preferred "
        f"are {listed} (by chance {percent(1 / len(names))} each). {text}"
    )


def prompt_pictures(evidence: Evidence, network: str, canvas: Canvas | None) -> list[Picture]:
    """The prompt preferred and unique parts as maps where there is a canvas, and unique parts by region."""
    owned = {owner: dataset for (owner, name), dataset in evidence.prompts.items() if name == network}
    owned = dict(sorted(owned.items(), key=lambda entry: entry[0] != "group"))
    found = [_unique_by_region(evidence, network)] if _people(evidence, network) else []
    if canvas is None:
        return found
    names = tuple(next(iter(owned.values()))["prompt"].values.astype(str).tolist())
    scale = Scale("categories", 0.5, len(names) + 0.5, "", names)
    rows = []
    for owner, dataset in list(owned.items())[: MAX_SUBJECTS + 1]:
        shown = np.where(
            dataset["significant"].values.astype(bool), dataset["preferred"].values + 1.0, np.nan
        )
        rows.append((called(owner), canvas.draw(dataset, shown, scale), scale))
    caption = "Significant targets only; grey: none. At borders colours blend."
    owner, dataset = next(iter(owned.items()))
    unique = dataset["unique"].values.astype(float)
    finite = np.abs(unique[np.isfinite(unique)])
    end = max(0.005, float(np.percentile(finite, 99))) if finite.size else 0.005
    parts = Scale("RdBu_r", -end, end, "unique R² (held-out)")
    drawn = [(name, canvas.draw(dataset, row, parts), parts) for name, row in zip(names, unique, strict=True)]
    return [
        Picture(plots.picture_rows(rows, canvas.columns), f"{network}: the prompt preferred", caption),
        Picture(
            plots.picture_rows(drawn, canvas.columns),
            f"{network}: R² unique to each prompt, {called(owner)}",
            "All scored targets, significant or not.",
        ),
        *found,
    ]


def _unique_by_region(evidence: Evidence, network: str) -> Picture:
    people = _people(evidence, network)
    names = people[0]["prompt"].values.astype(str).tolist()
    regions, at = zip(*evidence.places(), strict=True)
    values = mean(evidence.over(people, "unique"), axis=0).T[list(at)]
    end = max(0.005, float(np.nanmax(np.abs(values), initial=0.0)))
    scale = Scale("RdBu_r", -end, end, "unique R² (held-out)")
    return Picture(
        plots.heat_map(values, regions, names, scale, digits=3),
        f"{network}: R² unique to each prompt, by region",
        f"Means over scored targets, then over subjects.{evidence.regions_left}",
    )
