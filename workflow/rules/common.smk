# What the rules share: how a job is started, and what it may use.

import os
import sys

# GPUs that the launcher found; 0 on a machine without one. A cluster's profile sets it too.
GPUS = int(config.get("gpus", 0))


def sagan(verb, spec, key):
    """The shell command of one job. Numerical libraries get the job's threads and no more."""
    threads = spec.execution["threads"]
    limits = " ".join(f"{name}={threads}" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"))
    return f"{limits} {sys.executable} -m sagan {verb} {key} --plan {PLAN_FILE}"


def gpus(spec):
    return 0 if spec.execution["device"] == "cpu" else min(GPUS, 1)
