"""Digests of a stage's sources, and versions of libraries."""

from __future__ import annotations

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
