# What the rules share: how a job is started, and what it may use.

import sys

from workflow.warm import environment

# GPUs that the launcher found; 0 on a machine without one. A cluster's profile asks for them with set-resources.
GPUS = int(config.get("gpus", 0))


# Where jobs are forked from, if the launcher has made such a place.
WARM = config.get("warm")


def sagan(verb, spec, key):
    """The shell command of one job.

    The log's last line says how a job left that did not end well, also where it was killed and could not say so.
    """
    settings = " ".join(f"{name}={value}" for name, value in environment(spec.threads).items())
    start = f"-I -S workflow/warm.py {WARM}" if WARM and spec.threads == 1 else "-m sagan"
    log = f"state/logs/{key}.log"
    return (
        f"{settings} {sys.executable} {start} {verb} {key} --plan {PLAN_FILE} > {log} 2>&1 "
        f'|| {{ code=$?; echo "{verb} left with exit code $code" >> {log}; exit $code; }}'
    )


def gpu_parts(spec):
    """A job's part of a GPU, in sixtieths."""
    return 0 if spec.execution["device"] == "cpu" or GPUS == 0 else 60
