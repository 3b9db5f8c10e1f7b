"""SLURM's own record of its jobs, held against what the plan and the profile promise."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

Job = dict[str, str]


GROUPS = {"events": ("index", "stimuli"), "small": ("group", "maps", "summary", "summary_nuisance")}
"""Rules whose jobs become one job of SLURM, by the group's name; sorted, as SLURM is told of them."""


def rule_of(job: Job) -> str:
    """The rule, or the group of rules, that a job of SLURM ran; empty for a job of nobody's."""
    said = job.get("Comment", "").removeprefix("rule_").split("_wildcards_")[0]
    whole = {"_".join((name, *rules)): name for name, rules in GROUPS.items()}
    return whole.get(said, said)


def megabytes(job: Job) -> float:
    """The memory that a job asked for."""
    found = re.search(r"mem=([\d.]+)([MG])", job.get("ReqTRES") or job["TRES"])
    assert found is not None, job
    return float(found[1]) * (1024 if found[2] == "G" else 1)


def minutes(limit: str) -> int:
    """A time limit as SLURM writes it, such as 00:10:00."""
    hours, minute, _ = limit.split(":")
    return 60 * int(hours) + int(minute)


def planned_rules(folder: Path) -> list[str]:
    """The rule of every job of the plan, whose benchmark Snakemake wrote."""
    root = folder / "results" / "small"
    names = [line.split("\t")[0] for line in (root / "plan.tsv").read_text().splitlines()[2:]]
    lacking = [name for name in names if not (root / "benchmarks" / f"{name}.tsv").exists()]
    assert not lacking, f"never ran: {lacking}"
    return [_rule_of_plan(name) for name in names]


def _rule_of_plan(name: str) -> str:
    stage = name.split("/")[0]
    return f"{stage}_nuisance" if "_network-nuisance" in name and stage in ("fit", "summary") else stage


def of(record: list[Job], folder: Path) -> list[Job]:
    """The jobs that ran in a folder, in the order of their submission."""
    found = [job for job in record if rule_of(job) and Path(job["WorkDir"]) == folder]
    return sorted(found, key=lambda job: int(job["JobId"]))


def verify_study(
    record: list[Job],
    folder: Path,
    killed: str,
    starved: str,
    gpu: str,
) -> str:
    """Assert what is to be seen of a study that was killed once and starved; a line that says what ran."""
    jobs = of(record, folder)
    done = Counter(rule_of(job) for job in jobs if job["JobState"] == "COMPLETED")
    together = {rule for rules in GROUPS.values() for rule in rules}
    planned = Counter(planned_rules(folder))
    alone = Counter({rule: count for rule, count in planned.items() if rule not in together})
    assert done == alone + Counter(GROUPS.keys()), f"completed {dict(done)}, planned {dict(planned)}"
    asked = _starved(jobs, starved)
    bad = [job for job in jobs if job["JobState"] != "COMPLETED" and rule_of(job) != starved]
    assert [(job["JobId"], job["JobState"]) for job in bad] == [(killed, "CANCELLED")], bad
    lent = {rule_of(job) for job in jobs if "gpu" in job.get("TresPerJob", "")}
    assert lent == {gpu}, lent
    assert {job.get("TresPerJob") for job in jobs if rule_of(job) == gpu} <= {"gres:gpu:1", "gres/gpu:1"}
    _clean(folder)
    attempts = " → ".join(f"{each:.0f} MB" for each in asked)
    grouped = planned.total() - alone.total()
    return (
        f"{planned.total()} jobs of the plan in {done.total()} of SLURM, {grouped} of them in 2 groups, "
        f"{alone[gpu]} with a GPU; 1 cancelled and made anew, {starved} tried with {attempts}"
    )


def _starved(jobs: list[Job], rule: str) -> list[float]:
    """Memory of all attempts of a job, of which all but the last failed."""
    found = [job for job in jobs if rule_of(job) == rule]
    assert len(found) > 1, f"{rule} was not starved"
    assert [job["JobState"] for job in found] == ["FAILED"] * (len(found) - 1) + ["COMPLETED"]
    asked = [megabytes(job) for job in found]
    assert asked == sorted(asked), asked
    assert asked[-1] > 1.5 * asked[0], asked
    return asked


def _clean(folder: Path) -> None:
    """Assert that a report is there, and nothing half made."""
    results = folder / "results"
    assert (results / "small" / "report" / "index.html").stat().st_size > 10_000
    left = [path for path in results.rglob("*") if ".partial" in path.name or path.name[:1] == "."]
    left = [path for path in left if path.name != ".snakemake_timestamp"]
    assert not left, left


def verify_late(record: list[Job], folder: Path, rule: str, hanging: Job) -> str:
    """Assert that a job ran out of time, and was tried again with twice as much; a line that says so."""
    jobs = of(record, folder)
    assert {rule_of(job) for job in jobs} == {rule}, jobs
    assert [job["JobState"] for job in jobs] == ["TIMEOUT", "COMPLETED"], [job["JobState"] for job in jobs]
    assert jobs[0]["JobId"] == hanging["JobId"]
    before, after = minutes(hanging["TimeLimit"]), minutes(jobs[1]["TimeLimit"])
    assert after == 2 * before, (before, after)
    return f"{rule} ran out of time (TIMEOUT) and was tried again with {after} instead of {before} minutes"
