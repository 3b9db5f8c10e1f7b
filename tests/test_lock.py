"""requirements.lock: nothing is forgotten, nothing is other than tested, everything has hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
EXTRAS = ("demo", "dev", "slurm")
WITHOUT_HASH = {"torch"}
"""Its builds differ by machine; the Makefile says more."""


@pytest.fixture(scope="module")
def locked() -> dict[str, tuple[str, int]]:
    """Version and number of hashes by name."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    entries = re.findall(r"^([\w.-]+)==(\S+)(.*)$", text, re.MULTILINE)
    return {
        canonicalize_name(name): (version, rest.count("--hash=sha256:")) for name, version, rest in entries
    }


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(n): v for n, v in (line.split("==") for line in lines if "==" in line)}


def test_every_dependency_is_locked_but_for_torch(locked):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for e in EXTRAS for one in project["optional-dependencies"][e])]
    requirements = {canonicalize_name(one.name): one for one in map(Requirement, asked)}
    assert requirements.keys() - locked.keys() == WITHOUT_HASH
    for name in requirements.keys() - WITHOUT_HASH:
        assert requirements[name].specifier.contains(locked[name][0]), name


def test_the_lock_holds_what_was_tested_with_hashes_of_all(locked):
    tested = pins()
    assert tested.keys() >= WITHOUT_HASH
    both = locked.keys() & tested.keys()
    assert len(both) > 100
    assert {name: locked[name][0] for name in both} == {name: tested[name] for name in both}
    assert all(hashes > 0 for _, hashes in locked.values())


def test_nothing_that_differs_by_machine_is_locked(locked):
    assert not [
        name for name in locked if name.startswith(("nvidia-", "cuda-")) or name in ("torch", "triton")
    ]
