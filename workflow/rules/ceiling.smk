rule ceiling:
    input:
        responses=expand(at(layout.RESPONSES), subject=FITTED_SUBJECTS),
        events=at(layout.EVENTS),
    output:
        ceilings=expand(at(layout.CEILING), subject=FITTED_SUBJECTS),
    log:
        log_of("ceiling"),
    benchmark:
        benchmark_of("ceiling")
    threads: 2
    resources:
        mem_mb=memory_of("ceiling"),
        runtime=minutes_of("ceiling"),
    params:
        config=CONFIG,
        settings=settings_of("ceiling"),
        code=code_of("ceiling"),
    shell:
        "neuroalign ceiling {params.config:q} --log {log:q}"
