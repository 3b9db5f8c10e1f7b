"""Before the first job: the commands that jobs call, and the config as it was understood."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import yaml

from neuroalign.artefacts import layout
from neuroalign.artefacts.atomic import replacing
from neuroalign.settings.config import Study


def find_command() -> None:
    """Let jobs find this environment's `neuroalign` also where the environment was not activated."""
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])


def save_config(study: Study) -> Path:
    """Write the study as it was understood into its output folder, if it is not there already."""
    path = Path(study.output, layout.CONFIG)
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return path
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
