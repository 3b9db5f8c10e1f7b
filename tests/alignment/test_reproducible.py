"""The same fit gives the same bytes, and with another number of threads the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuroalign.artefacts.arrays import open_arrays

SCRIPT = Path(__file__).with_name("fit_every_encoder.py")
ENCODERS = ("ridge", "banded_ridge", "lagged_ridge", "cross_attention")
FILES = ("scores", "predictions")
THREADS = {"once": "1", "again": "1", "two threads": "2"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """What three processes wrote, two of them with one thread."""
    made = {}
    for name, threads in THREADS.items():
        made[name] = tmp_path_factory.mktemp("fit")
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, str(SCRIPT), str(made[name])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (made[name] / "threads").read_text(encoding="utf-8") == threads
    return made


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_same_fit_gives_the_same_bytes(folders, encoder):
    for kind in FILES:
        name = f"{encoder}-{kind}.nc"
        assert (folders["once"] / name).read_bytes() == (folders["again"] / name).read_bytes()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_other_threads_give_the_same_numbers(folders, encoder):
    for kind in FILES:
        one, other = (
            open_arrays(folders[which] / f"{encoder}-{kind}.nc") for which in ("once", "two threads")
        )
        assert set(one) == set(other)
        for name in one.data_vars:
            within = 1e-6 * max(1.0, float(abs(one[name]).max()))
            np.testing.assert_allclose(one[name], other[name], rtol=0, atol=within, err_msg=str(name))
