"""Jobs killed at random moments, run again, and compared byte by byte with jobs left alone.

python tests/kills/kill.py --kills 66              every stage of a small study, some hundred seconds
python tests/kills/kill.py --workflow 12           the whole of Snakemake, all its processes at once

The moments follow from the seed as shares of a job's time. Jobs are forked from a process that has imported
everything, so that they die at work and not while they start.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
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

STEP = re.compile(r"^(?:local)?rule \w+:$|^Finished jobid", re.MULTILINE)
MOST_STEPS = 9
"""How Snakemake says that a job starts or ends, and how often a run may say it before it is killed."""


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
    """Hash of every file of a study that is to be the same, by path; Snakemake alone dates folders."""
    found = {}
    root = folder / "results" / "small"
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if (
            not path.is_file()
            or path.name == ".snakemake_timestamp"
            or (inside.parts[0] in NOT_COMPARED and "tables" not in inside.parts)
        ):
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


def snakemake(folder: Path, *arguments: str) -> list[str]:
    """The command that runs the workflow in a folder as its user would."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2", "--nocolor"]
    return [
        *command,
        "--directory",
        str(folder),
        "--configfile",
        str(STUDY),
        "--rerun-incomplete",
        *arguments,
    ]


def environment() -> dict[str, str]:
    """Where Snakemake finds the package and its command."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def kill_workflow(folder: Path, steps: int, seconds: float, how: signal.Signals) -> bool:
    """Kill Snakemake with all its jobs, some steps and seconds after its start; False if it ended before.

    A step is a job that starts or ends. Snakemake that fails by itself is an error.
    """
    log = folder / "snakemake.txt"
    with log.open("wb") as said:
        process = subprocess.Popen(
            snakemake(folder),
            cwd=folder,
            env=environment(),
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while process.poll() is None and len(STEP.findall(log.read_text(errors="replace"))) < steps:
        time.sleep(0.05)
    try:
        assert process.wait(seconds) == 0, log.read_text()[-3000:]
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, how)
        process.wait(120)
        return True


def unlock(folder: Path, told: bool) -> bool:
    """Remove the lock that a killed Snakemake left, as it says itself unless told; whether there was one."""
    if not any((folder / ".snakemake" / "locks").glob("*")):
        return False
    how_run = {"cwd": folder, "env": environment(), "capture_output": True, "text": True}
    if not told:
        refused = subprocess.run(snakemake(folder), **how_run)
        assert refused.returncode, "a locked folder was used"
        assert "--unlock" in refused.stdout + refused.stderr, refused.stderr
    subprocess.run(snakemake(folder, "--unlock"), check=True, **how_run)
    return True


def through_snakemake(place: Path, reference: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill whole runs of the workflow, and compare every study that comes to its end."""
    draw, done = random.Random(seed), {how.name: 0 for how in SIGNALS}
    counted = {"locks": 0, "studies": 0, "equal_files": 0}
    while not counted["studies"] or sum(done.values()) < kills:
        folder = place / f"killed-{counted['studies']}"
        folder.mkdir(exist_ok=True)
        how = SIGNALS[(sum(done.values()) + 2) % len(SIGNALS)]
        enough = sum(done.values()) == kills
        steps = sys.maxsize if enough else draw.randrange(MOST_STEPS)
        if kill_workflow(folder, steps, draw.uniform(0.0, 3.0), how):
            done[how.name] += 1
            print(f"{how.name} after {steps} steps", file=sys.stderr, flush=True)
            counted["locks"] += unlock(folder, told=counted["locks"] > 0)
            continue
        (folder / "results" / "small" / "plan.tsv").unlink()  # only the workflow makes it
        counted["equal_files"] += compare(reference, folder)
        counted["studies"] += 1
    return {**done, **counted}


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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in the background
    preload()
    with tempfile.TemporaryDirectory(prefix="kills.") as place:
        reference, folder = Path(place, "alone"), Path(place, "killed")
        reference.mkdir()
        folder.mkdir()
        took = undisturbed(reference)
        if workflow:
            done = through_snakemake(Path(place), reference, workflow, seed)
        else:
            done = disturbed(folder, took, kills, seed)
            done["equal_files"] = compare(reference, folder)
    print(json.dumps({"kills": sum(done[how.name] for how in SIGNALS), **done, "seed": seed}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=66)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workflow", type=int, default=0, metavar="KILLS")
    main(**vars(parser.parse_args()))
