"""The whole workflow on a real SLURM of one node: jobs that are killed, starved, late or ask for a GPU.

make test-slurm

Everything lies in a temporary folder that is removed at the end; with `--keep FOLDER` it stays. Exit status
0: all is well; 77: there can be no SLURM here, and why is printed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cluster import Cluster, NotStarted, lacking, slurm
from record import GROUPS, rule_of, verify_late, verify_study

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SKIPPED = 77

STARVED, TOO_LITTLE_MB = "report", -200
"""A job whose plan is cut to so little that it cannot run at its first attempt; less than nothing, since
Snakemake's own share is added, and SLURM without cgroups holds the limit against single steps of a job."""

KILLED = "fit"
LATE = "simulate"
"""A job that is stopped with a minute left, in a run of its own beside the other."""

ON_GPU = "activations"


def snakemake(cluster: Cluster, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the workflow as a user would, on this cluster; only waiting is shortened."""
    folder.mkdir(exist_ok=True)
    command = [
        *(sys.executable, str(HERE / "watching.py"), "--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm")),
        *("--directory", str(folder), "--configfile", str(HERE / "study.yaml"), "--nocolor"),
        *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
        *("--latency-wait", "5", *arguments),
        *("--set-threads", "activations=1", "fit=1", "fit_nuisance=1", "inference=1", "simulate=1"),
        *("--set-resources", f"{ON_GPU}:gpu=1"),
        *("--groups", *(f"{rule}={name}" for name, rules in GROUPS.items() for rule in rules)),
    ]
    environment = {
        **cluster.environment,
        "PATH": f"{cluster.environment['PATH']}{os.pathsep}{Path(sys.executable).parent}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    output = (folder / "snakemake.log").open("a")
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
    )


def wait_for(cluster: Cluster, rule: str, folder: Path, process: subprocess.Popen[str]) -> dict[str, str]:
    """Wait until a job of a rule runs; how SLURM describes it."""
    end = time.monotonic() + 400
    while time.monotonic() < end and process.poll() is None:
        for job in cluster.jobs():
            if job["JobState"] == "RUNNING" and rule_of(job) == rule and Path(job["WorkDir"]) == folder:
                return job
        time.sleep(0.3)
    raise AssertionError(f"no job of rule {rule} came to run")


def make_late(cluster: Cluster, job: dict[str, str]) -> None:
    """Let a job hang once its step runs, with the shortest time that SLURM knows."""
    cluster.ask("scontrol", "update", f"JobId={job['JobId']}", "TimeLimit=1")
    step = f"{job['JobId']}.0"
    while step not in cluster.ask("squeue", "--steps", "--noheader", "--format=%i").split():
        time.sleep(0.2)
    time.sleep(1)  # its processes are there, and do not yet compute
    cluster.ask("scancel", "--signal=STOP", "--full", job["JobId"])


def starve(folder: Path) -> None:
    """Cut the plan of one job."""
    path = folder / "results" / "small" / "plan.tsv"
    text = path.read_text()
    cut = re.sub(rf"^{STARVED}\t\d+", f"{STARVED}\t{TOO_LITTLE_MB}", text, flags=re.MULTILINE)
    assert cut != text
    path.write_text(cut)


def finished(process: subprocess.Popen[str], seconds: float = 400) -> int:
    """The exit status of Snakemake, which does not outlive this."""
    try:
        return process.wait(seconds)
    finally:
        process.kill()


def main(folder: Path) -> None:
    """Run one study through a kill, a restart and hunger; beside it a job that runs out of time."""
    began = time.monotonic()
    study, late = folder / "study", folder / "late"
    with slurm(folder / "slurm") as cluster:
        first = snakemake(cluster, study, "--retries", "0")
        beside = snakemake(cluster, late, "--until", LATE)
        try:
            hanging = wait_for(cluster, LATE, late, beside)
            make_late(cluster, hanging)
            killed = wait_for(cluster, KILLED, study, first)["JobId"]
            time.sleep(1)  # well inside
            cluster.ask("scancel", killed)
            starve(study)
            assert finished(first) != 0, "a cancelled job went unnoticed"
            assert not (study / "results" / "small" / "report").exists()
            status = finished(snakemake(cluster, study))
            assert status == 0, f"the restart ended with {status}"
            status = finished(beside)
            assert status == 0, f"the late run ended with {status}"
        finally:
            first.kill()
            beside.kill()
        record = cluster.record()
    print(verify_study(record, study, killed, STARVED, ON_GPU))
    print(verify_late(record, late, LATE, hanging))
    print(f"SLURM: all is well, after {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder, which is not removed")
    given = parser.parse_args()
    if reason := lacking():
        print(f"no SLURM here: {reason}")
        sys.exit(SKIPPED)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # stop SLURM, too
    folder = (given.keep or Path(tempfile.mkdtemp(prefix="slurm."))).resolve()
    folder.mkdir(exist_ok=True)
    try:
        main(folder)
    except NotStarted as reason:
        print(f"no SLURM here: {reason}")
        sys.exit(SKIPPED)
    except BaseException:
        for log in folder.glob("*/snakemake.log"):
            print(f"{log}:\n{log.read_text()[-4000:]}", file=sys.stderr)
        raise
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
