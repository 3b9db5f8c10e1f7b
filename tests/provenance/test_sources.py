"""Digests of a stage's sources, and versions of libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from neuroalign.provenance import sources


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package in place of this one; what a file held before is forgotten."""
    files = {
        "errors.py": "class Mistake(ValueError): ...\n",
        "settings/config.py": "seed = 1\n",
        "cli.py": "from neuroalign import top\n",
        "stages/__init__.py": "",
        "stages/one.py": "from neuroalign import apart\n",
        "low.py": '"""Says what it does."""\nfrom neuroalign.errors import Mistake\n\nx = 1  # one\n',
        "middle/__init__.py": "",
        "middle/one.py": "import numpy\n\ndef run():\n    from neuroalign import low\n    return low.x\n",
        "middle/two.py": "from . import one\nfrom ..settings.config import seed\n",
        "top.py": "from neuroalign.middle.two import one\nfrom neuroalign.stages.one import apart\n",
        "apart.py": "import neuroalign.low\n",
        "lazy.py": "from neuroalign.middle import Estimator\n",
        "words/story.txt": "once",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for kept in (sources._tree, sources._essence, sources._imports):
        kept.cache_clear()


def changed(package: Path, name: str, text: str, modules: list[str], files: tuple[str, ...] = ()) -> bool:
    """Whether the digest differs once `name` holds `text`."""
    forget()
    before = sources.stage_digest(modules, files)
    (package / name).write_text(text)
    forget()
    return sources.stage_digest(modules, files) != before


def test_closure_follows_every_form_of_import(package: Path) -> None:
    found = sources.closure(["neuroalign.top"])
    assert found == {f"neuroalign.{name}" for name in ("top", "middle.two", "middle.one", "low")}
    assert sources.closure(["neuroalign.apart"]) == {"neuroalign.apart", "neuroalign.low"}


def test_a_name_that_a_package_hands_out_may_come_from_any_of_its_modules(package: Path) -> None:
    assert {"neuroalign.middle.one", "neuroalign.middle.two"} <= sources.closure(["neuroalign.lazy"])


def test_a_change_reaches_whoever_imports_it(package: Path) -> None:
    assert changed(package, "low.py", "x = 2\n", ["neuroalign.top"])
    assert not changed(package, "middle/one.py", "y = 2\n", ["neuroalign.apart"])


@pytest.mark.parametrize("name", ["settings/config.py", "errors.py", "cli.py", "stages/one.py"])
def test_what_wires_stages_together_does_not_count(package: Path, name: str) -> None:
    assert not changed(package, name, "z = 3\n", ["neuroalign.top"])


def test_comments_docstrings_and_layout_do_not_count(package: Path) -> None:
    same = '"""Says it otherwise."""\n\nfrom neuroalign.errors import Mistake\n\n\nx = (1)\n'
    assert not changed(package, "low.py", same, ["neuroalign.low"])


def test_files_that_a_stage_reads_count(package: Path) -> None:
    assert changed(package, "words/story.txt", "twice", ["neuroalign.low"], ("words/*",))
    assert not changed(package, "words/story.txt", "thrice", ["neuroalign.low"])


def test_an_unknown_module_is_an_error(package: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"neuroalign\.nowhere"):
        sources.stage_digest(["neuroalign.nowhere"])


def test_versions_leaves_out_what_is_not_installed() -> None:
    found = sources.versions(["numpy", "no-such-library"])
    assert list(found) == ["numpy"]
    assert found["numpy"][0].isdigit()


def test_versions_are_read_without_importing_the_libraries() -> None:
    code = (
        "import sys; from neuroalign.provenance.sources import versions; versions()\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
