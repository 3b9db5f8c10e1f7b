# The prompts of a network beside each other: which one targets prefer, and what is unique to each.
rule prompts:
    input:
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
        beside=BESIDE,
        activations=of_conditions(layout.ACTIVATIONS),
        scores=of_conditions(layout.SCORES),
        predictions=of_conditions(layout.PREDICTIONS),
    output:
        prompts=at(layout.PROMPTS),
    log:
        log_of("prompts", "sub-{subject}_network-{network}"),
    benchmark:
        benchmark_of("prompts", "sub-{subject}_network-{network}")
    wildcard_constraints:
        network=one_of(PROMPTED),
    threads: 1
    resources:
        mem_mb=memory_of("prompts", "sub-{subject}_network-{network}"),
        runtime=minutes_of("prompts", "sub-{subject}_network-{network}"),
    params:
        config=CONFIG,
        settings=settings_of("prompts"),
        code=code_of("prompts"),
    shell:
        "neuroalign prompts {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --log {log:q}"


rule prompts_group:
    input:
        prompts=expand(at(layout.PROMPTS), subject=SUBJECTS, allow_missing=True),
    output:
        group=at(layout.PROMPTS_GROUP),
    log:
        log_of("prompts", "group_network-{network}"),
    benchmark:
        benchmark_of("prompts", "group_network-{network}")
    wildcard_constraints:
        network=one_of(PROMPTED),
    threads: 1
    resources:
        mem_mb=memory_of("prompts", "group_network-{network}"),
        runtime=minutes_of("prompts", "group_network-{network}"),
    params:
        config=CONFIG,
        settings=settings_of("prompts_group"),
        code=code_of("prompts_group"),
    shell:
        "neuroalign prompts_group {params.config:q} --network {wildcards.network} --log {log:q}"
