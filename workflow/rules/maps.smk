rule maps:
    input:
        summaries=places.summary_files(STUDY),
        prompts=places.prompt_files(STUDY),
    output:
        maps=directory(at(layout.MAPS)),
    log:
        log_of("maps"),
    benchmark:
        benchmark_of("maps")
    threads: 1
    resources:
        mem_mb=memory_of("maps"),
        runtime=minutes_of("maps"),
    params:
        config=CONFIG,
        settings=settings_of("maps"),
        code=code_of("maps"),
    shell:
        "neuroalign maps {params.config:q} --log {log:q}"
