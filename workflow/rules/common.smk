"""What the rules share: places of artefacts, and the digests that make a rule run again."""


def at(pattern):
    """A pattern of `layout` below the output folder; its wildcards stay."""
    return f"{OUT}/{pattern}"


def log_of(*parts):
    return at(f"logs/{'/'.join(parts)}.log")


def benchmark_of(*parts):
    return at(f"benchmarks/{'/'.join(parts)}.tsv")


def memory_of(*parts):
    """What a job asks for, by the plan; more at every attempt."""

    def planned(wildcards, attempt):
        return PLAN.memory_mb("/".join(parts).format(**wildcards), attempt)

    return planned


def minutes_of(*parts):
    """How long a job may take, by the plan; longer at every attempt."""

    def planned(wildcards, attempt):
        return PLAN.minutes("/".join(parts).format(**wildcards), attempt)

    return planned


def dataset_folder(wildcards):
    return STUDY.dataset.path


def settings_of(stage):
    """Digest of the settings that a stage reads: changing another key leaves it alone."""
    return triggers.settings_digest(STUDY, stage)


def code_of(stage):
    """Digest of the sources that a stage runs."""
    return triggers.code_digest(stage)


def simulation_code():
    planted = next(iter(STUDY.conditions().values()))
    return triggers.code_digest("simulate", family=planted.family, kind=STUDY.simulate.kind)


def network_settings(wildcards):
    return triggers.settings_digest(STUDY, "activations", wildcards.network)


def network_files(wildcards):
    return triggers.network_digest(STUDY, wildcards.network)


def simulation_files(wildcards):
    return triggers.network_digest(STUDY)


def stimulus_files(wildcards):
    return triggers.stimuli_digest(STUDY)


def network_code(wildcards):
    family = STUDY.all_networks()[wildcards.network].family
    return triggers.code_digest("activations", family=family)


def fit_settings(wildcards):
    return triggers.settings_digest(STUDY, "fit", encoder=wildcards.encoder)


def fit_code(wildcards):
    return triggers.code_digest("fit", wildcards.encoder)


def joint_settings(wildcards):
    return triggers.settings_digest(STUDY, "fit", encoder=TOGETHER)


def joint_code(wildcards):
    return triggers.code_digest("fit", TOGETHER)


def conditions_of(wildcards):
    """Names that a network has under its prompts."""
    return list(STUDY.compared_prompts()[wildcards.network].values())


def of_conditions(pattern):
    """Files of a network under all of its prompts, as fitted by ridge regression."""

    def files(wildcards):
        return [
            at(pattern).format(subject=wildcards.subject, network=name, encoder=asked.COMPARED)
            for name in conditions_of(wildcards)
        ]

    return files


def tests_of_group(wildcards):
    """Files with the nulls of all subjects, where the group is corrected by neighbours."""
    if not asked.group_opens_tests(STUDY, wildcards.network):
        return []
    return expand(
        at(layout.INFERENCE), subject=SUBJECTS, network=wildcards.network, encoder=wildcards.encoder
    )


def one_of(names):
    """A wildcard constraint: one of these names and nothing else."""
    return "|".join(names) or "(?!)"


# One network for all subjects: their jobs of this encoder become one. The mean subject keeps its own.
TOGETHER = "cross_attention"
JOINT = STUDY.cross_attention.universal and TOGETHER in STUDY.encoders
GPUS = 1 if STUDY.cross_attention.device == "cuda" else 0
FITTED_SUBJECTS = asked.subjects(STUDY)
ATTENDING_ALONE = [name for name in FITTED_SUBJECTS if not JOINT or name not in SUBJECTS]
ENCODERS_BY_LAYER = [name for name in STUDY.encoders if name in triggers.BY_LAYER]
EXTRACTED = list(STUDY.all_networks())
NETWORKS = list(STUDY.fitted_networks())
PROMPTED = asked.prompted_networks(STUDY)
BESIDE = expand(at(layout.ACTIVATIONS), network=STUDY.design.nuisance.networks)
CONTROLS = [name for name in asked.networks(STUDY) if name not in NETWORKS]
SIMULATED = [f"{STUDY.dataset.path}/dataset_description.json"] if STUDY.simulate else []
FIT = "sub-{subject}_network-{network}_encoder-{encoder}"
