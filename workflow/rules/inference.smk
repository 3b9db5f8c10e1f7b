rule inference:
    input:
        predictions=at(layout.PREDICTIONS),
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
    output:
        inference=at(layout.INFERENCE),
    log:
        log_of("inference", FIT),
    benchmark:
        benchmark_of("inference", FIT)
    wildcard_constraints:
        network=one_of(NETWORKS),
    threads: 2
    resources:
        mem_mb=memory_of("inference", FIT),
        runtime=minutes_of("inference", FIT),
    params:
        config=CONFIG,
        settings=settings_of("inference"),
        code=code_of("inference"),
    shell:
        "neuroalign inference {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"
