"""What a config may say of the responses: where they are, what their samples are, how they are cleaned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from neuroalign.section import Section

Seconds = Annotated[float, Field(ge=0)]

HIGH_PASS_HZ = 0.01
"""What is removed from time series where the config does not say."""


class Responses(Section):
    """Which recordings to predict, and how they are cleaned."""

    kind: Literal["surface", "volume", "parcels"]
    samples: Literal["time", "trials"] = Field(
        "time", description="volumes of a time series, or one response per presentation (GLM betas)"
    )
    suffix: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9]+$",
        description="BIDS suffix of the files; left out: bold (timeseries for parcels), statmap for trials",
    )
    space: str | None = Field(None, description="BIDS space label, such as fsaverage5 or MNI152NLin2009cAsym")
    entities: dict[str, str] = Field(
        default_factory=dict,
        description="further BIDS entities that the files must carry, e.g. desc: preproc",
    )
    mask: str | None = Field(
        None,
        description="NIfTI mask relative to the dataset; left out: each run's desc-brain_mask, intersected",
    )
    regions: str | None = Field(
        None,
        description="label file relative to the dataset ({hemi} for GIFTI): regions in the report",
    )
    tr: float | None = Field(None, gt=0, description="repetition time in seconds; must agree with the files")
    confounds: tuple[str, ...] = Field((), description="columns to regress out, by name or pattern (trans_*)")
    high_pass_hz: float | None = Field(
        HIGH_PASS_HZ, gt=0, description="cosine drift removal, Hz; null for none"
    )
    standardize: bool = Field(True, description="z-score every target within each run")
    trim_s: tuple[Seconds, Seconds] = Field(
        (0.0, 0.0), description="seconds dropped at start and end of a run"
    )
    average: bool = Field(
        False, description="also fit the mean of all subjects' responses, as subject 'average'"
    )

    @model_validator(mode="before")
    @classmethod
    def _no_drifts_between_trials(cls, raw: Any) -> Any:
        """Trials are no time series: the default high-pass filter stands for none."""
        if not isinstance(raw, dict) or raw.get("samples") != "trials":
            return raw
        if raw.get("high_pass_hz", HIGH_PASS_HZ) == HIGH_PASS_HZ:
            return {**raw, "high_pass_hz": None}
        return raw

    @model_validator(mode="after")
    def _time_needs_a_time_series(self) -> Responses:
        if self.samples == "trials":
            asked = {
                "tr": self.tr,
                "confounds": self.confounds,
                "high_pass_hz": self.high_pass_hz,
                "trim_s": any(self.trim_s),
            }
            wrong = [key for key, value in asked.items() if value]
            if wrong:
                raise ValueError(
                    f"{' and '.join(wrong)} clean time series, but samples is trials: responses to trials "
                    f"have no time; remove {'it' if len(wrong) == 1 else 'them'}, or set samples: time"
                )
        return self

    @property
    def file_suffix(self) -> str | None:
        """The BIDS suffix of the files; None for that of time series, which depends on the kind."""
        return self.suffix or ("statmap" if self.samples == "trials" else None)
