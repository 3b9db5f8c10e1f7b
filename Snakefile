"""Which layer of which network predicts each place in the brain: the way from data to report.

snakemake --cores 2                                     the demonstration, config/config.yaml
snakemake --cores 8 --configfile my_study.yaml          a study of your own
"""

import subprocess
import sys

from neuroalign.artefacts import layout
from neuroalign.provenance import triggers
from neuroalign.settings.configfile import parse as parse_config
from neuroalign.errors import NeuroalignError
from neuroalign.planning.table import Plan, plan_digest, plan_path
from neuroalign.stages import asked, places, starting

# A config given by the user replaces the demonstration; merging the two would mix their studies.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


try:
    STUDY = parse_config(config, name=", ".join(map(str, workflow.configfiles)))
    SUBJECTS = STUDY.subjects()
except NeuroalignError as error:
    print(f"neuroalign: error: {error}", file=sys.stderr)
    sys.exit(2)

starting.find_command()
OUT = STUDY.output
CONFIG = f"{OUT}/{layout.CONFIG}"
PLAN = Plan(plan_path(STUDY), plan_digest(STUDY, SUBJECTS))


# Not in a dry run, and not where nothing is left to do.
onstart:
    starting.save_config(STUDY)
    if subprocess.run(["neuroalign", "check", CONFIG, "--to-be-simulated"]).returncode:
        sys.exit(2)
    if not PLAN.needs:
        subprocess.run(["neuroalign", "plan", CONFIG, "--quiet"])


wildcard_constraints:
    subject="[A-Za-z0-9]+",
    network="[A-Za-z0-9]+",
    encoder="[a-z_]+",


rule all:
    default_target: True
    input:
        report=f"{OUT}/{layout.REPORT}/index.html",
        timing=places.timing_files(STUDY),


include: "workflow/rules/common.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/index.smk"
include: "workflow/rules/stimuli.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/responses.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/ceiling.smk"
include: "workflow/rules/inference.smk"
include: "workflow/rules/summary.smk"
include: "workflow/rules/group.smk"
include: "workflow/rules/timing.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/reconstruction.smk"
include: "workflow/rules/maps.smk"
include: "workflow/rules/report.smk"
