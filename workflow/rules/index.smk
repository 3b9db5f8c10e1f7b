rule index:
    input:
        simulated=SIMULATED,
    output:
        index=at(layout.INDEX),
    log:
        log_of("index"),
    benchmark:
        benchmark_of("index")
    threads: 1
    resources:
        mem_mb=memory_of("index"),
        runtime=minutes_of("index"),
    params:
        config=CONFIG,
        settings=settings_of("index"),
        code=code_of("index"),
    shell:
        "neuroalign index {params.config:q} --log {log:q}"
