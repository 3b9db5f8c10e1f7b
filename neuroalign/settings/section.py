"""What every part of the configuration is."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values cannot change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
"""A BIDS label: letters and digits only, since it becomes part of file names."""

Seconds = Annotated[float, Field(ge=0)]
