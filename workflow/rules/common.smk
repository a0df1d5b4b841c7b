# What the rules share: how a job is started, and what it may use.

import sys

# GPUs that the launcher found; 0 on a machine without one. A cluster's profile asks for them with set-resources.
GPUS = int(config.get("gpus", 0))


def sagan(verb, spec, key):
    """The shell command of one job. Numerical libraries get the job's threads and no more.

    The log's last line says how a job left that did not end well, also where it was killed and could not say so.
    """
    threads = spec.threads
    limits = " ".join(f"{name}={threads}" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"))
    # Large tensors lie in huge pages, and stay with the process: on a CPU a 64-pixel step takes a tenth less.
    tunables = {"hugetlb": 1, "mmap_threshold": 2**33, "trim_threshold": 2**33}
    limits += " GLIBC_TUNABLES=" + ":".join(f"glibc.malloc.{name}={value}" for name, value in tunables.items())
    log = f"state/logs/{key}.log"
    return (
        f"{limits} {sys.executable} -m sagan {verb} {key} --plan {PLAN_FILE} > {log} 2>&1 "
        f'|| {{ code=$?; echo "{verb} left with exit code $code" >> {log}; exit $code; }}'
    )


def gpu_parts(spec):
    """A job's part of a GPU, in sixtieths: `execution.jobs_per_gpu` of them share one."""
    return 0 if spec.execution["device"] == "cpu" or GPUS == 0 else 60 // spec.execution["jobs_per_gpu"]
