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

from neuroalign.errors import ConfigError, choices
from neuroalign.settings.config import Study
from neuroalign.settings.families import FAMILIES
from neuroalign.settings.section import Section
from neuroalign.settings.simulation import SIMULATIONS

_KINDS: dict[str, tuple[int, str, Mapping[str, type[Section]]]] = {
    "networks": (2, "family", FAMILIES),
    "simulate": (1, "kind", SIMULATIONS),
}
"""Sections of several kinds: where the kind stands in a location, the key that says it, and what there is."""


MOST_BYTES = 1_000_000
"""A larger file is no config."""

MOST_VALUES, DEEPEST = 100_000, 20
"""What aliases and brackets may make of one."""

MOST_SAID, LONGEST_SHOWN = 8, 80
"""Problems that are named at once, and characters of a value in a message."""

_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows."""


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
        with path.open("rb") as file:  # what never ends, such as a device, is not read to its end
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path}: more than {MOST_BYTES:,} bytes, no config; give a YAML text file")
        raw = yaml.load(content.decode("utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such config file; see config/README.md for one to start from"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a YAML text file") from None
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not valid YAML ({reason}); mend what stands there") from None
    return parse(raw, name=str(path))


class _Loader(yaml.SafeLoader):
    """Plain YAML, of which no key may be given twice: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Read a mapping whose keys are all different."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key '{key.value}' is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(raw: object, name: str = "config") -> Study:
    """Check a configuration that is already a mapping; `name` begins the error message."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{name}: expected a mapping of sections, got {type(raw).__name__}")
    _refuse_monsters(raw, name)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = "; ".join(_explain(item) for item in found[:MOST_SAID])
        more = f"; and {len(found) - MOST_SAID} more problems" if len(found) > MOST_SAID else ""
        raise ConfigError(f"{name}: {problems}{more}") from None


def _refuse_monsters(raw: dict[Any, Any], name: str) -> None:
    """Refuse what no study is: sections without end, and characters that a terminal or a path would obey."""
    waiting: list[tuple[str, Any]] = [("", raw)]
    for seen, (where, value) in enumerate(waiting):
        if seen > MOST_VALUES or where.count(".") > DEEPEST:
            raise ConfigError(
                f"{name}: {where.split('.')[1]}: more than {MOST_VALUES:,} values, or sections nested more "
                f"than {DEEPEST} deep; write out what the study needs"
            )
        if isinstance(value, str) and (bad := _NOT_TEXT.search(value)):
            raise ConfigError(
                f"{name}: {where[1:] or 'a key'}: {_shown(value)} holds the character {bad[0]!r}; remove it"
            )
        if isinstance(value, dict):
            waiting += [("", key) for key in value]
            waiting += [
                (f"{where}.{_shown(key) if _NOT_TEXT.search(str(key)) else key}", part)
                for key, part in value.items()
            ]
        elif isinstance(value, list | tuple | set):
            waiting += [(where + "." * isinstance(part, dict | list), part) for part in value]


def _shown(value: object) -> str:
    """A value as the user wrote it; of a long one, its beginning."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _explain(item: Any) -> str:
    """One pydantic complaint as a phrase: where, what was received, what would do."""
    where = ".".join(map(str, _keys_of(item["loc"])))
    if item["type"] == "extra_forbidden":
        known = _keys_at(item["loc"][:-1])
        return f"unknown key '{where}': {choices(item['loc'][-1], known)}"
    if item["type"] == "union_tag_invalid":
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected_tags"])
        key = _KINDS[item["loc"][0]][1]
        return f"{where}.{key} is {_shown(item['ctx']['tag'])}: {choices(item['ctx']['tag'], allowed)}"
    if item["type"] == "missing":
        return f"'{where}' is missing; add it"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "value_error":
        return f"{where}: {message}" if where else message
    if item["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        return f"{where} is {_shown(item['input'])}: {choices(item['input'], allowed)}"
    return f"{where} is {_shown(item['input'])}: {message[0].lower()}{message[1:]}"


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
