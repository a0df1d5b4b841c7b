# One finished run measured against one reference. The inputs are ancient: under a key nothing goes stale.


rule evaluate:
    input:
        run=lambda wildcards: ancient(f"results/runs/{PLAN.evaluations[wildcards.evaluation].run}/run.json"),
        reference=lambda wildcards: ancient(
            f"results/references/{PLAN.evaluations[wildcards.evaluation].reference}/reference.json"
        ),
    output:
        "results/evaluations/{evaluation}/metrics.json",
    log:
        "state/logs/{evaluation}.log",
    threads: lambda wildcards: PLAN.evaluations[wildcards.evaluation].threads
    resources:
        gpu_parts=lambda wildcards: gpu_parts(PLAN.evaluations[wildcards.evaluation]),
    priority: 50
    params:
        command=lambda wildcards: sagan("evaluate", PLAN.evaluations[wildcards.evaluation], wildcards.evaluation),
    shell:
        "{params.command}"
