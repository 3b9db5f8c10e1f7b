"""Jobs killed at random moments; `kills/kill.py` does the same to every stage, and to Snakemake."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from neuroalign.cli import main

FIT = ["--subject", "01", "--network", "length", "--encoder", "ridge"]

# Makes the same files over and over: wherever it dies, it dies at work.
BUSY = """
import sys
from neuroalign.cli import main
config, *fit = sys.argv[1:]
def work():
    for command in (["responses", config, "--subject", "01"], ["fit", config, *fit]):
        if status := main(command):
            sys.exit(status)
work()
print("ready", flush=True)
while True:
    work()
"""


@pytest.fixture
def config(tree, tmp_path) -> str:
    rng = np.random.default_rng(0)
    for run in ("1", "2", "3"):
        tree.events("01", run, words=[f"{'x' * int(rng.integers(1, 12))}{run}{n}" for n in range(30)])
        tree.parcels("01", run, pd.DataFrame(rng.standard_normal((40, 30))))
    raw = {
        "output": str(tmp_path / "out"),
        "dataset": {"path": str(tree.root), "task": "story"},
        "responses": {"kind": "parcels"},
        "networks": {"length": {"family": "handmade", "features": ["word_length"]}},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(raw))
    for stage in (["index"], ["stimuli"], ["activations", "--network", "length"]):
        assert main([stage[0], str(path), *stage[1:]]) == 0
    return str(path)


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for name in ("responses", "scores", "predictions")
        for path in (out / name).rglob("*")
        if path.is_file()
    }


def whole(found: dict[str, bytes]) -> dict[str, bytes]:
    """Files under the names that others open; temporaries and kept layers have other ones."""
    return {name: content for name, content in found.items() if name.count("/") == 1}


def test_a_killed_job_leaves_whole_files_or_none_and_its_restart_the_same_bytes(config, tmp_path):
    draw = random.Random(5)
    assert main(["responses", config, "--subject", "01"]) == 0
    assert main(["fit", config, *FIT]) == 0
    expected = contents(tmp_path / "out")
    assert len(expected) == 3
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, "-c", BUSY, config, *FIT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(draw.uniform(0.0, 0.5))
            process.send_signal(how)
            assert process.wait(20) in (-how, 128 + how)
        for name, content in whole(contents(tmp_path / "out")).items():
            assert content == expected[name], name
        assert main(["responses", config, "--subject", "01"]) == 0
        assert main(["fit", config, *FIT]) == 0
        assert contents(tmp_path / "out") == expected
