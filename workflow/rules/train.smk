# One training. Only run.json is declared, which is written last: on a failure Snakemake deletes what is
# declared, and checkpoints (state/) and what a run has logged so far must survive it.


rule train:
    output:
        "results/runs/{run}/run.json",
    log:
        "state/logs/{run}.log",
    threads: lambda wildcards: PLAN.runs[wildcards.run].threads
    resources:
        gpu_parts=lambda wildcards: gpu_parts(PLAN.runs[wildcards.run]),
    params:
        command=lambda wildcards: sagan("train", PLAN.runs[wildcards.run], wildcards.run),
    shell:
        "{params.command}"
