"""Jobs killed at random moments, run again, and compared byte by byte with jobs left alone.

python tests/kills/kill.py --kills 66              every stage of a small study, some hundred seconds
python tests/kills/kill.py --workflow 6            the whole of Snakemake, all its processes at once

The moments follow from the seed as shares of a job's time. Jobs are forked from a process that has imported
everything, so that they die at work and not while they start.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "tests" / "slurm" / "study.yaml"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
NOT_COMPARED = ("logs", "benchmarks", "report")
"""Times are written there; tables of the report are compared."""


def jobs() -> Iterator[list[str]]:
    """The commands of the small study, in an order in which they can run."""
    for stage in ("index", "stimuli"):
        yield [stage]
    yield from (["activations", "--network", name] for name in ("smallvit", "light"))
    people = ("01", "02")
    yield from (["responses", "--subject", one] for one in people)
    yield ["ceiling"]
    fits = [(one, name) for name in ("smallvit", "nuisance") for one in people]

    def of(one: str, name: str) -> list[str]:
        return ["--subject", one, "--network", name, "--encoder", "ridge"]

    yield from (["fit", *of(*fit)] for fit in fits)
    yield from (["inference", *of(*fit)] for fit in fits if fit[1] != "nuisance")
    yield from (["summary", *of(*fit)] for fit in fits)
    yield from (["group", "--network", name, "--encoder", "ridge"] for name in ("smallvit", "nuisance"))
    yield from (["maps"], ["report"])


def start(arguments: list[str], folder: Path) -> int:
    """Fork a process that runs one command in a folder; its number."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    status = 70
    try:
        os.chdir(folder)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from neuroalign.cli import main

        status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os._exit(status)


def finish(number: int) -> int:
    """Wait for a process; its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def kill_after(number: int, seconds: float, how: signal.Signals) -> bool:
    """Let a process run for some seconds, then kill it; False if it was faster."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(number, os.WNOHANG)[0]:
            return False
        time.sleep(min(0.002, seconds))
    os.kill(number, how)
    finish(number)
    return True


def commands(folder: Path) -> list[list[str]]:
    """All commands with the config of the study, which is saved in the folder; simulation first."""
    from neuroalign.settings import configfile
    from neuroalign.stages import starting

    here = Path.cwd()
    os.chdir(folder)
    config = str(starting.save_config(configfile.load(STUDY)))
    os.chdir(here)
    return [
        ["simulate", "results/small/bids", "--config", config],
        *([stage, config, *rest] for stage, *rest in jobs()),
    ]


def digests(folder: Path) -> dict[str, str]:
    """Hash of every file of a study that is to be the same, by path."""
    found = {}
    root = folder / "results" / "small"
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if not path.is_file() or (inside.parts[0] in NOT_COMPARED and "tables" not in inside.parts):
            continue
        found[inside.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def left_behind(folder: Path) -> list[str]:
    """Temporary files and folders."""
    names = (path.relative_to(folder) for path in (folder / "results").rglob("*"))
    return [
        str(name)
        for name in names
        if any(part.endswith(".partial") or part.startswith(".") for part in name.parts)
        and name.name != ".snakemake_timestamp"
    ]


def undisturbed(folder: Path) -> list[float]:
    """Run all commands; the seconds that each took."""
    took = []
    for command in commands(folder):
        began = time.monotonic()
        status = finish(start(command, folder))
        assert status == 0, f"{command} ended with {status}: {(folder / 'said.txt').read_text()[-2000:]}"
        took.append(time.monotonic() - began)
    return took


def disturbed(folder: Path, took: list[float], kills: int, seed: int) -> dict[str, int]:
    """Run all commands, killing as many as asked on the way; how often each signal did."""
    draw = random.Random(seed)
    all_commands = commands(folder)
    each = [kills // len(all_commands) + (at < kills % len(all_commands)) for at in range(len(all_commands))]
    done = {how.name: 0 for how in SIGNALS}
    number = 0
    for command, seconds, count in zip(all_commands, took, each, strict=True):
        survived, longest = 0, seconds
        while survived < count:
            how = SIGNALS[number % len(SIGNALS)]
            killed = kill_after(start(command, folder), longest * draw.uniform(0.02, 0.98), how)
            done[how.name] += killed
            survived, number = survived + killed, number + killed
            longest *= 1.0 if killed else 0.7  # it was faster this time
        status = finish(start(command, folder))
        assert status == 0, f"{command} ended with {status}: {(folder / 'said.txt').read_text()[-2000:]}"
    return done


def compare(reference: Path, folder: Path) -> int:
    """Fail unless all files are the same and nothing else is there; the number of files."""
    expected, found = digests(reference), digests(folder)
    different = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    assert not different, f"{len(different)} files differ, such as {sorted(different)[:5]}"
    assert not (left := left_behind(folder)), f"left behind: {left[:5]}"
    return len(expected)


def through_snakemake(folder: Path, kills: int, seed: int, whole: float) -> dict[str, int]:
    """Kill Snakemake and all its jobs at once, unlock, start again."""
    draw, done = random.Random(seed), {how.name: 0 for how in SIGNALS}
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
    command += ["--directory", str(folder), "--configfile", str(STUDY), "--rerun-incomplete"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    how_run = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for at in range(kills):
        how = SIGNALS[(at + 2) % len(SIGNALS)]
        process = subprocess.Popen(command, start_new_session=True, **how_run)
        try:
            process.wait(whole * draw.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, how)
            done[how.name] += 1
            process.wait()
        subprocess.run([*command, "--unlock"], check=True, **how_run)
    assert subprocess.run(command, **how_run).returncode == 0
    return done


def preload() -> None:
    """Import all that jobs will, and keep them to one thread, since threads do not survive a fork."""
    import torch

    torch.set_num_threads(1)
    from neuroalign.provenance.triggers import READS
    from neuroalign.recordings.simulated import images  # noqa: F401
    from neuroalign.report import page  # noqa: F401

    for reads in READS.values():
        for module in reads.modules:
            __import__(module)


def main(kills: int, seed: int, workflow: int) -> None:
    """Run the study alone, then disturbed, and compare."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    preload()
    with tempfile.TemporaryDirectory(prefix="kills.") as place:
        reference, folder = Path(place, "alone"), Path(place, "killed")
        reference.mkdir()
        folder.mkdir()
        began = time.monotonic()
        took = undisturbed(reference)
        whole = time.monotonic() - began
        if workflow:
            done = through_snakemake(folder, workflow, seed, max(60.0, whole))
            shutil.rmtree(folder / ".snakemake", ignore_errors=True)
            (folder / "results" / "small" / "plan.tsv").unlink()
        else:
            done = disturbed(folder, took, kills, seed)
        files = compare(reference, folder)
    print(json.dumps({"kills": sum(done.values()), **done, "equal_files": files, "seed": seed}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=66)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workflow", type=int, default=0, metavar="KILLS")
    main(**vars(parser.parse_args()))
