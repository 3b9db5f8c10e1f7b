"""Networks that are shown a prompt: under several of them, one network becomes one for each prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from neuroalign.settings.section import Section

PromptName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]


class Prompted(Section):
    """What is said to a network beside the stimulus."""

    prompt: str = Field("", description="text shown with every stimulus")
    prompts: dict[PromptName, str] = Field(
        {}, description="name → text: the network runs once under each, as NAMEPrompt"
    )

    @model_validator(mode="after")
    def _prompts_differ(self) -> Self:
        if self.prompts and self.prompt:
            raise ValueError("'prompt' is one text and 'prompts' are several; give one of the two")
        texts = list(self.prompts.values())
        for name, text in self.prompts.items():
            if texts.count(text) > 1:
                raise ValueError(f"'prompts' says {text!r} more than once, such as in '{name}'; say it once")
        return self

    @property
    def prompted(self) -> str:
        """The prompt in words; empty where there is none."""
        return f"prompt “{self.prompt}”" if self.prompt else ""

    def conditions(self, name: str) -> Mapping[str, Self]:
        """The network under each of its prompts, by the name it then has; itself where it has none."""
        if not self.prompts:
            return {name: self}
        return {
            condition_name(name, prompt): self.model_copy(update={"prompt": text, "prompts": {}})
            for prompt, text in self.prompts.items()
        }


def condition_name(network: str, prompt: str) -> str:
    """The name of a network under one of its prompts.

    >>> condition_name("llava", "describe")
    'llavaDescribe'
    """
    return f"{network}{prompt[0].upper()}{prompt[1:]}"
