# A model of single trials needs to know when they were, too; and so does EEG that is cut into trials.
rule responses:
    input:
        index=at(layout.INDEX),
        events=at(layout.EVENTS) if STUDY.responses.needs_events else [],
    output:
        responses=at(layout.RESPONSES),
    log:
        log_of("responses", "sub-{subject}"),
    benchmark:
        benchmark_of("responses", "sub-{subject}")
    wildcard_constraints:
        subject=one_of(SUBJECTS),
    threads: 1
    resources:
        mem_mb=memory_of("responses", "sub-{subject}"),
        runtime=minutes_of("responses", "sub-{subject}"),
    params:
        config=CONFIG,
        settings=settings_of("responses"),
        code=code_of("responses"),
    shell:
        "neuroalign responses {params.config:q} --subject {wildcards.subject} --log {log:q}"


rule average:
    input:
        responses=expand(at(layout.RESPONSES), subject=SUBJECTS),
    output:
        responses=at(layout.RESPONSES.format(subject=layout.AVERAGE)),
    log:
        log_of("responses", f"sub-{layout.AVERAGE}"),
    benchmark:
        benchmark_of("responses", f"sub-{layout.AVERAGE}")
    threads: 1
    resources:
        mem_mb=memory_of("responses", f"sub-{layout.AVERAGE}"),
        runtime=minutes_of("responses", f"sub-{layout.AVERAGE}"),
    params:
        config=CONFIG,
        subject=layout.AVERAGE,
        settings=settings_of("average"),
        code=code_of("average"),
    shell:
        "neuroalign responses {params.config:q} --subject {params.subject} --log {log:q}"
