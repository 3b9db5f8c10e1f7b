# All layers of a network in one pass. An extraction that was killed goes on where it stopped: its
# finished part lies beside the output, where Snakemake does not remove it.
rule activations:
    input:
        words=at(layout.ITEMS),
        events=at(layout.EVENTS),
    output:
        store=directory(at(layout.ACTIVATIONS)),
    log:
        log_of("activations", "network-{network}"),
    benchmark:
        benchmark_of("activations", "network-{network}")
    wildcard_constraints:
        network=one_of(EXTRACTED),
    threads: 8
    resources:
        mem_mb=memory_of("activations", "network-{network}"),
        runtime=minutes_of("activations", "network-{network}"),
    params:
        config=CONFIG,
        settings=network_settings,
        code=network_code,
        files=network_files,
    shell:
        "neuroalign activations {params.config:q} --network {wildcards.network} --log {log:q}"
