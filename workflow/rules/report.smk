rule report:
    input:
        summaries=places.summary_files(STUDY),
        prompts=places.prompt_files(STUDY),
        reconstructions=places.reconstruction_files(STUDY),
        timing=places.timing_files(STUDY),
        maps=at(layout.MAPS),
        simulated=SIMULATED,
    output:
        page=at(f"{layout.REPORT}/index.html"),
        tables=directory(at(f"{layout.REPORT}/tables")),
    log:
        log_of("report"),
    benchmark:
        benchmark_of("report")
    threads: 1
    resources:
        mem_mb=memory_of("report"),
        runtime=minutes_of("report"),
    params:
        config=CONFIG,
        settings=settings_of("report"),
        code=code_of("report"),
    shell:
        "neuroalign report {params.config:q} --log {log:q}"
