"""The command line: one command per stage; wiring only."""

from __future__ import annotations

from neuroalign.cli.parser import STAGES
from neuroalign.cli.running import main

__all__ = ["STAGES", "main"]
