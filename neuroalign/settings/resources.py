"""What a config may say of the means of a computation, which change no result beyond rounding."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from neuroalign.settings.section import Section

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


class Resources(Section):
    """How much a job may take."""

    memory: str | None = Field(
        None, description="most memory of a fit, such as '8 GB': targets are then fitted in blocks"
    )

    @field_validator("memory")
    @classmethod
    def _is_an_amount(cls, text: str | None) -> str | None:
        if text is not None and _bytes(text) <= 0:
            raise ValueError(f"memory is '{text}'; expected a number with MB, GB, MiB or GiB, such as '8 GB'")
        return text

    @property
    def memory_bytes(self) -> int | None:
        """The memory allowed, in bytes; None for as much as it takes."""
        return None if self.memory is None else _bytes(self.memory)


def _bytes(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B)\s*", text)
    return int(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else 0
