"""The whole workflow on a real SLURM of one node: a job killed, a restart, and one that needs more memory.

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
from collections import Counter
from pathlib import Path

from cluster import Cluster, lacking, slurm

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SKIPPED = 77

STARVED, TOO_LITTLE_MB = "report", 60
"""A job whose plan is cut to so little that it cannot run at its first attempt."""

KILLED = "fit"


def snakemake(cluster: Cluster, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the workflow as a user would, on this cluster; only waiting is shortened."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--workflow-profile", str(ROOT / "workflow" / "profiles" / "slurm")),
        *("--directory", str(folder), "--configfile", str(HERE / "study.yaml"), "--nocolor"),
        *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
        *("--seconds-between-status-checks", "1", "--latency-wait", "5", *arguments),
        *("--set-threads", "activations=1", "fit=1", "fit_nuisance=1", "inference=1"),
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


def kill_one(cluster: Cluster, rule: str, process: subprocess.Popen[str], seconds: float = 400) -> str:
    """Wait for a job of a rule to run, and cancel it behind Snakemake's back; SLURM's number of it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        for number, comment in cluster.running().items():
            if comment.startswith(f"rule_{rule}_wildcards"):
                time.sleep(2)  # well inside
                cluster.ask("scancel", number)
                return number
        time.sleep(0.3)
    raise AssertionError(f"no job of rule {rule} came to run")


def starve(folder: Path) -> None:
    """Cut the plan of one job."""
    path = folder / "results" / "small" / "plan.tsv"
    text = path.read_text()
    cut = re.sub(rf"^{STARVED}\t\d+", f"{STARVED}\t{TOO_LITTLE_MB}", text, flags=re.MULTILINE)
    assert cut != text
    path.write_text(cut)


def rule_of(job: dict[str, str]) -> str:
    """The rule that a job of SLURM ran."""
    return job["Comment"].removeprefix("rule_").split("_wildcards_")[0]


def megabytes(job: dict[str, str]) -> float:
    """The memory that a job asked for."""
    found = re.search(r"mem=([\d.]+)([MG])", job["TRES"])
    assert found is not None, job["TRES"]
    return float(found[1]) * (1024 if found[2] == "G" else 1)


def verify(cluster: Cluster, folder: Path, killed: str) -> str:
    """Hold SLURM's own record against the plan; a line that says what ran."""
    jobs = [job for job in cluster.jobs() if "Comment" in job]
    recorded = {job["JobId"]: job["JobState"] for job in cluster.completed()}
    assert len(recorded) >= len(jobs), "jobs are missing in SLURM's record"
    assert recorded[killed] == "CANCELLED", recorded[killed]
    ended = Counter(rule_of(job) for job in jobs if job["JobState"] == "COMPLETED")
    plan = (folder / "results" / "small" / "plan.tsv").read_text().splitlines()[2:]
    names = [line.split("\t")[0] for line in plan]
    planned = Counter(_rule_of_plan(name) for name in names)
    assert ended == planned, f"completed {dict(ended)}, planned {dict(planned)}"
    starved = sorted((job for job in jobs if rule_of(job) == STARVED), key=lambda job: int(job["JobId"]))
    assert len(starved) > 1, f"{STARVED} was not starved"
    assert [job["JobState"] for job in starved] == ["FAILED"] * (len(starved) - 1) + ["COMPLETED"]
    asked = [megabytes(job) for job in starved]
    assert asked == sorted(asked), asked
    assert asked[-1] > 1.5 * asked[0], asked
    bad = [job for job in jobs if job["JobState"] != "COMPLETED" and job["JobId"] != killed]
    assert all(rule_of(job) == STARVED for job in bad), [(rule_of(job), job["JobState"]) for job in bad]
    left = [
        path for path in (folder / "results").rglob("*") if ".partial" in path.name or path.name[:1] == "."
    ]
    left = [path for path in left if path.name != ".snakemake_timestamp"]
    assert not left, left
    assert (folder / "results" / "small" / "report" / "index.html").stat().st_size > 10_000
    attempts = " → ".join(f"{each:.0f} MB" for each in asked)
    return (
        f"{len(jobs)} jobs through SLURM, {sum(ended.values())} completed, 1 cancelled and made anew, "
        f"{STARVED} tried with {attempts}"
    )


def _rule_of_plan(name: str) -> str:
    stage = name.split("/")[0]
    return f"{stage}_nuisance" if "_network-nuisance" in name and stage in ("fit", "summary") else stage


def main(folder: Path) -> None:
    """Run, kill, starve, restart, verify."""
    began = time.monotonic()
    with slurm(folder / "slurm") as cluster:
        first = snakemake(cluster, folder, "--retries", "0")
        try:
            killed = kill_one(cluster, KILLED, first)
            starve(folder)
            assert first.wait(400) != 0, "a cancelled job went unnoticed"
        finally:
            first.kill()
        assert not (folder / "results" / "small" / "report").exists()
        second = snakemake(cluster, folder)
        try:
            status = second.wait(400)
        finally:
            second.kill()
        assert status == 0, f"the restart ended with {status}"
        print(f"{verify(cluster, folder, killed)} ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder, which is not removed")
    given = parser.parse_args()
    if reason := lacking():
        print(f"no SLURM here: {reason}")
        sys.exit(SKIPPED)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # stop SLURM, too
    folder = given.keep or Path(tempfile.mkdtemp(prefix="slurm."))
    folder.mkdir(exist_ok=True)
    try:
        main(folder)
    except BaseException:
        if (folder / "snakemake.log").exists():
            print((folder / "snakemake.log").read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
