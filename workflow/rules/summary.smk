rule summary:
    input:
        scores=at(layout.SCORES),
        nuisance=expand(at(layout.SCORES), network=CONTROLS, allow_missing=True),
        inference=at(layout.INFERENCE),
        ceiling=at(layout.CEILING),
    output:
        summary=at(layout.SUMMARY),
    log:
        log_of("summary", FIT),
    benchmark:
        benchmark_of("summary", FIT)
    wildcard_constraints:
        network=one_of(NETWORKS),
    threads: 1
    resources:
        mem_mb=memory_of("summary", FIT),
        runtime=minutes_of("summary", FIT),
    params:
        config=CONFIG,
        settings=settings_of("summary"),
        code=code_of("summary"),
    shell:
        "neuroalign summary {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"


rule summary_nuisance:
    input:
        scores=at(layout.SCORES),
        ceiling=at(layout.CEILING),
    output:
        summary=at(layout.SUMMARY),
    log:
        log_of("summary", FIT),
    benchmark:
        benchmark_of("summary", FIT)
    wildcard_constraints:
        network=one_of(CONTROLS),
    threads: 1
    resources:
        mem_mb=memory_of("summary", FIT),
        runtime=minutes_of("summary", FIT),
    params:
        config=CONFIG,
        settings=settings_of("summary"),
        code=code_of("summary"),
    shell:
        "neuroalign summary {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"
