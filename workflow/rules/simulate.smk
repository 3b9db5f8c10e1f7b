if STUDY.simulate:

    rule simulate:
        output:
            dataset=SIMULATED,
        log:
            log_of("simulate"),
        benchmark:
            benchmark_of("simulate")
        threads: 2
        resources:
            mem_mb=memory_of("simulate"),
            runtime=minutes_of("simulate"),
        params:
            config=CONFIG,
            out=dataset_folder,
            settings=settings_of("simulate"),
            code=simulation_code(),
            files=simulation_files,
        shell:
            "neuroalign simulate {params.out:q} --config {params.config:q} --log {log:q}"
