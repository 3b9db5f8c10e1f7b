"""A real SLURM of one node on this machine, all of it inside one folder: started in seconds, then gone.

It listens on ports of its own, so that it disturbs no other. Memory is enforced by SLURM's own accounting
of processes, which needs no cgroups; there is no database, as on many small clusters, and the record of
finished jobs is a text file. The node's GPU is one in name only: SLURM lends it, and nobody computes on it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGES = "slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins"
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
GresTypes=gpu
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
EnforcePartLimits=ALL
MinJobAge=3600
KillWait=2
CompleteWait=0
ReturnToService=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:1 State=UNKNOWN
PartitionName=test Nodes={host} Default=YES MaxTime=60 State=UP
"""


class NotStarted(RuntimeError):
    """SLURM is installed, but cannot run here."""


@dataclass(frozen=True)
class Cluster:
    """A running SLURM.

    Attributes
    ----------
    folder : Path
        Configuration, logs and the record of jobs.
    """

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to talk to it."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """The output of a SLURM command."""
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=30
        ).stdout

    def jobs(self) -> list[dict[str, str]]:
        """Every job that SLURM knows of, as `scontrol show job` says it."""
        text = self.ask("scontrol", "--oneliner", "show", "jobs")
        return [_fields(line) for line in text.splitlines() if line.startswith("JobId=")]

    def record(self) -> list[dict[str, str]]:
        """Every job, with the end that SLURM wrote down when it ended."""
        lines = (self.folder / "jobs.txt").read_text(encoding="utf-8").splitlines()
        ended = {job["JobId"]: job["JobState"] for job in map(_fields, lines)}
        return [{**job, "JobState": ended[job["JobId"]]} for job in self.jobs()]


def _fields(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in line.split() if "=" in part)


def lacking() -> str | None:
    """Why there can be no SLURM here, or None."""
    if os.geteuid():
        return "not root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (apt-get install {PACKAGES})" if missing else None


@contextmanager
def slurm(folder: Path, cpus: int = 4, memory_mb: int = 12000) -> Iterator[Cluster]:
    """Start SLURM in `folder`, wait until its node is idle, stop it at the end; perhaps `NotStarted`."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    ports = _free_ports(2)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(
        CONF.format(host=host, folder=folder, ports=ports, cpus=cpus, memory_mb=memory_mb)
    )
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu Count=1 File=/dev/null\n")
    # Within a job the variables of SLURM are taken away from srun, this one too: it is told again.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    cluster = Cluster(folder)
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        with (folder / f"{command[0]}.out").open("wb") as out:
            started.append(
                subprocess.Popen(command, env=cluster.environment, stdout=out, stderr=subprocess.STDOUT)
            )

    try:
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        start("munged", "--foreground", "--force", *_munge_files(folder))
        _until(lambda: (folder / "munge.socket").exists(), "munged", folder)
        start("slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        start("slurmd", "-D", "-f", str(folder / "slurm.conf"), "-N", host)
        _until(lambda: _idle(cluster), "slurmctld and slurmd", folder)
        yield cluster
    finally:
        _cancel_all(cluster)
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _cancel_all(cluster: Cluster) -> None:
    """Leave no job behind, whose processes would outlive the cluster."""
    try:
        cluster.ask("scancel", "--user=root")
        end = time.monotonic() + 60
        while cluster.ask("squeue", "--noheader").strip() and time.monotonic() < end:
            time.sleep(0.2)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pass  # it never ran


def _munge_files(folder: Path) -> list[str]:
    names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return [f"--{option}={folder}/munge.{name}" for option, name in names.items()]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _idle(cluster: Cluster) -> bool:
    try:
        return cluster.ask("sinfo", "--noheader", "--format=%t").strip() == "idle"
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False


def _until(condition, what: str, folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in folder.glob("*.log"))
            raise NotStarted(f"{what} did not start within {seconds:g} s:\n{logs}")
        time.sleep(0.2)
