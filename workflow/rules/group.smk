rule group:
    input:
        summaries=expand(at(layout.SUMMARY), subject=SUBJECTS, allow_missing=True),
        tests=tests_of_group,
    output:
        group=at(layout.GROUP),
    log:
        log_of("group", "network-{network}_encoder-{encoder}"),
    benchmark:
        benchmark_of("group", "network-{network}_encoder-{encoder}")
    threads: 1
    resources:
        mem_mb=memory_of("group", "network-{network}_encoder-{encoder}"),
        runtime=minutes_of("group", "network-{network}_encoder-{encoder}"),
    params:
        config=CONFIG,
        settings=settings_of("group"),
        code=code_of("group"),
    shell:
        "neuroalign group {params.config:q} --network {wildcards.network} --encoder {wildcards.encoder} --log {log:q}"
