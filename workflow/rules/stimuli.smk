rule stimuli:
    input:
        index=at(layout.INDEX),
    output:
        words=at(layout.ITEMS),
        events=at(layout.EVENTS),
    log:
        log_of("stimuli"),
    benchmark:
        benchmark_of("stimuli")
    threads: 1
    resources:
        mem_mb=memory_of("stimuli"),
        runtime=minutes_of("stimuli"),
    params:
        config=CONFIG,
        settings=settings_of("stimuli"),
        code=code_of("stimuli"),
        files=stimulus_files,
    shell:
        "neuroalign stimuli {params.config:q} --log {log:q}"
