"""What `config.yaml` may say: every section a model that refuses unknown keys, `Study` the whole.

Files are read by `configfile`.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from neuroalign.any_network import AnyNetwork
from neuroalign.errors import ConfigError, choices
from neuroalign.layout import NUISANCE
from neuroalign.network_settings import Network, expanded
from neuroalign.response_settings import TABLED_KINDS, Responses, of_trials
from neuroalign.section import Section
from neuroalign.simulation_settings import AnySimulation, Simulate

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
"""A BIDS label: letters and digits only, since it becomes part of file names."""

Seconds = Annotated[float, Field(ge=0)]
Encoder = Literal["ridge", "banded_ridge", "cross_attention", "stack"]

SUBJECT_FOLDERS = {"nsd": "nsddata_betas/ppdata/subj*", "algonauts": "subj*"}
"""Where datasets that are not named as BIDS wants have a folder per subject."""

STACKED = ("ridge", "cross_attention")
"""What the encoder `stack` mixes."""


class Dataset(Section):
    """Where the BIDS dataset lies and which part of it to read."""

    path: str = Field(description="root of the BIDS dataset; ${VARIABLES} are expanded")
    derivatives: str = Field(
        "derivatives/fmriprep", description="folder of preprocessed data, relative to `path`"
    )
    subjects: Literal["all"] | tuple[Name, ...] = Field("all", description="labels without 'sub-'")
    task: Name = Field(description="BIDS task label")
    session: Name | None = Field(None, description="BIDS session label; all sessions when left out")
    runs: Literal["all"] | tuple[Name, ...] = Field("all", description="BIDS run labels")

    @field_validator("path", "derivatives")
    @classmethod
    def _expand(cls, value: str) -> str:
        return expanded(value)

    @field_validator("subjects", "runs", mode="before")
    @classmethod
    def _strip_entity(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return tuple(re.sub(r"^(sub-|run-|subj(?=\d))", "", str(label)) for label in value)
        return value


class StimulusSource(Section):
    """Where the stimuli and their times come from."""

    modality: Literal["text", "image", "audio", "video"] = Field(
        "text", description="what was shown: words, images, or files of sound or video"
    )
    source: Literal["events", "textgrid", "table"] = Field(
        "events", description="BIDS events.tsv, a Praat TextGrid, or a TSV with onset and word"
    )
    path: str | None = Field(
        None,
        description="for textgrid and table: file relative to the dataset; "
        "may hold {subject}, {session}, {task}, {run}",
    )
    column: str | None = Field(
        None,
        description="column that holds the word, or the file of the image, sound or video; word and "
        "stim_file by default",
    )
    root: str = Field(
        "stimuli", description="folder of the files that the column names, relative to the dataset"
    )
    step_s: Annotated[float, Field(gt=0)] | Literal["whole"] = Field(
        0.5, description="seconds of the steps that a file of sound or video is cut into; whole: one item"
    )
    tier: str = Field("word", description="TextGrid tier that holds the words")
    offset_s: float = Field(0.0, description="stimulus time of the first volume, subtracted from onsets")
    skip: tuple[str, ...] = Field(
        ("", "n/a", "sp", "sil", "<p>"), description="labels that mark silence or rest, not stimuli"
    )
    passage: Literal["sentence", "run", "task"] = Field(
        "run", description="context never reaches beyond this: a sentence, a run, or the whole task"
    )

    @model_validator(mode="after")
    def _path_where_needed(self) -> StimulusSource:
        if (self.source == "events") != (self.path is None):
            raise ValueError("'path' goes with source textgrid or table, and only with those")
        if self.modality != "text" and self.source == "textgrid":
            raise ValueError("a TextGrid holds words, no files; set source: events, or modality: text")
        return self

    @property
    def named(self) -> str:
        """The column that holds the stimulus."""
        return self.column or ("word" if self.modality == "text" else "stim_file")

    @property
    def noun(self) -> str:
        """What a stimulus is called."""
        return {"text": "word", "image": "image", "audio": "sound", "video": "video"}[self.modality]

    @property
    def has_steps(self) -> bool:
        """Whether stimuli are files that are cut along time."""
        return self.modality in ("audio", "video")


class Nuisance(Section):
    """What must not be credited to the network."""

    word_rate: bool = Field(True, description="words per second, resampled as the network's features are")
    delays: tuple[Seconds, ...] = Field(
        (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0),
        min_length=1,
        description="FIR delays of the word rate in seconds (lanczos); beyond the network's, so that the "
        "tail of a response to word rate is not credited to the network",
    )
    columns: tuple[str, ...] = Field((), description="columns of the confounds file, by name or pattern")
    networks: tuple[Name, ...] = Field(
        (), description="networks whose features are nuisance, such as a handmade one; not fitted themselves"
    )

    @property
    def asked(self) -> bool:
        """Whether there are nuisance features."""
        return bool(self.word_rate or self.columns or self.networks)


class Folds(Section):
    """What is held out for testing."""

    by: Literal["run", "block", "item"] = Field(
        "run", description="whole runs, contiguous blocks within runs, or whole items of trials"
    )
    n: int | None = Field(
        None, ge=2, description="number of folds; when left out one per run, or five of blocks or items"
    )
    gap_s: Seconds = Field(0.0, description="seconds dropped on both sides of a held-out block")
    shared_items: Literal["refuse", "allow"] = Field(
        "refuse", description="what to do when one stimulus stands in training and in test data"
    )


class Design(Section):
    """How word-level activations become features of volumes."""

    resample: Literal["lanczos", "hrf"] = Field("lanczos", description="onto the volume grid")
    delays: tuple[Seconds, ...] = Field((2.0, 4.0, 6.0, 8.0), description="FIR delays in seconds (lanczos)")
    lanczos_window: int = Field(3, ge=1, description="lobes of the Lanczos kernel")
    filter: bool = Field(True, description="remove the same drifts from the features as from the responses")
    nuisance: Nuisance = Nuisance()
    folds: Folds = Folds()
    repeats: Literal["each", "average"] = Field(
        "each", description="trials of one item: fitted one by one, or their mean"
    )

    @model_validator(mode="after")
    def _gap_covers_delays(self) -> Design:
        if not self.delays:
            raise ValueError("'delays' is empty; give at least one delay in seconds, such as [0]")
        longest = max(self.delays) if self.resample == "lanczos" else 12.0
        if self.folds.by == "block" and self.folds.gap_s < longest:
            raise ValueError(
                f"folds.gap_s is {self.folds.gap_s:g} s but the response lags up to {longest:g} s: "
                f"test volumes would leak into training; set gap_s to at least {longest:g}"
            )
        return self


class Alphas(Section):
    """A logarithmic grid of regularisation strengths, for features of unit total variance."""

    lowest: float = Field(1e-2, gt=0)
    highest: float = Field(1e6, gt=0)
    count: int = Field(17, ge=1, le=200)

    @model_validator(mode="after")
    def _ordered(self) -> Alphas:
        if self.highest <= self.lowest and self.count > 1:
            raise ValueError(f"highest ({self.highest:g}) must exceed lowest ({self.lowest:g})")
        return self

    def values(self) -> list[float]:
        """The grid, ascending."""
        if self.count == 1:
            return [self.lowest]
        ratio = (self.highest / self.lowest) ** (1 / (self.count - 1))
        return [self.lowest * ratio**step for step in range(self.count)]


class Ridge(Section):
    """Settings of the ridge encoders, banded or not."""

    alphas: Alphas = Alphas()


class BandedRidge(Section):
    """Settings of banded ridge: nuisance and network features, each with a weight of their own."""

    candidates: int = Field(8, ge=3, le=10_000, description="pairs of weights tried for every target")


ASK_TOGETHER = 300
"""Targets from which on they ask by prototypes, where it is left open."""


class CrossAttention(Section):
    """Settings of cross-attention: every target asks, the words of the last seconds answer."""

    window_s: float = Field(10.0, gt=0, description="seconds before a sample whose words it may look at")
    layers: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "all", description="module paths of the layers to look at; a network takes those that it has"
    )
    queries: Literal["auto", "voxel", "prototype"] = Field(
        "auto",
        description="every target asks for itself, or mixes what shared prototypes ask; left to it, "
        "prototypes where there are more targets than some hundred",
    )
    width: int = Field(32, ge=1, description="dimensions of a word inside the encoder")
    embedding: int = Field(64, ge=1, description="dimensions of what is learned of a target")
    steps: int | None = Field(None, ge=1, description="training steps at most; by the samples when left out")
    universal: bool = Field(False, description="one network for all subjects instead of one for each")
    device: Literal["auto", "cpu", "cuda"] = Field("auto")

    def asking(self, n_targets: int) -> CrossAttention:
        """The same settings for so many targets in all, with it decided who asks.

        Prototypes predicted no worse from 300 targets on in simulated cortices, and cost a tenth.
        """
        if self.queries != "auto":
            return self
        return self.model_copy(update={"queries": "prototype" if n_targets >= ASK_TOGETHER else "voxel"})


class Ceiling(Section):
    """How well any model could do."""

    method: Literal["auto", "subjects", "repeats", "none"] = Field(
        "auto", description="leave-one-subject-out, repeated runs, or whichever the data allow"
    )
    repeats: Literal["signal_power", "nsd"] = Field(
        "signal_power", description="how repeated trials give it: analysis of variance, or NSD's formula"
    )
    bootstraps: int = Field(500, ge=50)
    block_s: float = Field(30.0, gt=0, description="seconds per bootstrap block")
    confidence: float = Field(0.95, gt=0.5, lt=1)


class Inference(Section):
    """Which targets are predicted better than chance."""

    method: Literal["circular_shift", "block"] = Field(
        "circular_shift", description="how time series are moved in the null; trials always change items"
    )
    permutations: int = Field(2000, ge=99)
    block_s: float = Field(20.0, gt=0, description="seconds per permuted block (block)")
    level: float = Field(0.05, gt=0, lt=0.5, description="error rate")
    correction: Literal["fdr", "max"] = Field(
        "fdr", description="what 'significant' means in maps: false discovery rate or family-wise"
    )


class Study(Section):
    """A whole study: the content of `config.yaml`."""

    title: str = "neuroalign study"
    output: str = Field("results", description="folder for everything that is made")
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
            if count.isdecimal() and raw["dataset"].get("subjects", "all") == "all":
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
            names = ("resample", "delays", "lanczos_window", "filter")
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
