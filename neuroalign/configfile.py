"""Reading `config.yaml`: one message that names every problem, where it is and what would do.

`neuroalign schema` writes the JSON schema that editors complete keys from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from neuroalign.config import Study
from neuroalign.errors import ConfigError, choices
from neuroalign.settings.families import FAMILIES
from neuroalign.settings.section import Section
from neuroalign.settings.simulation import SIMULATIONS

_KINDS: dict[str, tuple[int, str, Mapping[str, type[Section]]]] = {
    "networks": (2, "family", FAMILIES),
    "simulate": (1, "kind", SIMULATIONS),
}
"""Sections of several kinds: where the kind stands in a location, the key that says it, and what there is."""


def load(path: str | Path) -> Study:
    """Read and check a YAML configuration.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Study

    Raises
    ------
    ConfigError
        The file is missing, is not YAML, or says something neuroalign does not know; the message
        names every problem found, the nearest known key first.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such config file; see config/README.md for one to start from"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a YAML text file") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML ({reason})") from None
    return parse(raw, name=str(path))


def parse(raw: object, name: str = "config") -> Study:
    """Check a configuration that is already a mapping; `name` begins the error message."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{name}: expected a mapping of sections, got {type(raw).__name__}")
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(_explain(item) for item in error.errors(include_url=False))
        raise ConfigError(f"{name}: {problems}") from None


def _explain(item: Any) -> str:
    """One pydantic complaint as a phrase: where, what was received, what would do."""
    where = ".".join(map(str, _keys_of(item["loc"])))
    if item["type"] == "extra_forbidden":
        known = _keys_at(item["loc"][:-1])
        return f"unknown key '{where}': {choices(item['loc'][-1], known)}"
    if item["type"] == "union_tag_invalid":
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected_tags"])
        key = _KINDS[item["loc"][0]][1]
        return f"{where}.{key} is {item['ctx']['tag']!r}: {choices(item['ctx']['tag'], allowed)}"
    if item["type"] == "missing":
        return f"'{where}' is missing"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{where}: {message}" if where else message
    if item["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        return f"{where} is {item['input']!r}: {choices(item['input'], allowed)}"
    return f"{where} is {item['input']!r}: {message[0].lower()}{message[1:]}"


def _keys_of(location: tuple[Any, ...]) -> list[Any]:
    """The keys of a location, without the types that were tried on the way."""
    return [
        part
        for place, part in enumerate(location)
        if part != "all" and not str(part).startswith("tuple[") and _kind_at(location, place) is None
    ]


def _kind_at(location: tuple[Any, ...], place: int) -> type[Section] | None:
    """The section of the kind that stands in a location at `place`, if it is one."""
    at, _, kinds = _KINDS.get(location[0], (0, "", {}))
    return kinds.get(location[place]) if place == at else None


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """The keys that the section at `location` knows."""
    model: Any = Study
    for place, part in enumerate(location):
        if kind := _kind_at(location, place):
            model = kind
            continue
        field = getattr(model, "model_fields", {}).get(part)
        candidates = (
            [model, *get_args(model)] if field is None else [field.annotation, *get_args(field.annotation)]
        )
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, Section)]
        mapped = [
            a for c in candidates for a in get_args(c) if isinstance(a, type) and issubclass(a, Section)
        ]
        model = (nested or mapped or [model])[0]
    return list(model.model_fields)


def json_schema() -> dict[str, Any]:
    """The JSON schema of `config.yaml`."""
    return Study.model_json_schema()
