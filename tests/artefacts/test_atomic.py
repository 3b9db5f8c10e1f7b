from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroalign.artefacts import arrays
from neuroalign.artefacts.atomic import refusal, replacing
from neuroalign.cli import main
from neuroalign.errors import DataError


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    dead = tmp_path / ".scores.nc.abcd1234"
    dead.mkdir()
    (dead / "scores.nc").write_text("half")
    others = [".scores.nc.txt", ".scores.nc.abcd12345", ".other.nc.abcd1234"]
    for name in others:
        (tmp_path / name).mkdir()
    with replacing(tmp_path / "scores.nc") as temporary:
        temporary.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "scores.nc"])


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a"
    path.write_text("before")

    def half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EDQUOT])
def test_what_the_system_refuses_is_one_line(tmp_path, number):
    path = tmp_path / "a"
    with pytest.raises(DataError, match=r"a: cannot be written \(.*results made before"), replacing(path):
        raise OSError(number, os.strerror(number))
    hdf5 = RuntimeError(f"Unable to write (errno = {number}, error message = '{os.strerror(number)}')")
    assert refusal(hdf5) == refusal(OSError(number, ""))
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_system_stay(tmp_path):
    with pytest.raises(ConnectionResetError), replacing(tmp_path / "a"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    assert refusal(KeyError("No space left on device")) is None


def test_the_umask_decides_who_may_read(tmp_path):
    before = os.umask(0o027)
    try:
        arrays.save_json({}, tmp_path / "a.json")
        arrays.save_arrays(xr.Dataset({"a": ("x", np.zeros(2))}), tmp_path / "a.nc")
        arrays.save_table(pd.DataFrame({"a": [1]}), tmp_path / "a.parquet")
        with replacing(tmp_path / "folder") as temporary:
            temporary.mkdir()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"a.json": 0o640, "a.nc": 0o640, "a.parquet": 0o640, "folder": 0o750}


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from neuroalign.cli import main
sys.exit(main())
"""


def test_a_file_that_may_not_grow_is_one_line_and_earlier_results_stay(tree, tmp_path):
    rng = np.random.default_rng(0)
    tree.events("01")
    tree.parcels("01", "1", pd.DataFrame(rng.standard_normal((40, 3)), columns=list("abc")))
    wide = pd.DataFrame(rng.standard_normal((40, 3000)))
    config = tmp_path / "study.yaml"
    config.write_text(
        f"output: {tmp_path / 'out'}\ndataset: {{path: {tree.root}, task: story}}\n"
        "responses: {kind: parcels}\nnetworks: {net: {source: nowhere}}\n"
    )
    assert main(["index", str(config)]) == 0
    assert main(["responses", str(config), "--subject", "01"]) == 0
    made = tmp_path / "out" / "responses" / "sub-01.nc"
    before = made.read_bytes()
    tree.parcels("01", "1", wide)
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, "responses", str(config), "--subject", "01"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert "sub-01.nc: cannot be written (larger than files may be here" in ran.stderr
    assert made.read_bytes() == before
    assert list(made.parent.iterdir()) == [made]


WAITING = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in the background
from neuroalign.cli import commands, main
from neuroalign.artefacts.atomic import replacing
def wait(given):
    with replacing(given.config) as temporary:
        temporary.write_text("half")
        print("now", flush=True)
        time.sleep(60)
commands.layers = wait
sys.exit(main(["layers", sys.argv[1]]))
"""


@pytest.mark.parametrize(("how", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_told_to_end_cleans_up(tmp_path, how, status):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "now\n"
        time.sleep(0.05)
        process.send_signal(how)
        assert process.wait(20) == status
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "logs").write_text("a file, where a folder should be")
    with pytest.raises(FileExistsError):  # nothing that the system refuses: a mistake of its own
        main(["layers", "none.yaml", "--log", str(tmp_path / "logs" / "a.log")])
    full = OSError(errno.ENOSPC, "No space left on device", "a.log")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuroalign.cli.running.copied_to", _raising(full))
        assert main(["layers", "none.yaml"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("neuroalign: error: a.log: cannot be opened or written (no space left")
    assert said.count("\n") == 1


def _raising(error: Exception):
    def copied_to(log):
        raise error

    return copied_to
