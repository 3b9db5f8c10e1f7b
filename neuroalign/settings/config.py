"""What `config.yaml` may say: every section a model that refuses unknown keys, `Study` the whole.

Files are read by `configfile`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from neuroalign.artefacts.layout import NUISANCE
from neuroalign.errors import ConfigError, choices
from neuroalign.settings.dataset import Dataset, StimulusSource
from neuroalign.settings.design import Design
from neuroalign.settings.encoders import STACKED, BandedRidge, CrossAttention, Encoder, Ridge
from neuroalign.settings.families import AnyNetwork
from neuroalign.settings.features import Features
from neuroalign.settings.networks import Network
from neuroalign.settings.resources import Resources
from neuroalign.settings.responses import TABLED_KINDS, Responses, of_sensors, of_trials
from neuroalign.settings.section import Name, Section
from neuroalign.settings.sensors import SENSOR_KINDS
from neuroalign.settings.simulation import AnySimulation, Simulate
from neuroalign.settings.statistics import CLUSTERED, Ceiling, Inference

SUBJECT_FOLDERS = {"nsd": "nsddata_betas/ppdata/subj*", "algonauts": "subj*"}
"""Where datasets that are not named as BIDS wants have a folder per subject."""

SHOWN_DRAWN_IMAGES = ("vision", "module", "multimodal", "handmade")
"""Families of networks that answer to images drawn for a simulated study."""


class Study(Section):
    """A whole study: the content of `config.yaml`."""

    title: str = "neuroalign study"
    output: str = Field("results", min_length=1, description="folder for everything that is made")
    seed: int = Field(0, ge=0, lt=2**32)
    simulate: AnySimulation | None = Field(
        None, description="make a study with a known truth before reading it back (leave out for real data)"
    )
    dataset: Dataset
    stimuli: StimulusSource = StimulusSource()
    networks: dict[Name, AnyNetwork] = Field(min_length=1)
    responses: Responses
    design: Design = Design()
    encoders: tuple[Encoder, ...] = Field(("ridge",), min_length=1)
    group: bool = Field(
        True, description="combine subjects target by target; false where each has voxels of its own"
    )
    ridge: Ridge = Ridge()
    banded_ridge: BandedRidge = BandedRidge()
    cross_attention: CrossAttention = CrossAttention()
    ceiling: Ceiling = Ceiling()
    inference: Inference = Inference()
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _simulated_subjects(cls, raw: Any) -> Any:
        """A simulated study has the subjects it is told to make; they need not be listed."""
        if (
            isinstance(raw, dict)
            and isinstance(raw.get("simulate"), dict)
            and isinstance(raw.get("dataset"), dict)
        ):
            count = str(raw["simulate"].get("subjects", Simulate.model_fields["subjects"].default))
            many = len(count) > 2  # more than can be simulated, which is refused where it is read
            if count.isdecimal() and not many and raw["dataset"].get("subjects", "all") == "all":
                labels = [f"{number:02d}" for number in range(1, int(count) + 1)]
                return {**raw, "dataset": {**raw["dataset"], "subjects": labels}}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _trials_have_items(cls, raw: Any) -> Any:
        """Trials are held out by item, and have no word rate, where nothing else is said."""
        if not isinstance(raw, dict) or not isinstance(raw.get("responses"), dict):
            return raw
        design = raw.get("design", {})
        if not of_trials(raw["responses"]) or not isinstance(design, dict):
            return raw
        folds, nuisance = design.get("folds", {}), design.get("nuisance", {})
        if isinstance(folds, dict) and isinstance(nuisance, dict):
            given = {"folds": {"by": "item", **folds}, "nuisance": {"word_rate": False, **nuisance}}
            return {**raw, "design": {**design, **given}}
        return raw

    @model_validator(mode="before")
    @classmethod
    def _sensors_have_lags(cls, raw: Any) -> Any:
        """Continuous EEG and MEG follow the stimulus at lags, where nothing else is said."""
        if not isinstance(raw, dict) or not isinstance(raw.get("responses"), dict):
            return raw
        responses, design = raw["responses"], raw.get("design", {})
        if not of_sensors(responses) or of_trials(responses) or not isinstance(design, dict):
            return raw
        given: dict[str, Any] = {"lags": design.get("lags") or {}}
        nuisance = design.get("nuisance", {})
        if responses.get("kind") == "array" and isinstance(nuisance, dict):  # every sample is a stimulus
            given["nuisance"] = {"word_rate": False, **nuisance}
        return {**raw, "design": {**design, **given}}

    @model_validator(mode="before")
    @classmethod
    def _tables_over_time_have_onsets(cls, raw: Any) -> Any:
        """Tables of features without items have a column `onset`, where nothing else is said."""
        if not isinstance(raw, dict) or not isinstance(raw.get("responses"), dict):
            return raw
        responses, networks = raw["responses"], raw.get("networks")
        if responses.get("kind") == "array" or of_trials(responses) or not isinstance(networks, dict):
            return raw
        given = {
            name: {"onset": "onset", **network} if _over_time(network) else network
            for name, network in networks.items()
        }
        return {**raw, "networks": given}

    @model_validator(mode="before")
    @classmethod
    def _steps_are_no_words(cls, raw: Any) -> Any:
        """Sound and video have no word rate, and are shown whole in a trial, where nothing else is said."""
        if not isinstance(raw, dict) or not isinstance(raw.get("stimuli"), dict):
            return raw
        stimuli, design = raw["stimuli"], raw.get("design", {})
        if stimuli.get("modality") not in ("audio", "video") or not isinstance(design, dict):
            return raw
        if isinstance(raw.get("responses"), dict) and of_trials(raw["responses"]):
            return {**raw, "stimuli": {"step_s": "whole", **stimuli}}
        nuisance = design.get("nuisance", {})
        if not isinstance(nuisance, dict):
            return raw
        return {**raw, "design": {**design, "nuisance": {"word_rate": False, **nuisance}}}

    @model_validator(mode="after")
    def _tables_say_what_was_shown(self) -> Study:
        """Where responses come with a table of what was shown, no other place is looked at."""
        if self.responses.kind not in TABLED_KINDS:
            return self
        default = StimulusSource()
        for name in ("source", "path", "column", "root", "files"):
            if getattr(self.stimuli, name) != getattr(default, name):
                told = "responses.items" if self.responses.items else "the dataset itself"
                raise ValueError(
                    f"stimuli.{name} is not read with responses.kind {self.responses.kind}, of which {told} "
                    "says what was shown, files relative to dataset.path; drop it"
                )
        return self

    @model_validator(mode="after")
    def _trials_show_whole_files(self) -> Study:
        stimuli, trials = self.stimuli, self.responses.samples == "trials"
        if stimuli.has_steps and self.responses.kind in TABLED_KINDS:
            raise ValueError(
                f"stimuli.modality is {stimuli.modality}, but responses.kind {self.responses.kind} lists "
                "images or words; choose a kind whose stimuli are read from events.tsv"
            )
        if stimuli.has_steps and trials and stimuli.step_s != "whole":
            raise ValueError(
                f"stimuli.step_s is {stimuli.step_s:g}, but responses.samples is trials: a trial is a "
                "response to a whole file; set step_s: whole, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _design_fits_the_samples(self) -> Study:
        """What only a time series, or only trials have, is not asked of the other."""
        design = self.design
        if self.responses.samples == "time":
            asked = {"folds.by: item": design.folds.by == "item", "repeats": design.repeats == "average"}
            remedy = "goes with responses.samples: trials; leave it out of a time series"
        else:
            # A saved config names all keys: only what differs from the default was asked for.
            default = Design()
            names = ("resample", "delays", "lanczos_window", "filter", "lags")
            asked = {
                **{name: getattr(design, name) != getattr(default, name) for name in names},
                "folds.by: block": design.folds.by == "block",
                "nuisance.word_rate": design.nuisance.word_rate,
                "nuisance.columns": bool(design.nuisance.columns),
            }
            remedy = "goes with a time series; leave it out, since responses.samples is trials"
        for name, set_ in asked.items():
            if set_:
                raise ValueError(f"design.{name} {remedy}")
        if design.lags is not None and not self.responses.series_of_sensors:
            raise ValueError(
                f"design.lags is for EEG and MEG; responses.kind {self.responses.kind} follows its stimuli "
                "by design.delays; remove it"
            )
        return self

    @model_validator(mode="after")
    def _clusters_are_of_channels(self) -> Study:
        correction, kind = self.inference.correction, self.responses.kind
        if correction in CLUSTERED and kind not in SENSOR_KINDS and not self.responses.series_of_sensors:
            raise ValueError(
                f"inference.correction is {correction}, which looks at neighbouring channels, but "
                f"responses.kind is {kind}; set it to fdr or max"
            )
        return self

    @model_validator(mode="after")
    def _nuisance_networks_are_there(self) -> Study:
        nuisance, known = self.design.nuisance.networks, self.conditions()
        for name in nuisance:
            if name not in known:
                raise ValueError(f"design.nuisance.networks names '{name}': {choices(name, known)}")
        if set(nuisance) == set(known):
            raise ValueError("design.nuisance.networks: all networks are nuisance; leave one to be fitted")
        return self

    @model_validator(mode="after")
    def _features_of_samples_fit(self) -> Study:
        """Arrays of time go with features over time; rows that are their samples go with nothing else."""
        time = self.responses.samples == "time"
        series = self.responses.kind == "array" and time
        for name, network in self.networks.items():
            sampled = isinstance(network, Features) and network.sampled
            timed = isinstance(network, Features) and network.timed
            if series and not (sampled or timed):
                raise ValueError(
                    f"networks.{name}: arrays of time go with features at their rate; use family features "
                    "with a path that holds {run}, and no items"
                )
            if timed and not time:
                raise ValueError(
                    f"networks.{name}: features over time go with a time series, but responses.samples is "
                    "trials; give one row for each stimulus, and their names in items"
                )
            if sampled and not series:
                over_time = ", or sampling_frequency_hz or onset, which say when they are" * time
                raise ValueError(
                    f"networks.{name} has no items, which say whose features its rows are; name a TSV"
                    + over_time
                )
        return self

    @model_validator(mode="after")
    def _names_do_not_collide(self) -> Study:
        owners: dict[str, str] = {}
        for name, network in self.networks.items():
            if name == NUISANCE:
                raise ValueError(f"networks.{name}: the control without a network has this name; rename it")
            under = network.conditions(name)
            for condition in under:
                if condition != name and condition in self.networks:
                    raise ValueError(
                        f"networks.{condition} is the name of {name} under one of its prompts; rename it"
                    )
                if condition in owners or len(under) < len(getattr(network, "prompts", ())):
                    raise ValueError(
                        f"networks.{name}.prompts: two prompts would be called '{condition}'; rename one"
                    )
                owners[condition] = name
        for name, network in self.networks.items():
            if network.twin() and twin_name(name) in {*self.networks, *owners}:
                raise ValueError(
                    f"networks.{twin_name(name)} is the name of {name}'s untrained twin; rename it"
                )
        return self

    @model_validator(mode="after")
    def _the_first_network_can_be_planted(self) -> Study:
        if self.simulate is None:
            return self
        name, network = next(iter(self.networks.items()))
        if self.simulate.kind == "story" and network.family != "text":
            raise ValueError(
                f"simulate: the first network, '{name}', is planted in listeners of a story, but its family "
                f"is '{network.family}'; put one of family 'text' first"
            )
        if self.simulate.kind == "images" and not getattr(network, "tokens", False):
            raise ValueError(
                f"simulate: the first network, '{name}', is planted place by place in people who look at "
                "images, but keeps no places; put one of images first and set tokens: true"
            )
        if self.simulate.kind == "eeg" and network.family not in SHOWN_DRAWN_IMAGES:
            raise ValueError(
                f"simulate: the first network, '{name}', is planted in the EEG of people who look at images, "
                f"but its family is '{network.family}'; put one of family {' or '.join(SHOWN_DRAWN_IMAGES)} "
                "first"
            )
        return self

    @model_validator(mode="after")
    def _encoders_fit_the_design(self) -> Study:
        for place, encoder in enumerate(self.encoders):
            if encoder in self.encoders[:place]:
                raise ValueError(f"encoders names '{encoder}' twice; name each once")
        nuisance = self.design.nuisance
        if "banded_ridge" in self.encoders and not nuisance.asked:
            raise ValueError(
                "encoders: 'banded_ridge' weighs the network's features against the nuisance features, but "
                "design.nuisance has none; set word_rate: true, name columns, or leave banded_ridge out"
            )
        if self.design.lags is not None:
            for name in ("banded_ridge", "stack"):
                if name in self.encoders:
                    raise ValueError(
                        f"encoders: '{name}' does not know lags; of continuous EEG and MEG fit ridge or "
                        "cross_attention"
                    )
        lacking = [name for name in STACKED if name not in self.encoders]
        if "stack" in self.encoders and lacking:
            raise ValueError(
                f"encoders: 'stack' mixes {' and '.join(STACKED)}, but {' and '.join(lacking)} "
                f"{'is' if len(lacking) == 1 else 'are'} not there; set [{', '.join(STACKED)}, stack]"
            )
        return self

    @model_validator(mode="after")
    def _gap_covers_the_window(self) -> Study:
        """Windows of training and of test samples must not share words."""
        folds, window = self.design.folds, self.cross_attention.window_s
        if "cross_attention" in self.encoders and folds.by == "block" and folds.gap_s < window:
            raise ValueError(
                f"cross_attention.window_s is {window:g} s but design.folds.gap_s is {folds.gap_s:g} s: "
                "training samples would share words with test samples; shorten the window or widen the gap"
            )
        return self

    def all_networks(self) -> dict[str, Network]:
        """The networks asked for, under each of their prompts, and the untrained twin of each that wants one.

        Networks that are nuisance stand among them, without a twin. Prompts share one twin, which is shown
        the first of them.
        """
        found: dict[str, Network] = {}
        nuisance = set(self.design.nuisance.networks)
        for name, network in self.networks.items():
            under = network.conditions(name)
            found |= under
            if (twin := next(iter(under.values())).twin()) and not nuisance.issuperset(under):
                found[twin_name(name)] = twin
        return found

    def conditions(self) -> dict[str, Network]:
        """The networks asked for: one for each prompt of those that have several."""
        return {
            condition: settings
            for name, network in self.networks.items()
            for condition, settings in network.conditions(name).items()
        }

    def label_columns(self) -> tuple[str, ...]:
        """Columns of events that networks take as categories of the stimuli."""
        asked = (network for network in self.networks.values() if getattr(network, "table", None) is None)
        columns = (getattr(network, "column", None) for network in asked)
        return tuple(dict.fromkeys(column for column in columns if column is not None))

    def origin(self, condition: str) -> str:
        """What the network that runs under this name is called in the config."""
        return next(name for name, network in self.networks.items() if condition in network.conditions(name))

    def compared_prompts(self) -> dict[str, dict[str, str]]:
        """Networks fitted under several prompts: name → name of the prompt → name of the network under it."""
        nuisance = self.design.nuisance.networks
        found = {}
        for name, network in self.networks.items():
            under = dict(zip(getattr(network, "prompts", ()), network.conditions(name), strict=False))
            fitted = {prompt: condition for prompt, condition in under.items() if condition not in nuisance}
            if len(fitted) > 1:
                found[name] = fitted
        return found

    def fitted_networks(self) -> dict[str, Network]:
        """All networks but those that are nuisance."""
        nuisance = self.design.nuisance.networks
        return {name: network for name, network in self.all_networks().items() if name not in nuisance}

    def subjects(self) -> list[str]:
        """Subject labels, from the config or from the folders of the dataset."""
        if self.dataset.subjects != "all":
            return list(self.dataset.subjects)
        root = Path(self.dataset.path)
        if not root.is_dir():
            raise ConfigError(f"dataset.path: no folder at '{root}'; give the root of a BIDS dataset")
        folders = SUBJECT_FOLDERS.get(self.responses.kind, "sub-*")
        labels = sorted(path.name[4:] for path in root.glob(folders) if path.is_dir())
        if not labels:
            raise ConfigError(
                f"dataset.path: '{root}' holds no folder {folders}; is it the root of the dataset? "
                "Or list dataset.subjects"
            )
        return labels

    def digest(self, *sections: str) -> str:
        """A short hash of the named sections (dotted for a part): it changes only when they do."""
        plain = self.model_dump(mode="json")
        picked = {}
        for section in sections:
            value: Any = plain
            for key in section.split("."):
                value = value[key]
            picked[section] = value
        return hashlib.sha256(json.dumps(picked, sort_keys=True).encode()).hexdigest()[:12]


def twin_name(network: str) -> str:
    """The name of a network's untrained twin."""
    return f"{network}untrained"


def _over_time(network: Any) -> bool:
    """Whether a network's section, not checked yet, is a table of features whose clock is left open."""
    if not isinstance(network, dict) or network.get("family") != "features":
        return False
    if not str(network.get("path", "")).endswith((".tsv", ".csv", ".parquet")):
        return False
    return not {"items", "onset", "sampling_frequency_hz"} & {key for key, value in network.items() if value}
