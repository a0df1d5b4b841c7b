"""The parts of `benchmarks.gpu` that use the product as its users do: its verbs, in folders of their own."""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu import found, late, where

# What a borrowed machine gives back of one file.
LARGEST = 15 * 2**20
SHORT = {"steps": 40, "batch_size": 8, "ema": {"decay": 0.9, "start": 5}, "snapshots": [20, 40]}


def sagan(root: Path, *words: str, hidden: bool = False, stdout: int | None = None) -> subprocess.Popen:
    """A verb of the product, begun in a folder; `hidden`: it sees no GPU."""
    code = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": code, **({"CUDA_VISIBLE_DEVICES": ""} if hidden else {})}
    return subprocess.Popen([sys.executable, "-m", "sagan", *words], cwd=root, env=environment, stdout=stdout)


def prepared(options: argparse.Namespace, name: str, edits: dict[str, object]) -> tuple[Path, dict[str, Any]]:
    """A folder with params.yaml, some of it set anew ("a.b" -> value), and its data; and the plan."""
    from ruamel.yaml import YAML

    root, yaml = options.work / name, YAML()
    root.mkdir()
    params = yaml.load(Path("params.yaml").read_text(encoding="utf-8"))
    for place, value in edits.items():
        *parents, last = place.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    with open(root / "params.yaml", "w", encoding="utf-8") as stream:
        yaml.dump(params, stream)
    if sagan(root, "data").wait():
        sys.exit("no data; see above")
    sagan(root, "plan", "--out", "plan.json", stdout=subprocess.DEVNULL).wait()
    # It is written before anything is said of it, for which another pandas might not do.
    return root, json.loads((root / "plan.json").read_text(encoding="utf-8"))


def one_run(options: argparse.Namespace, name: str, steps: int) -> tuple[Path, dict[str, Any], str]:
    """`prepared` with one run of `quick`'s recipe, and its key."""
    training = {"suites.quick.training": SHORT} if options.rehearse else {"suites.quick.training.steps": steps}
    alone = {"suites.quick.variants": ["sagan-small"], "suites.quick.questions": [], "suites.quick.seeds": 1}
    root, plan = prepared(options, name, {**alone, **training})
    return root, plan, next(iter(plan["runs"]))


def measuring(options: argparse.Namespace) -> None:
    """One reference and one evaluation here and on the CPU, of the same weights; a network of timm."""
    root, plan, key = one_run(options, "measuring", 720)
    if sagan(root, "train", key, "--plan", "plan.json").wait():
        sys.exit("no run; see above")
    record = json.loads((root / "results" / "runs" / key / "run.json").read_text(encoding="utf-8"))
    found(options, "measuring", "train", seconds=record["seconds"], step_seconds=record["step_seconds"])
    timm_network(options)
    (reference,), (evaluation,) = plan["references"], plan["evaluations"]
    for place, hidden in ((where().type, False), ("cpu, GPU hidden", True)):
        for folder in ("references", "evaluations"):
            shutil.rmtree(root / "results" / folder, ignore_errors=True)
        figures: dict[str, object] = {}
        for verb, what in (("reference", reference), ("evaluate", evaluation)):
            began = time.monotonic()
            if sagan(root, verb, what, "--plan", "plan.json", hidden=hidden).wait():
                sys.exit(f"no {verb}; see above")
            figures[f"{verb}_seconds"] = round(time.monotonic() - began, 1)  # with the process's start
        file = root / "results" / "evaluations" / evaluation / "metrics.json"
        record = json.loads(file.read_text(encoding="utf-8"))
        figures |= {name: record[name] for name in ("seconds", "generated_per_second")}
        figures |= {name: record["metrics"][name]["value"] for name in ("fid", "kid", "is")}
        found(options, "measuring", "reference and evaluation", on=place, **figures)


def timm_network(options: argparse.Namespace) -> None:
    """Images/s of a feature space of timm, with made-up weights, which change no speed."""
    import timm
    import torch
    from safetensors.torch import save_file

    from sagan.metrics.networks import TimmNetwork

    name = "resnet18" if options.rehearse else "vit_base_patch14_dinov2"
    file = options.work / "timm.safetensors"
    save_file(timm.create_model(name).state_dict(), file)
    network = TimmNetwork(name, file).eval().to(where())
    images = torch.randint(0, 256, (2 if options.rehearse else 100, 3, 64, 64), dtype=torch.uint8, device=where())
    with torch.inference_mode():
        float(network(images)[0].sum())
        began = time.perf_counter()
        float(network(images)[0].sum())
    found(options, "measuring", name, images_per_second=round(len(images) / (time.perf_counter() - began), 1))


def resuming(options: argparse.Namespace) -> None:
    """The same key twice, and stopped by SIGTERM and gone on: the same bytes."""
    root, _, key = one_run(options, "resuming", 3000)
    run = root / "results" / "runs" / key
    digests: dict[str, str] = {}
    for name in ("whole", "again", "stopped"):
        if late(options, "resuming", name):
            break
        for folder in ("results", "state"):
            shutil.rmtree(root / folder, ignore_errors=True)
        process = sagan(root, "train", key, "--plan", "plan.json")
        if name == "stopped":
            log = run / "log.jsonl"
            while process.poll() is None and not (log.exists() and log.stat().st_size):
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            found(options, "resuming", "stopped", code=process.wait())  # 75: behind a checkpoint
            process = sagan(root, "train", key, "--plan", "plan.json")
        process.wait()
        files = [run / f"{network}.safetensors" for network in ("generator", "discriminator")]
        if all(file.exists() for file in files):
            digests[name] = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
        else:
            digests[name] = "no weights"
    found(options, "resuming", "weights", equal=len(set(digests.values())) == 1, **digests)


def grid(options: argparse.Namespace) -> None:
    """With what is left: `mnist-cpu`'s grid at 20,000 steps, in one feature space, as many runs as fit, packed."""
    if not options.mnist.exists():
        found(options, "grid", f"left out: {options.mnist} is not there")
        return
    training = {"batch_size": 64, "ema": {"decay": 0.999, "start": 1000}, "snapshots": [2500, 5000, 10_000, 20_000]}
    edits = {
        "repro": ["mnist-cpu"],
        "datasets.mnist.source": str(options.mnist.resolve()),
        "suites.mnist-cpu.seeds": 4,
        "suites.mnist-cpu.evaluation.also": [],
        "suites.mnist-cpu.training": SHORT if options.rehearse else {"steps": 20_000, **training},
    }
    if options.rehearse:
        edits |= {"suites.mnist-cpu.evaluation.samples": 200, "suites.mnist-cpu.evaluation.curve_samples": 200}
    root, plan = prepared(options, "grid", edits)
    keys = sorted(plan["runs"], key=lambda key: plan["runs"][key]["seed"])
    width = runs_at_once(options)
    began = time.monotonic()
    chosen = keys[:2] if options.rehearse else keys
    process = sagan(root, "make", *chosen, "--plan", "plan.json", "--together", str(width))
    try:
        process.wait(max(options.until - time.monotonic() - 25, 5))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    counts = {
        what: len(list((root / "results").glob(f"{what}/*/{file}")))
        for what, file in (("runs", "run.json"), ("evaluations", "metrics.json"))
    }
    seconds = round(time.monotonic() - began, 1)
    found(options, "grid", "finished", **counts, at_once=width, seconds=seconds, code=code)
    found(options, "grid", "packed", without=pack(root / "results", options.out / "results.tar.gz"))


def runs_at_once(options: argparse.Namespace) -> int:
    """How many runs to train by turns, so that they end in half of what is left, by what `together` has found."""
    left = (options.until - time.monotonic()) * 1e3
    lines = (options.out / "findings.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["part"] == "together" and "ms" in row]
    fitting = [row for row in rows if row["runs"] * row["ms"] * 20_000 < left / 2]
    return min(fitting, key=lambda row: row["ms"], default={"runs": 1})["runs"]


def pack(folder: Path, archive: Path) -> list[str]:
    """Pack a folder of at most `LARGEST` bytes; returns the kinds of files that had to be left out.

    What can be made anew goes first. Sizes are those of files: weights hardly shrink, and time is short.
    """
    left_out: list[str] = []
    for kind in ("", "features*.safetensors", "snapshots/*", "*.safetensors", "*"):
        left_out += [kind] * bool(kind)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        files = [path for path in files if not any(path.match(pattern) for pattern in left_out)]
        if sum(path.stat().st_size for path in files) <= LARGEST:
            break
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for path in files:
            tar.add(path, path.relative_to(folder.parent))
    return left_out
