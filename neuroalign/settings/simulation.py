"""What a config may say of a simulated study: one section for every kind, chosen by `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from neuroalign.settings.section import Section


class Simulate(Section):
    """What all simulated studies share."""

    kind: str
    subjects: int = Field(3, ge=1, le=99, description="number of simulated people")
    noise: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.8, 1.0, 1.3), min_length=1, description="noise of each subject, relative to the signal, cycled"
    )


class SimulateStory(Simulate):
    """Listeners of a story: time series on the surface of the cortex."""

    kind: Literal["story"] = "story"
    runs: int = Field(4, ge=2, le=4, description="runs, one part of the story each")
    tr: float = Field(2.0, gt=0.2, le=5, description="repetition time in seconds")


class SimulateImages(Simulate):
    """People who look at images: one response of every voxel to each presentation."""

    kind: Literal["images"] = "images"
    images: int = Field(200, ge=10, le=10_000, description="images that each subject sees")
    shared: int = Field(80, ge=0, description="images that all subjects see, of those")
    repeats: int = Field(3, ge=1, le=10, description="how often a subject sees each image")
    runs: int = Field(6, ge=1, le=99, description="runs that the presentations are spread over")

    @model_validator(mode="after")
    def _images_suffice(self) -> SimulateImages:
        if self.shared > self.images:
            raise ValueError(
                f"'shared' is {self.shared} but each subject sees {self.images} images; share at most those"
            )
        if self.images * self.repeats < 2 * self.runs:
            raise ValueError(
                f"{self.images * self.repeats} presentations are too few for {self.runs} runs; give at least "
                "two to each run"
            )
        return self


class SimulateEEG(Simulate):
    """People who look at images: raw EEG, in which every layer of a network shows at a latency of its own."""

    kind: Literal["eeg"] = "eeg"
    images: int = Field(240, ge=10, le=10_000, description="images that all subjects see")
    repeats: int = Field(4, ge=1, le=100, description="how often a subject sees each image")
    runs: int = Field(4, ge=1, le=99, description="runs that the presentations are spread over")
    sampling_hz: int = Field(128, ge=64, le=1024, description="rate of the recordings")

    @model_validator(mode="after")
    def _images_suffice(self) -> SimulateEEG:
        if self.images * self.repeats < 2 * self.runs:
            raise ValueError(
                f"{self.images * self.repeats} presentations are too few for {self.runs} runs; give at least "
                "two to each run"
            )
        return self


SIMULATIONS: dict[str, type[Simulate]] = {
    "story": SimulateStory,
    "images": SimulateImages,
    "eeg": SimulateEEG,
}
"""The section of every kind, by its name."""


def _kind(raw: Any) -> str:
    return str(raw.get("kind", "story") if isinstance(raw, dict) else getattr(raw, "kind", "story"))


AnySimulation = Annotated[
    Annotated[SimulateStory, Tag("story")]
    | Annotated[SimulateImages, Tag("images")]
    | Annotated[SimulateEEG, Tag("eeg")],
    Discriminator(_kind),
]
"""A simulated study of any kind."""
