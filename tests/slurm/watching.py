"""Snakemake that asks SLURM every second whether a job has ended; takes Snakemake's own arguments.

The plug-in waits ten seconds longer after every look at which no job had ended, up to three minutes, and has
no option against that: right for jobs of hours, but here jobs take seconds. Nothing else is changed.
"""

from __future__ import annotations

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

Executor.next_seconds_between_status_checks = property(lambda executor: 1, lambda executor, seconds: None)

if __name__ == "__main__":
    main()
