"""What a config may say of the dataset, and of what was shown in it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from neuroalign.settings.networks import expanded
from neuroalign.settings.section import Name, Section


class Dataset(Section):
    """Where the BIDS dataset lies and which part of it to read."""

    path: str = Field(min_length=1, description="root of the BIDS dataset; ${VARIABLES} are expanded")
    derivatives: str = Field(
        "derivatives/fmriprep", description="folder of preprocessed data, relative to `path`"
    )
    subjects: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        "all", description="labels without 'sub-'"
    )
    task: Name = Field(description="BIDS task label")
    session: Name | None = Field(None, description="BIDS session label; all sessions when left out")
    runs: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        "all", description="BIDS run labels"
    )

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

    @field_validator("subjects", "runs")
    @classmethod
    def _each_once(cls, value: Any) -> Any:
        twice = [label for place, label in enumerate(value) if value != "all" and label in value[:place]]
        if twice:
            raise ValueError(f"names '{twice[0]}' twice; name each once")
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
        "stimuli",
        description="folder of the files that the column names, relative to the dataset; ${VARIABLES} are "
        "expanded",
    )
    files: dict[str, str] = Field(
        {},
        description="what files or folders are called below `root`, where the column says something else",
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

    @field_validator("root")
    @classmethod
    def _expand(cls, value: str) -> str:
        return expanded(value)

    @model_validator(mode="after")
    def _path_where_needed(self) -> StimulusSource:
        if (self.source == "events") != (self.path is None):
            raise ValueError(
                "'path' goes with source textgrid or table, and only with those; add or remove it"
            )
        if self.modality == "text" and self.files:
            raise ValueError("'files' goes with images, sound or video; words have none: drop it")
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
