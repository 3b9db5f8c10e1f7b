"""What every part of the configuration is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, numbers finite, values fixed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
"""A BIDS label: letters and digits only, since it becomes part of file names."""

Delay = Annotated[float, Field(ge=0, le=3600)]
"""Seconds between a stimulus and what it does; an hour is no haemodynamics any more."""

Seconds = Annotated[float, Field(ge=0)]
