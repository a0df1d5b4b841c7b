# The real side of every comparison: statistics of real images, and the classifier where one is trained.


rule reference:
    output:
        "results/references/{reference}/reference.json",
    log:
        "state/logs/{reference}.log",
    threads: lambda wildcards: PLAN.references[wildcards.reference].threads
    resources:
        gpu_parts=lambda wildcards: gpu_parts(PLAN.references[wildcards.reference]),
    priority: 100
    params:
        command=lambda wildcards: sagan("reference", PLAN.references[wildcards.reference], wildcards.reference),
    shell:
        "{params.command}"
