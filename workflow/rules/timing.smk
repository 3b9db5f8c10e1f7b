# When each layer predicts epochs of EEG and MEG; asked for where responses are epochs.
rule timing:
    input:
        scores=at(layout.SCORES),
        predictions=at(layout.PREDICTIONS),
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
    output:
        timing=at(layout.TIMING),
    log:
        log_of("timing", FIT),
    benchmark:
        benchmark_of("timing", FIT)
    threads: 1
    resources:
        mem_mb=memory_of("timing", FIT),
        runtime=minutes_of("timing", FIT),
    params:
        config=CONFIG,
        settings=settings_of("timing"),
        code=code_of("timing"),
    shell:
        "neuroalign timing {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"


rule timing_group:
    input:
        timings=expand(at(layout.TIMING), subject=SUBJECTS, allow_missing=True),
    output:
        group=at(layout.TIMING_GROUP),
    log:
        log_of("timing", "group_network-{network}_encoder-{encoder}"),
    benchmark:
        benchmark_of("timing", "group_network-{network}_encoder-{encoder}")
    threads: 1
    resources:
        mem_mb=memory_of("timing", "group_network-{network}_encoder-{encoder}"),
        runtime=minutes_of("timing", "group_network-{network}_encoder-{encoder}"),
    params:
        config=CONFIG,
        settings=settings_of("timing_group"),
        code=code_of("timing_group"),
    shell:
        "neuroalign timing_group {params.config:q} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"
