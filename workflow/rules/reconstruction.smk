# From recordings back to stimuli, of continuous EEG and MEG.
rule reconstruction:
    input:
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
        beside=BESIDE,
        activations=at(layout.ACTIVATIONS),
    output:
        reconstruction=at(layout.RECONSTRUCTION),
    log:
        log_of("reconstruction", "sub-{subject}_network-{network}"),
    benchmark:
        benchmark_of("reconstruction", "sub-{subject}_network-{network}")
    wildcard_constraints:
        network=one_of(NETWORKS),
    threads: 1
    resources:
        mem_mb=memory_of("reconstruction", "sub-{subject}_network-{network}"),
        runtime=minutes_of("reconstruction", "sub-{subject}_network-{network}"),
    params:
        config=CONFIG,
        settings=settings_of("reconstruction"),
        code=code_of("reconstruction"),
    shell:
        "neuroalign reconstruction {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --log {log:q}"
