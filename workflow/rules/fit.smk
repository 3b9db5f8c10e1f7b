# Every layer by itself, or nuisance and layer as bands.
rule fit:
    input:
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
        beside=BESIDE,
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
        encoder=one_of(ENCODERS_BY_LAYER),
    threads: 1
    resources:
        mem_mb=memory_of("fit", FIT),
        runtime=minutes_of("fit", FIT),
    params:
        config=CONFIG,
        settings=fit_settings,
        code=fit_code,
    shell:
        "neuroalign fit {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"


# All layers at once, fold by fold; training that was killed goes on where it stopped. On a cluster, the
# device "cuda" asks for a GPU.
rule fit_attention:
    input:
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
        beside=BESIDE,
        activations=at(layout.ACTIVATIONS),
    output:
        scores=at(layout.SCORES),
        predictions=at(layout.PREDICTIONS),
    log:
        log_of("fit", FIT),
    benchmark:
        benchmark_of("fit", FIT)
    wildcard_constraints:
        subject=one_of(ATTENDING_ALONE),
        network=one_of(NETWORKS),
        encoder=TOGETHER,
    threads: 4
    resources:
        mem_mb=memory_of("fit", FIT),
        runtime=minutes_of("fit", FIT),
        gpu=GPUS,
    params:
        config=CONFIG,
        settings=fit_settings,
        code=fit_code,
    shell:
        "neuroalign fit {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"


if JOINT:

    rule fit_jointly:
        input:
            responses=expand(at(layout.RESPONSES), subject=SUBJECTS),
            events=at(layout.EVENTS),
            beside=BESIDE,
            activations=at(layout.ACTIVATIONS),
        output:
            scores=expand(at(layout.SCORES), subject=SUBJECTS, encoder=TOGETHER, allow_missing=True),
            predictions=expand(at(layout.PREDICTIONS), subject=SUBJECTS, encoder=TOGETHER, allow_missing=True),
        log:
            log_of("fit", "network-{network}_encoder-" + TOGETHER),
        benchmark:
            benchmark_of("fit", "network-{network}_encoder-" + TOGETHER)
        wildcard_constraints:
            network=one_of(NETWORKS),
        threads: 4
        resources:
            mem_mb=memory_of("fit", "network-{network}_encoder-" + TOGETHER),
            runtime=minutes_of("fit", "network-{network}_encoder-" + TOGETHER),
            gpu=GPUS,
        params:
            config=CONFIG,
            encoder=TOGETHER,
            settings=joint_settings,
            code=joint_code,
        shell:
            "neuroalign joint {params.config:q} --network {wildcards.network} --encoder {params.encoder}"
            " --log {log:q}"


# Both have predicted what is held out; training data say how much of either a target gets.
rule fit_stack:
    input:
        responses=at(layout.RESPONSES),
        events=at(layout.EVENTS),
        beside=BESIDE,
        activations=at(layout.ACTIVATIONS),
        ridge_scores=expand(at(layout.SCORES), encoder="ridge", allow_missing=True),
        parts=expand(at(layout.PREDICTIONS), encoder=["ridge", TOGETHER], allow_missing=True),
    output:
        scores=at(layout.SCORES),
        predictions=at(layout.PREDICTIONS),
    log:
        log_of("fit", FIT),
    benchmark:
        benchmark_of("fit", FIT)
    wildcard_constraints:
        network=one_of(NETWORKS),
        encoder="stack",
    threads: 1
    resources:
        mem_mb=memory_of("fit", FIT),
        runtime=minutes_of("fit", FIT),
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
        beside=BESIDE,
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
        mem_mb=memory_of("fit", FIT),
        runtime=minutes_of("fit", FIT),
    params:
        config=CONFIG,
        settings=fit_settings,
        code=fit_code,
    shell:
        "neuroalign fit {params.config:q} --subject {wildcards.subject} --network {wildcards.network}"
        " --encoder {wildcards.encoder} --log {log:q}"
