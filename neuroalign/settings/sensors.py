"""What a config may say of recordings by sensors: which channels, how they are cleaned, how they are cut."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from neuroalign.settings.section import Section

Amplitude = Annotated[float, Field(gt=0)]
ChannelType = Literal["eeg", "mag", "grad", "ecog", "seeg", "dbs", "eog", "ecg"]
"""Types of channels by which trials may be rejected, as MNE calls them."""

RAW_KINDS = ("eeg", "meg", "ieeg")
"""Kinds of recordings that are read from BIDS as they were made; BIDS calls their folders and suffixes so."""

SENSOR_KINDS = (*RAW_KINDS, "epochs", "things_eeg2")
"""Kinds whose targets are channels, or channels at a latency."""


class Sensors(Section):
    """Steps from a recording to responses, in the order in which they are taken; all are MNE's own."""

    channels: Literal["data"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "data",
        description="names or types (eeg, mag, grad) of the channels to predict; data: all but EOG etc.",
    )
    bad: tuple[str, ...] = Field((), description="bad channels, beside those that channels.tsv marks")
    interpolate: bool = Field(
        False, description="fill bad channels in from their neighbours; otherwise they are not scored"
    )
    montage: str = Field(
        "colin27_1005", description="MNE's standard positions, for EEG without positions of its own"
    )
    notch_hz: tuple[Amplitude, ...] = Field((), description="line frequencies to take out, with harmonics")
    band_hz: tuple[Amplitude | None, Amplitude | None] = Field(
        (0.1, 40.0), description="band-pass, Hz; null leaves an end open"
    )
    reference: Literal["average", "keep"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        "average", description="reference of EEG: the average, what it was recorded with, or channels"
    )
    resample_hz: Amplitude | None = Field(
        100.0, description="rate of the responses; null keeps the recording's"
    )
    epoch_s: tuple[float, float] = Field((-0.2, 0.8), description="trials: seconds around an onset")
    baseline_s: tuple[float, float] | None = Field(
        (-0.2, 0.0), description="trials: the mean of these seconds is taken off each; null for none"
    )
    reject: dict[ChannelType, Amplitude] = Field(
        default_factory=dict,
        description="trials: largest peak-to-peak amplitude by type of channel, in volts or tesla "
        "(eeg: 150.0e-6)",
    )
    flat: dict[ChannelType, Amplitude] = Field(
        default_factory=dict, description="trials: smallest peak-to-peak amplitude by type of channel"
    )
    whiten: bool = Field(
        False, description="trials: multivariate noise normalisation by the covariance of the baseline"
    )
    sampling_hz: Amplitude | None = Field(None, description="rate of an array, which does not say it itself")

    @model_validator(mode="after")
    def _ordered(self) -> Sensors:
        low, high = self.band_hz
        if low is not None and high is not None and high <= low:
            raise ValueError(f"band_hz is [{low:g}, {high:g}]: the second must exceed the first; swap them")
        if self.epoch_s[1] <= self.epoch_s[0]:
            start, stop = self.epoch_s
            raise ValueError(f"epoch_s is [{start:g}, {stop:g}]: the second must exceed the first; swap them")
        rate = self.resample_hz
        if rate is not None and high is not None and high > rate / 2:
            raise ValueError(
                f"band_hz keeps up to {high:g} Hz, but resample_hz {rate:g} holds no more than "
                f"{rate / 2:g} Hz; raise resample_hz or lower band_hz"
            )
        return self

    @model_validator(mode="after")
    def _baseline_inside(self) -> Sensors:
        if self.baseline_s is None:
            if self.whiten:
                raise ValueError(
                    "whiten takes the noise from the baseline; give baseline_s, or whiten: false"
                )
            return self
        (start, stop), (first, last) = self.baseline_s, self.epoch_s
        if not first <= start < stop <= last:
            raise ValueError(
                f"baseline_s is [{start:g}, {stop:g}], outside epoch_s [{first:g}, {last:g}]; "
                "give seconds inside the epoch, or null"
            )
        return self

    @property
    def high_pass_hz(self) -> float:
        """The lower end of the band, 0 where it is open."""
        return self.band_hz[0] or 0.0
