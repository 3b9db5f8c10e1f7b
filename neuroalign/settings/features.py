"""What a config may say of features without a network: handmade ones, and those made elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from neuroalign.settings.networks import (
    Device,
    Network,
    expanded,
)

STIM_ENDING = ".tsv.gz"
"""How BIDS ends continuous tables without a header, whose rate is in their sidecar."""
TABLE_ENDINGS = (".tsv", ".csv", ".parquet", STIM_ENDING)
Scale = Annotated[float, Field(gt=0)]
IMAGE_FEATURES = ("luminance", "contrast", "colour", "gabor")
TEXT_FEATURES = ("word_length", "surprisal")
FEATURES_OF = {
    "text": TEXT_FEATURES,
    "image": IMAGE_FEATURES,
    "audio": ("envelope", "mel"),
    "video": ("motion", "motion_energy"),
    "labels": ("category",),
}
"""Handmade features by what they are features of."""
HandmadeFeature = Literal[
    "luminance",
    "contrast",
    "colour",
    "gabor",
    "word_length",
    "surprisal",
    "envelope",
    "mel",
    "motion",
    "motion_energy",
    "category",
]


class Handmade(Network):
    """Features that somebody thought of, computed from the stimuli: one layer for each set of them."""

    family: Literal["handmade"] = "handmade"
    features: Annotated[
        tuple[HandmadeFeature, ...],
        Field(
            min_length=1,
            description="sets of features, all of images, of words, of sound or of video, or the category",
        ),
    ]
    tokens: bool = Field(False, description="also keep the features of every place, for cross-attention")
    grid: int = Field(8, ge=1, le=16, description="places along each side of the image")
    bands: int = Field(32, ge=1, le=128, description="bands of the mel spectrogram")
    model: str | None = Field(None, description="causal language model of surprisal: as `source` of text")
    revision: str | None = Field(None, description="hub revision of that model")
    context: int = Field(32, ge=0, description="words that surprisal takes into account")
    device: Device = Field("auto", description="where that model runs")
    column: str | None = Field(
        None, description="column of the events, or of `table`, that holds the category"
    )
    table: str | None = Field(
        None, description="TSV whose column `item` names every stimulus, and that holds the category"
    )

    @model_validator(mode="after")
    def _one_modality(self) -> Handmade:
        if len(set(self.features)) < len(self.features):
            raise ValueError("'features' names one twice; name each once")
        mixed = [name for name, known in FEATURES_OF.items() if set(known) & set(self.features)]
        if len(mixed) > 1:
            those = " with those of ".join(f"{name} ({', '.join(FEATURES_OF[name])})" for name in mixed)
            raise ValueError(f"'features' mixes those of {those}; make two networks of them")
        if ("category" in self.features) != (self.column is not None):
            raise ValueError("'column' goes with the feature category, and only with that; name both or none")
        if self.column is None and self.table is not None:
            raise ValueError(
                "'table' holds the category, for which no 'column' is named; name it or drop table"
            )
        if self.of != "image" and self.tokens:
            what = {"text": "a word", "labels": "a category"}.get(self.of, "a step of time")
            raise ValueError(f"'tokens' goes with features of images; {what} has no places")
        if ("surprisal" in self.features) != (self.model is not None):
            raise ValueError("'model' goes with the feature surprisal, and only with that; name both or none")
        if self.model is None and self.revision is not None:
            raise ValueError("'revision' is that of 'model', which is not given; drop it")
        return self

    @field_validator("table")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        return None if value is None else expanded(value)

    @property
    def of(self) -> str:
        """What the features are features of: a modality."""
        return next(name for name, known in FEATURES_OF.items() if self.features[0] in known)

    @property
    def of_words(self) -> bool:
        """Whether the features are those of words."""
        return self.of == "text"

    @property
    def named(self) -> str:
        """The features, or the column that holds the category."""
        if self.column is not None:
            return f"category by {self.column}" + (f" of {self.table}" if self.table else "")
        return f"handmade {', '.join(self.features)}"

    @property
    def facts(self) -> tuple[str, ...]:
        """The model behind surprisal, or the places in the image."""
        if self.model is not None:
            return (f"surprisal by {self.model}", f"context {self.context} words")
        if "mel" in self.features:
            return (f"{self.bands} mel bands",)
        return (f"{self.grid} × {self.grid} places",) if self.of == "image" else ()

    def described(self, name: str, layers: int, within: str) -> str:
        """The features and what they were computed from."""
        what = ", ".join(self.features).replace("_", " ")
        if self.of_words:
            surprisal = (
                f"; surprisal is that of {self.model} after up to {self.context} words from {within}"
                if self.model is not None
                else ""
            )
            return f"The handmade features {name} of every word are its {what}{surprisal}."
        if self.column is not None:
            where = f"the table {self.table}" if self.table else "the events"
            return (
                f"The features {name} of every stimulus are its category, one-hot ({self.column} in {where})."
            )
        if self.of != "image":
            bands = f" ({self.bands} bands)" if "mel" in self.features else ""
            moving = " (Nishimoto 2011, by pymoten)" if "motion_energy" in self.features else ""
            return f"The handmade features {name} of every step are its {what}{bands}{moving}."
        where = f" at {self.grid} × {self.grid} places" if self.tokens or "gabor" in self.features else ""
        return f"The handmade features {name} of every image are its {what}{where}."


class Features(Network):
    """Features made elsewhere, as a network with one layer: a row for every stimulus, or for every moment."""

    family: Literal["features"] = "features"
    path: str = Field(
        description="npy, npz, tsv, HDF5 or Zarr array (row, unit), over time also csv, parquet or tsv.gz; "
        "${VARIABLES} are expanded; without `items` a pattern with {subject}, {session}, {task} or {run}"
    )
    dataset: str | None = Field(None, description="name of the array inside npz, HDF5 or Zarr")
    items: str | None = Field(
        None,
        description="TSV whose column `item` names the stimulus of every row of the array; left out, rows "
        "follow each other in time",
    )
    onset: str | None = Field(
        None,
        description="over time: column, or array beside the features, with the time of every row in seconds",
    )
    duration: str | None = Field(
        None, description="over time: column or array that says how long every row lasts"
    )
    sampling_frequency_hz: float | None = Field(
        None, gt=0, description="over time: rows per second, where no times are given"
    )
    start_s: float | None = Field(
        None, description="over time: added to all times; with a rate, the time of the first row"
    )
    columns: tuple[str, ...] = Field(
        (), description="columns of a table over time that are features, by name or pattern"
    )

    @field_validator("path", "items")
    @classmethod
    def _expand(cls, value: str | None) -> str | None:
        return None if value is None else expanded(value)

    @model_validator(mode="after")
    def _one_way_to_find_rows(self) -> Features:
        given = {
            name: getattr(self, name) is not None
            for name in ("onset", "duration", "sampling_frequency_hz", "start_s")
        } | {"columns": bool(self.columns)}
        asked = [name for name, there in given.items() if there]
        if self.items is not None and asked:
            raise ValueError(f"'items' says which stimulus a row is of, '{asked[0]}' when it is; drop one")
        if self.onset is not None and self.sampling_frequency_hz is not None:
            raise ValueError(
                f"'onset' ({self.onset}) and 'sampling_frequency_hz' ({self.sampling_frequency_hz:g}) both "
                "say when rows are; drop one"
            )
        if self.onset is not None and self.path.endswith((".npy", STIM_ENDING)):
            raise ValueError(
                f"'onset' names a column or an array, but '{self.path}' holds one array without names; give "
                "sampling_frequency_hz (rows at a rate), items (rows of stimuli), or npz with both arrays"
            )
        if self.duration is not None and self.onset is None:
            raise ValueError("'duration' goes with 'onset': rows at a rate last until the next one; drop it")
        if asked and not self.timed:
            raise ValueError(
                f"'{asked[0]}' goes with features over time; say with onset or sampling_frequency_hz when "
                "their rows are"
            )
        if self.columns and not self.path.endswith(TABLE_ENDINGS):
            raise ValueError(
                f"'columns' goes with a table, but '{self.path}' is none; name a dataset instead"
            )
        return self

    @property
    def timed(self) -> bool:
        """Whether rows are moments with times of their own."""
        timed = self.onset is not None or self.sampling_frequency_hz is not None
        return self.items is None and (timed or self.path.endswith(STIM_ENDING))

    @property
    def sampled(self) -> bool:
        """Whether rows are samples of a recording."""
        return self.items is None and not self.timed

    @property
    def named(self) -> str:
        """The file, and the array in it."""
        return self.path + (f"::{self.dataset}" if self.dataset else "")

    @property
    def clock(self) -> str:
        """What says when rows are, in words; empty where they are those of stimuli or samples."""
        if not self.timed:
            return ""
        if self.onset is not None:
            return f"rows at the times in '{self.onset}'"
        rate = self.sampling_frequency_hz
        return "rows at the rate of its sidecar" if rate is None else f"{rate:g} rows a second"

    @property
    def facts(self) -> tuple[str, ...]:
        """What says when rows are."""
        return (self.clock,) if self.timed else ()

    def described(self, name: str, layers: int, within: str) -> str:
        """Where the features come from."""
        if self.timed:
            return f"The features {name} were taken over time as they are from {self.named} ({self.clock})."
        return f"The features {name} of every stimulus were taken as they are from {self.named}."
