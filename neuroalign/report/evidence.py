"""Everything the report speaks about, and whose what is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from neuroalign.artefacts import layout
from neuroalign.report.regions import ALL, Regions, highest, region_names
from neuroalign.settings.config import Study, twin_name


@dataclass(frozen=True)
class Evidence:
    """The artefacts of a study.

    Attributes
    ----------
    study : Study
        The configuration.
    summaries : dict (subject, network, encoder) → xr.Dataset
        What the stage `summary` wrote; the mean subject is named "average".
    groups : dict (network, encoder) → xr.Dataset
        What the stage `group` wrote.
    recordings : dict subject → dict
        `n_samples`, `runs` and `cleaning` of the responses; of sensors `n_shown` and `n_dropped`.
    networks : dict network → dict
        Provenance of the activations.
    truth : xr.Dataset or None
        What a simulated study was made from.
    missing : list of str
        Results that the configuration asks for and that are not there.
    prompts : dict (owner, network) → xr.Dataset
        What the stages `prompts` and `prompts_group` wrote, of subjects, "average" and "group".
    timings : dict (owner, network, encoder) → xr.Dataset
        What the stages `timing` and `timing_group` wrote of epochs.
    reconstructions : dict (subject, network) → xr.Dataset
        What the stage `reconstruction` wrote of continuous recordings.
    """

    study: Study
    summaries: dict[tuple[str, str, str], xr.Dataset]
    groups: dict[tuple[str, str], xr.Dataset]
    recordings: dict[str, dict[str, Any]]
    networks: dict[str, dict[str, Any]]
    truth: xr.Dataset | None
    missing: list[str] = field(default_factory=list)
    prompts: dict[tuple[str, str], xr.Dataset] = field(default_factory=dict)
    timings: dict[tuple[str, str, str], xr.Dataset] = field(default_factory=dict)
    reconstructions: dict[tuple[str, str], xr.Dataset] = field(default_factory=dict)
    _regions: dict[int, tuple[xr.Dataset, Regions]] = field(default_factory=dict, repr=False)

    @property
    def any_summary(self) -> xr.Dataset:
        """One summary, for what all of them share."""
        return next(iter(self.summaries.values()))

    @property
    def kind(self) -> str:
        """What the targets are: "surface", "volume", "cifti", "parcels" or "sensors"."""
        return str(self.any_summary.attrs["kind"])

    def subjects(self, network: str, encoder: str) -> list[str]:
        """Subjects with a summary, without the mean subject."""
        found = [s for s, n, e in self.summaries if (n, e) == (network, encoder)]
        return [subject for subject in found if subject != layout.AVERAGE]

    def whose(self, network: str, encoder: str) -> dict[str, xr.Dataset]:
        """Every summary of a network by its owner: the group first, then subjects, then "average"."""
        out = {"group": self.groups[network, encoder]} if (network, encoder) in self.groups else {}
        return out | {s: d for (s, n, e), d in self.summaries.items() if (n, e) == (network, encoder)}

    @cached_property
    def region_names(self) -> list[str]:
        """Regions that tables list beside all targets together."""
        return region_names(list(self.summaries.values()))

    @cached_property
    def shown_regions(self) -> list[str]:
        """Regions that have panels of their own, all targets first: of many those with the highest r."""
        scores = [
            self.regions(dataset).mean(dataset["chosen_r"].values)[1:]
            for key, dataset in self.summaries.items()
            if key[1:] in self.models()
        ]
        return [ALL, *highest(self.region_names, mean(np.array(scores), axis=0))]

    @property
    def regions_left(self) -> str:
        """What to say of the regions that have no panel; nothing where all have."""
        left = len(self.region_names) - len(self.shown_regions) + 1
        if not left:
            return ""
        return (
            f" Shown are the {len(self.shown_regions) - 1} regions with the highest r, picked after the "
            f"fact; the other {left:,} are in tables/."
        )

    def regions(self, dataset: xr.Dataset) -> Regions:
        """In which region every target of a dataset is; looked up once."""
        known = self._regions.get(id(dataset))
        if known is None:
            known = self._regions[id(dataset)] = (dataset, Regions.of(dataset, self.region_names))
        return known[1]

    def over(self, datasets: Sequence[xr.Dataset], name: str) -> np.ndarray:
        """Means of a variable over targets (subject, …, region), with its leading axes; NaN without it."""
        found = [d[name].values if name in d else column(d, name) for d in datasets]
        return np.array([self.regions(d).mean(v) for d, v in zip(datasets, found, strict=True)])

    def places(self) -> list[tuple[str, int]]:
        """Regions that have panels, each with its number among all regions."""
        return [(name, (ALL, *self.region_names).index(name)) for name in self.shown_regions]

    def models(self) -> list[tuple[str, str]]:
        """The (network, encoder) pairs that the study is about: no twins, no nuisance control."""
        wanted = [
            (network, encoder) for network in self.study.conditions() for encoder in self.study.encoders
        ]
        return [pair for pair in wanted if any(key[1:] == pair for key in self.summaries)]

    def layered(self) -> list[tuple[str, str]]:
        """Those of them whose encoder scores layers one by one."""
        return [
            model
            for model in self.models()
            if all(np.isfinite(d["depth"].values).all() for d in self.whose(*model).values())
        ]

    def twin(self, network: str) -> str | None:
        """The untrained twin of a network, where one was run; all prompts of a network share one."""
        name = twin_name(self.study.origin(network)) if network in self.study.conditions() else ""
        return name if any(key[1] == name for key in self.summaries) else None


def significant(summary: xr.Dataset) -> np.ndarray:
    """Scored targets (target,) called significant; none where nothing was tested, as for the control."""
    if "significant" not in summary:
        return np.zeros(summary.sizes["target"], bool)
    scored = np.isfinite(summary["chosen_r"].values)
    return np.asarray(summary["significant"].values.astype(bool) & scored)


def column(summary: xr.Dataset, name: str) -> np.ndarray:
    """A variable over targets as float64; NaN where the summary does not have it."""
    if name not in summary:
        return np.full(summary.sizes["target"], np.nan)
    return np.asarray(summary[name].values, float)


def texts(value: Any) -> list[str]:
    """A list attribute as netCDF gives it back: a list, an array, or a bare string for one entry."""
    if value is None or isinstance(value, str):
        return [value] if value else []
    return [str(entry) for entry in np.atleast_1d(np.asarray(value, object)) if str(entry)]


def mean(values: np.ndarray, axis: int | None = None) -> Any:
    """Mean over finite entries; NaN, without a warning, where there is none."""
    values = np.asarray(values, float)
    finite = np.isfinite(values)
    count = finite.sum(axis)
    total = np.where(finite, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)[()]
