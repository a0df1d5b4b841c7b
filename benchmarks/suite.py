"""What DVC, Snakemake and MLflow add to a suite's time: `dvc repro` against the same jobs in bare loops.

    python benchmarks/suite.py [--suite quick] [--steps N] [--seeds N] [--folder DIR]

Both work in clones of their own, from nothing to the report, with as many jobs at a time as there are cores for.
The bare one starts each verb of `sagan` by itself: data, plan, references, then each run's training and measurement,
and the report. Wants a machine that nothing else uses; `--steps` and `--seeds` make the suite
smaller, to try this program.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
SAGAN = (sys.executable, "-m", "sagan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="quick")
    parser.add_argument("--steps", type=int, help="of each training, instead of the suite's")
    parser.add_argument("--seeds", type=int, help="instead of the suite's")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="sagan-suite-"))
    print(f"{len(os.sched_getaffinity(0))} cores, load before: {os.getloadavg()[0]:.1f}; works in {folder}", flush=True)
    bare, tools = folder / "bare", folder / "tools"
    for clone in (bare, tools):
        make_clone(clone, arguments.suite, arguments.steps, arguments.seeds)
    bare_wall, bare_cpu = timed("bare loops", lambda: run_bare(bare, arguments.suite))
    wall, cpu = timed("dvc repro", lambda: run(tools, sys.executable, "-m", "dvc", "repro"))
    print(f"the tools add {100 * (wall / bare_wall - 1):.1f} % of wall time, {100 * (cpu / bare_cpu - 1):.1f} % of CPU")


def make_clone(folder: Path, suite: str, steps: int | None, seeds: int | None) -> None:
    """The commit's files, without what was made before, and with this suite alone to build."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    (folder / "dvc.lock").unlink(missing_ok=True)
    # Originals that were brought here; the suite's dataset may need them.
    if (ROOT / "originals").exists():
        (folder / "originals").symlink_to(ROOT / "originals")
    yaml = YAML()
    tree = yaml.load(folder / "params.yaml")
    tree["repro"] = [suite]
    if steps is not None:
        tree["suites"][suite]["training"]["steps"] = steps
    if seeds is not None:
        tree["suites"][suite]["seeds"] = seeds
    yaml.dump(tree, folder / "params.yaml")


def run_bare(folder: Path, suite: str) -> None:
    run(folder, *SAGAN, "data")
    run(folder, *SAGAN, "plan", "--out", "plan.json")
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    threads = next(iter(plan["runs"].values()))["config"]["training"]["threads"]
    with_plan = ("--plan", "plan.json")
    for key in plan["references"]:
        run(folder, *SAGAN, "reference", key, *with_plan)

    def train_and_measure(key: str) -> None:
        run(folder, *SAGAN, "train", key, *with_plan)
        for evaluation in (k for k, spec in plan["evaluations"].items() if spec["run"] == key):
            run(folder, *SAGAN, "evaluate", evaluation, *with_plan)

    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)) // threads)) as pool:
        list(pool.map(train_and_measure, plan["runs"]))
    run(folder, *SAGAN, "report")


def run(folder: Path, *command: str) -> None:
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | limits | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} left with {done.returncode}:\n{done.stdout.decode(errors='replace')[-3000:]}")


def timed(what: str, work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds (user and system, of all processes below this one)."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {wall:.1f} s, CPU {cpu:.1f} s", flush=True)
    return wall, cpu


if __name__ == "__main__":
    main()
