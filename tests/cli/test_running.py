"""How a command ends that is told to."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOST = """
import argparse, os, signal, sys, time
from neuroalign.cli import running

class Closing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

def work(given):
    closing = Closing()
    del closing
    print("went on", flush=True)
    time.sleep(float(sys.argv[1]))

class Parser:
    def parse_args(self, arguments):
        return argparse.Namespace(run=work, log=None, debug=False)

running.AGAIN_S = 0.2
running.build_parser = Parser
sys.exit(running.main([]))
"""


@pytest.mark.parametrize("longer_s", [60, 0])
def test_a_signal_that_was_lost_while_an_object_was_let_go_is_not_forgotten(longer_s):
    """It comes again; or the work is at its end, and the status says that it was told to end."""
    command = [sys.executable, "-c", LOST, str(longer_s)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert "went on" in ran.stdout
    assert "SystemExit" in ran.stderr  # Python says what it ignored
    assert ran.returncode == 143
