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
        mem_mb=2000,
        runtime=30,
    params:
        config=CONFIG,
        settings=settings_of("index"),
        code=code_of("index"),
    shell:
        "neuroalign index {params.config:q} --log {log:q}"
