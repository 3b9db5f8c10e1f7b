"""What a config may say of the responses: where they are, what their samples are, how they are cleaned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from neuroalign.settings.section import Section
from neuroalign.settings.sensors import RAW_KINDS, SENSOR_KINDS, Sensors

Seconds = Annotated[float, Field(ge=0)]

HIGH_PASS_HZ = 0.01
"""What is removed from time series where the config does not say."""


BIDS_KINDS = ("surface", "volume", "parcels", "cifti")
"""Kinds whose files have BIDS names."""

TABLED_KINDS = ("array", "glmsingle", "nsd", "algonauts", "things_eeg2")
"""Kinds that come with a table of their own of what was shown in each trial."""

IMAGE_KINDS = (*BIDS_KINDS, "array", "glmsingle", "nsd", "algonauts")
"""Kinds whose targets are places in the brain."""

ONLY_WITH = {
    "suffix": (*BIDS_KINDS, "epochs"),
    "entities": (*BIDS_KINDS, *RAW_KINDS, "epochs"),
    "space": IMAGE_KINDS,
    "mask": IMAGE_KINDS,
    "regions": IMAGE_KINDS,
    "tr": BIDS_KINDS,
    "confounds": BIDS_KINDS,
    "path": ("array", "glmsingle"),
    "items": ("array", "glmsingle"),
    "betas": ("nsd",),
    "mesh": ("volume",),
    "glm": BIDS_KINDS,
}
"""Keys that not every kind knows, and the kinds that do."""

BUNDLED_MESH = "fsaverage5"
"""The mesh that comes with nilearn."""

NEEDED = {"array": ("path", "items"), "glmsingle": ("path", "items")}
"""Keys that a kind cannot do without."""


def of_trials(raw: dict[str, Any]) -> bool:
    """Whether what a config says of responses, not checked yet, is about trials."""
    samples = "trials" if raw.get("kind") in (*TABLED_KINDS, *SENSOR_KINDS) else "time"
    return raw.get("samples", samples) == "trials"


def of_sensors(raw: dict[str, Any]) -> bool:
    """Whether what a config says of responses, not checked yet, is about channels."""
    return raw.get("kind") in SENSOR_KINDS or (raw.get("kind") == "array" and not of_trials(raw))


Kind = Literal[
    "surface",
    "volume",
    "parcels",
    "cifti",
    "array",
    "glmsingle",
    "nsd",
    "algonauts",
    "eeg",
    "meg",
    "ieeg",
    "epochs",
    "things_eeg2",
]


class Responses(Section):
    """Which recordings to predict, and how they are cleaned."""

    kind: Kind
    samples: Literal["time", "trials"] = Field(
        "time",
        description="moments of a time series, or one response per presentation (GLM betas, epochs); trials "
        "by default for all kinds but surface, volume, parcels and cifti",
    )
    sensors: Sensors = Field(Sensors(), description="EEG, MEG, iEEG: how recordings are cleaned and cut")
    glm: Literal["lss", "lsa"] | None = Field(
        None,
        description="estimate responses to trials from time series: each trial in a model of its own (lss), "
        "or all in one (lsa)",
    )
    suffix: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9]+$",
        description="BIDS suffix of the files; left out: bold (timeseries for parcels), statmap for trials",
    )
    path: str | None = Field(
        None,
        description="for array: .npy or .tsv (trial, target), for glmsingle: its .hdf5 or .mat, relative to "
        "the dataset; may hold {subject}, {session}, {task}, {run}",
    )
    items: str | None = Field(
        None,
        description="for array and glmsingle: TSV with one row per trial, an `item` (image file) or `text`, "
        "and maybe its `run`; a pattern as `path` is",
    )
    betas: str | None = Field(
        None, description="for nsd: folder of the betas' version; left out: betas_fithrf_GLMdenoise_RR"
    )
    space: str | None = Field(
        None,
        description="BIDS space label, such as fsaverage5 or MNI152NLin2009cAsym; "
        "for nsd: func1pt8mm (default), func1mm or fsaverage",
    )
    entities: dict[str, str] = Field(
        default_factory=dict,
        description="further BIDS entities that the files must carry, e.g. desc: preproc",
    )
    mask: str | None = Field(
        None,
        description="NIfTI mask relative to the dataset; left out: each run's desc-brain_mask, intersected; "
        "for nsd: the name of one of its regions (nsdgeneral)",
    )
    regions: str | None = Field(
        None,
        description="label file relative to the dataset ({hemi} for GIFTI), or one of nsd's sets of regions "
        "(streams): regions in the report",
    )
    mesh: str | None = Field(
        None,
        description="sample volumes at vertices: fsaverage5 (for MNI space), or GIFTI files relative to the "
        "dataset; must hold {hemi} and {surface}, may hold {subject}",
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
    def _trials_have_no_drifts(cls, raw: Any) -> Any:
        """Some kinds know trials only; and for trials, the default high-pass filter stands for none."""
        if not isinstance(raw, dict):
            return raw
        if not of_trials(raw):
            # Sensors have a filter of their own.
            return {"high_pass_hz": None, **raw} if of_sensors(raw) else raw
        if raw.get("kind") == "algonauts":  # z-scored within sessions before they were averaged
            raw = {"standardize": False, **raw}
        given = raw.get("high_pass_hz", HIGH_PASS_HZ)
        unsaid = given == HIGH_PASS_HZ and not raw.get("glm")
        return {**raw, "samples": "trials", "high_pass_hz": None if unsaid else given}

    @model_validator(mode="after")
    def _keys_go_with_the_kind(self) -> Responses:
        for key, kinds in ONLY_WITH.items():
            if getattr(self, key) and self.kind not in kinds:
                raise ValueError(
                    f"{key} does not go with kind {self.kind}, only with {', '.join(kinds)}; remove it"
                )
        needed = ("path",) if self.series_of_sensors and self.kind == "array" else NEEDED.get(self.kind, ())
        lacking = [key for key in needed if not getattr(self, key)]
        if lacking:
            raise ValueError(f"kind {self.kind} needs {' and '.join(lacking)}: say where its files are")
        if self.kind in (*TABLED_KINDS, "epochs") and self.samples == "time" and self.kind != "array":
            raise ValueError(f"kind {self.kind} has one response per trial; set samples: trials")
        return self

    @model_validator(mode="after")
    def _sensors_have_a_rate(self) -> Responses:
        arrays = self.kind == "array" and self.samples == "time"
        if self.sensors != Sensors() and not (self.has_sensors or arrays):
            raise ValueError(
                f"sensors does not go with kind {self.kind}, only with {', '.join(SENSOR_KINDS)} and "
                "arrays of time; remove it"
            )
        if arrays and self.sensors.sampling_hz is None:
            raise ValueError("an array does not say how many samples a second has; give sensors.sampling_hz")
        if self.series_of_sensors and self.high_pass_hz is not None:
            raise ValueError(
                "high_pass_hz cleans volumes; of sensors, sensors.band_hz says which frequencies are kept"
            )
        return self

    @model_validator(mode="after")
    def _time_needs_a_time_series(self) -> Responses:
        if self.glm and self.samples == "time":
            raise ValueError(f"glm: {self.glm} estimates responses to trials; set samples: trials")
        if self.glm and any(self.trim_s):
            raise ValueError(
                "trim_s does not go with glm, which needs the volumes after every event; remove it"
            )
        if self.samples == "trials" and not self.glm:
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
                    f"have no time; remove {'it' if len(wrong) == 1 else 'them'}, or set samples: time or glm"
                )
        return self

    @property
    def has_sensors(self) -> bool:
        """Whether recordings are of EEG, MEG or iEEG, by their kind."""
        return self.kind in SENSOR_KINDS

    @property
    def needs_events(self) -> bool:
        """Whether the times of stimuli decide what the responses are."""
        return self.glm is not None or self.reads_bids_sensors

    @property
    def reads_bids_sensors(self) -> bool:
        """Whether recordings are EEG, MEG or iEEG with BIDS names."""
        return self.has_sensors and self.kind not in TABLED_KINDS

    @property
    def epoched(self) -> bool:
        """Whether targets are channels at a latency."""
        return self.has_sensors and self.samples == "trials"

    @property
    def series_of_sensors(self) -> bool:
        """Whether samples are moments of EEG or MEG, or of an array that stands for one."""
        return self.samples == "time" and (self.has_sensors or self.kind == "array")

    @property
    def file_suffix(self) -> str | None:
        """The BIDS suffix of the files; None for that of time series, which depends on the kind."""
        if self.kind in RAW_KINDS:
            return self.kind
        if self.kind == "epochs":
            return self.suffix or "epo"
        given = self.samples == "trials" and self.glm is None
        return self.suffix or ("statmap" if given else None)
