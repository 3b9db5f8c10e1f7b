"""What a config may say of the way from activations to features, and of what is held out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from neuroalign.settings.section import Delay, Name, Seconds, Section


class Nuisance(Section):
    """What must not be credited to the network."""

    word_rate: bool = Field(True, description="words per second, resampled as the network's features are")
    delays: tuple[Delay, ...] = Field(
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


class Lags(Section):
    """Continuous EEG and MEG: the response follows the stimulus at all of these lags (TRF)."""

    start_s: float = Field(-0.1, description="first lag in seconds; below 0 the response comes first")
    stop_s: float = Field(0.6, description="last lag in seconds")
    features: Literal["impulse", "hold"] = Field(
        "impulse", description="a stimulus counts at its onset, or as long as it lasts"
    )
    components: int | None = Field(
        32,
        ge=1,
        description="principal components of a layer, from training data; null keeps all units, which costs "
        "the cube of units times lags",
    )

    backward: bool = Field(
        False,
        description="also predict the stimulus from all channels (reconstruction), which costs the cube of "
        "channels times lags",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Lags:
        if self.stop_s < self.start_s:
            raise ValueError(f"lags end at {self.stop_s:g} s, before they begin ({self.start_s:g} s)")
        return self

    @property
    def reach(self) -> float:
        """How far apart samples must be to share nothing, in seconds."""
        return max(abs(self.start_s), abs(self.stop_s), self.stop_s - self.start_s)


class Design(Section):
    """How word-level activations become features of volumes."""

    resample: Literal["lanczos", "hrf"] = Field("lanczos", description="onto the volume grid")
    delays: tuple[Delay, ...] = Field((2.0, 4.0, 6.0, 8.0), description="FIR delays in seconds (lanczos)")
    lanczos_window: int = Field(3, ge=1, le=100, description="lobes of the Lanczos kernel")
    lags: Lags | None = Field(
        None, description="for continuous EEG and MEG, in place of resample and delays, and then the default"
    )
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
        longest = longest if self.lags is None else self.lags.reach
        if self.folds.by == "block" and self.folds.gap_s < longest:
            raise ValueError(
                f"folds.gap_s is {self.folds.gap_s:g} s but the response lags up to {longest:g} s: "
                f"test volumes would leak into training; set gap_s to at least {longest:g}"
            )
        return self
