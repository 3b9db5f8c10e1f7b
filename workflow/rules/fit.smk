rule fit:
    input:
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
        activations=at(layout.ACTIVATIONS),
    output:
        scores=at(layout.SCORES),
        predictions=at(layout.PREDICTIONS),
    log:
        log_of("fit", FIT),
    benchmark:
        benchmark_of("fit", FIT)
    wildcard_constraints:
        network=one_of(NETWORKS),
    threads: 1
    resources:
        mem_mb=16000,
        runtime=240,
    params:
        config=CONFIG,
        settings=fit_settings,
        code=fit_code,
    shell:
        "neuroalign fit {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"


# The control that every network is measured against needs no activations.
rule fit_nuisance:
    input:
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
    output:
        scores=at(layout.SCORES),
        predictions=at(layout.PREDICTIONS),
    log:
        log_of("fit", FIT),
    benchmark:
        benchmark_of("fit", FIT)
    wildcard_constraints:
        network=one_of(CONTROLS),
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        config=CONFIG,
        settings=fit_settings,
        code=fit_code,
    shell:
        "neuroalign fit {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"
