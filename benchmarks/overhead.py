"""How planning, Snakemake, the launcher's checks and the report grow with the number of runs; a fake trainer.

    python benchmarks/overhead.py [--runs 50 500 5000] [--folder DIR] [--jobs N]

Each size gets a folder of its own with this clone's code, one dataset's manifest and a suite of that many runs.
The trainer and the measurement are fake: their records are copies of a made-up one under the keys of the plan.
Sizes up to `--jobs N` are launched too, with a program in place of `sagan make` that only writes the records: what that
takes is what the tools add.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
SEEDS = 50

FAKE = """
import sys, json
from pathlib import Path
sys.path.insert(0, "fake")
import records
_, _, place, *keys = sys.argv[1:]
plan = json.loads(Path(place).read_text())
for key in keys:
    if key in plan["references"]:
        records.reference(key, plan)
    if key in plan["runs"]:
        records.train(key, plan)
        for name, spec in plan["evaluations"].items():
            if spec["run"] == key:
                records.reference(spec["reference"], plan)
                records.evaluate(name, plan)
"""

RECORDS = """
import random
from pathlib import Path
from sagan.store.records import write_json

def reference(key, plan):
    spec = plan["references"][key]
    write_json(Path("results/references") / key / "reference.json", {
        **{name: spec[name] for name in ("key", "dataset", "dataset_digest", "extractor", "split", "resolution")},
        "real_count": 4000, "weights_digest": "0" * 64, "feature_dim": 128, "accuracy": 0.97, "channels": 1,
        "floor": {"fid": 5.0, "count": 1000, "what": "1000 real test images against the train split"},
        "crop": None, "resize": None})

def train(key, plan):
    spec, folder = plan["runs"][key], Path("results/runs") / key
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join('{"step": %d, "images": %d, "seconds": %.1f, "time": 0.0, "loss_d": 1.0, "loss_g": 1.0, '
                    '"logits_real": 0.1, "logits_fake": -0.1}\\n' % (s, s * 32, s / 10) for s in range(10, 810, 10))
    (folder / "log.jsonl").write_text(lines)
    write_json(folder / "run.json", {
        **{name: spec[name] for name in
           ("key", "variant", "seed", "dataset", "dataset_digest", "code", "config", "execution")},
        "status": "finished", "diverged_at": None, "reason": None, "steps": 800, "images": 25600, "seconds": 80.0,
        "images_per_second": 320.0, "parameters": {"generator": 1, "discriminator": 1},
        "files": {"log.jsonl": {"bytes": len(lines), "sha256": "0" * 64}}, "provenance": PROVENANCE})

def evaluate(key, plan):
    spec = plan["evaluations"][key]
    run = plan["runs"][spec["run"]]
    rng = random.Random(key)
    protocol = {"extractor": "classifier", "weights_digest": "0" * 64, "split": "train", "real_count": 4000,
                "crop": None, "resize": None, "resolution": 28, "feature_dim": 128, "generated_count": 4000,
                "seed": 0, "quantised": "uint8, rounded", "library": "torch-fidelity 0.4"}
    def value(name, x):
        return {"value": x, "name": name + "4000_train.classifier", "protocol": protocol}
    write_json(Path("results/evaluations") / key / "metrics.json", {
        "key": key, "run": spec["run"], "reference": spec["reference"], "variant": run["variant"],
        "seed": run["seed"], "dataset": run["dataset"], "status": "measured",
        "metrics": {n: value(n, rng.gauss(m, m / 10)) for n, m in
                    (("fid", 100.0), ("kid", 0.1), ("is", 8.0), ("precision", 0.7), ("recall", 0.4))},
        "untrained": {"fid": value("fid", 1000.0)},
        "curve": [{"step": s, "fid": 1000.0 / (1 + s)} for s in run["config"]["training"]["snapshots"]],
        "curve_protocol": protocol, "attention": {}, "generated_per_second": 1000.0, "seconds": 10.0,
        "provenance": PROVENANCE})

PROVENANCE = {"commit": None, "dirty": None, "device": "cpu (fake)", "device_kind": "cpu", "threads": 1,
              "versions": {"python": "3", "torch": "2", "sagan": "0", "cuda": None, "cudnn": None},
              "platform": "fake", "started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:01:00+00:00"}
"""

WRITE_ALL = """
import sys, json
from pathlib import Path
sys.path.insert(0, "fake")
import records
plan = json.loads(Path("plan.json").read_text())
for verb, room in (("reference", "references"), ("train", "runs"), ("evaluate", "evaluations")):
    for key in plan[room]:
        getattr(records, verb)(key, plan)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--jobs", type=int, default=50, help="the largest size that is launched with fake batches")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="sagan-overhead-"))
    print(f"load before: {os.getloadavg()[0]:.1f}, cores: {len(os.sched_getaffinity(0))}")
    for count in arguments.runs:
        measure(folder / str(count), count, count <= arguments.jobs)


def measure(folder: Path, count: int, with_jobs: bool) -> None:
    """Print a line for each step: its seconds and the peak memory of its process."""
    make_folder(folder, count)
    python = sys.executable
    step(folder, count, "plan", python, "-m", "sagan", "plan", "--out", "plan.json")
    if with_jobs:
        step(folder, count, "launch with fake batches", python, "-m", "workflow.launch", "--cores", "2")
    step(folder, count, "(fake records)", python, "-c", WRITE_ALL)
    step(folder, count, "plan, everything there", python, "-m", "sagan", "plan")
    step(folder, count, "launch, everything there", python, "-m", "workflow.launch")
    step(folder, count, "report", python, "-m", "sagan", "report")


def step(folder: Path, count: int, what: str, *command: str) -> None:
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Memory is that of this child alone: wait4 tells it, getrusage only the largest so far.
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall = time.perf_counter() - began
    print(f"{count:6} runs  {what:34} {wall:8.1f} s  cpu {cpu:8.1f} s  {usage.ru_maxrss / 1024:7.0f} MB", flush=True)
    if process.returncode:
        sys.exit(f"{' '.join(command)} left with {process.returncode}:\n{output[-3000:]}")


def make_folder(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "sagan", folder / "sagan", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "fake").mkdir()
    (folder / "fake" / "records.py").write_text(RECORDS, encoding="utf-8")
    # Batches call the fake; the plan's and the report's verbs stay real.
    (folder / "fake" / "__main__.py").write_text(FAKE, encoding="utf-8")
    rules, make = folder / "workflow" / "Snakefile", '"-m", "sagan", "make"'
    text = rules.read_text(encoding="utf-8")
    assert make in text
    rules.write_text(text.replace(make, make.replace("sagan", "fake")), encoding="utf-8")
    yaml = YAML()
    tree = yaml.load(ROOT / "params.yaml")
    quick = tree["suites"]["quick"]
    quick["seeds"] = min(count, SEEDS)
    quick["variants"], quick["questions"] = [], []
    for index in range(max(1, count // SEEDS)):
        name = quick["baseline"] if index == 0 else f"{quick['baseline']}-{index}"
        quick["variants"].append(name)
        if index:
            tree["variants"][name] = {"like": quick["baseline"], "optimizer": {"lr_ratio": 1.0 + index / 100}}
    tree["suites"], tree["tracking"] = {"quick": quick}, {"live": False}
    yaml.dump(tree, folder / "params.yaml")
    manifest = {
        "dataset": "mnist5k", "kind": "mnist5k", "resolution": 28, "channels": 1, "count": 5000, "digest": "0" * 64,
        "splits": {"train": [0, 4000], "test": [4000, 5000]}, "labels": {"kind": "classes", "names": [*"0123456789"]},
        "source": "fake", "crop": None, "resize": None, "settings": {},
    }  # fmt: skip
    place = folder / "data" / "prepared" / "mnist5k-28"
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


if __name__ == "__main__":
    main()
