"""What was never run on a GPU, part by part; `benchmarks/gpu.sh` starts it and says what it needs.

Each part is a process of its own with a time limit, so that one that hangs or crashes costs its own findings alone.
A finding is a line of findings.jsonl: {"part", "what", and its figures}. Parts are in the order of what they are worth.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

# Part -> seconds at most. Together they end in time, since none takes more than what is left either.
LIMITS = {
    "device": 30,
    "tests": 90,
    "variants": 120,
    "throughput": 110,
    "together": 60,
    "peers": 60,
    "measuring": 80,
    "resuming": 60,
    "grid": 480,
}
TOTAL = 465


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mimicry", type=Path, help="folder that holds torch-mimicry")
    parser.add_argument("--mnist", type=Path, default=Path("originals/mnist"), help="folder of MNIST's four files")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, in small")
    parser.add_argument("--part", choices=LIMITS, action="append", help="these alone; default: all, in turn")
    parser.add_argument("--within", type=float, default=TOTAL, help="seconds that a part has; it may plan by them")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.part and len(options.part) == 1 and "SAGAN_GPU_PART" in os.environ:
        PARTS[options.part[0]](options)
        return 0
    return carry_out(options)


def carry_out(options: argparse.Namespace) -> int:
    """Each part as a process; the first decides whether there are others."""
    began = time.monotonic()
    for part in options.part or LIMITS:
        left = TOTAL - (time.monotonic() - began)
        if left < 5:
            found(options, part, "left out: no time is left")
            continue
        limit = min(LIMITS[part], left)
        again = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--part", part, "--within", str(limit)]
        with open(options.out / f"{part}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                again, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "SAGAN_GPU_PART": part}
            )
            start = time.monotonic()
            try:
                code = process.wait(limit + 5)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
        ending = "done" if code == 0 else f"left with {code}; see {part}.log"
        found(options, part, ending, seconds=round(time.monotonic() - start, 1))
        if part == "device" and code != 0:
            print("gpu: torch sees no GPU here; REHEARSE=1 runs the parts on a CPU", file=sys.stderr)
            return 2
    return 0


def found(options: argparse.Namespace, part: str, what: str, **figures: object) -> None:
    """Write a finding down at once, and show it."""
    line = json.dumps({"part": part, "what": what, **figures})
    with open(options.out / "findings.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line, flush=True)


def device(options: argparse.Namespace) -> None:
    """Whether torch sees a GPU, and which versions are at work."""
    import torch

    there = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if there else None
    cudnn = torch.backends.cudnn.version() if there else None
    python = ".".join(map(str, sys.version_info[:3]))
    versions = {"python": python, "torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": cudnn}
    found(options, "device", "device", available=there, name=name, **versions)
    sys.exit(0 if there or options.rehearse else 1)


def tests(options: argparse.Namespace) -> None:
    """The tests that want a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "on_a_gpu", "tests/training"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    print(result.stdout, result.stderr)
    last = (result.stdout.strip().splitlines() or ["no output"])[-1]
    found(options, "tests", last, code=result.returncode)


def variants(options: argparse.Namespace) -> None:
    """Every variant: bytes with a graph and without, and how far the first step is from the CPU's."""
    import torch

    from sagan.errors import UserError
    from sagan.params.loading import load_params

    names = list(load_params().variants)
    end = time.monotonic() + options.within - 5
    for name in names[:3] if options.rehearse else names:
        if time.monotonic() > end:
            found(options, "variants", "left out for want of time", first=name)
            return
        try:
            states = {}
            for place, graphs, steps in (
                ("cpu", False, 1),
                (_where(), False, 1),
                (_where(), True, 6),
                (_where(), False, 6),
            ):
                loop = _loop(name, torch.device(place), graphs, resolution=_resolution(name))
                for _ in range(steps):
                    loop.step()
                reason = getattr(loop.trainer._carry_out, "reason", None)
                states[place, graphs, steps] = {k: v.double().cpu() for k, v in loop.trainer.state().items()}, reason
        except (UserError, RuntimeError, ValueError, torch.OutOfMemoryError) as error:
            found(options, "variants", "refused or failed", variant=name, why=str(error).splitlines()[0])
            continue
        (with_graph, reason), (without, _) = states[_where(), True, 6], states[_where(), False, 6]
        (on_cpu, _), (on_gpu, _) = states["cpu", False, 1], states[_where(), False, 1]
        equal = all(torch.equal(value, without[key]) for key, value in with_graph.items())
        apart = max(float((value - on_gpu[key]).abs().max()) for key, value in on_cpu.items() if value.numel())
        found(options, "variants", "steps", variant=name, graph=reason or "yes", equal_bytes=equal, from_cpu=apart)


def _where() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _resolution(name: str) -> int:
    """A side that the variant's network has."""
    if "32" in name:
        return 32
    return (
        64 if name.startswith(("sagan-resnet", "sngan-resnet", "sagan-faces", "sagan-pytorch", "sagan-multi")) else 28
    )


def _loop(name: str, place: object, graphs: bool, resolution: int, **numbers: object) -> object:
    from benchmarks.throughput import Loop

    settings = {
        **{"channels": 1 if resolution == 28 else 3, "width": 16, "batch_size": 16, "threads": 1, "compile": False},
        **{"precision": "float32", "memory_format": "channels_last", "deterministic": True, "flops": False},
    }
    arguments = SimpleNamespace(**settings | numbers, resolution=resolution, graphs=graphs)
    return Loop(name, arguments, place)


def throughput(options: argparse.Namespace) -> None:
    """Steps at 64x64 and of `quick`'s size, by precision, with and without graphs and deterministic algorithms."""
    rounds = ["--rounds", "1", "--steps", "2"] if options.rehearse else ["--rounds", "5", "--steps", "20"]
    small = ["--resolution", "28", "--width", "16", "--batch-size", "32"]
    faces = ["--resolution", "64", "--channels", "3", "--width", "64", "--batch-size", "64"]
    if options.rehearse:
        faces = ["--resolution", "64", "--channels", "3", "--width", "8", "--batch-size", "4"]
    settings = [
        *((faces, [f"--precision={p}"]) for p in ("float32", "tf32", "bfloat16")),
        (faces, ["--no-graphs"]),
        (faces, ["--no-deterministic"]),
        (faces, ["--no-deterministic", "--precision=bfloat16"]),
        (small, []),
        (small, ["--no-graphs"]),
    ]
    for size, setting in settings:
        file = options.out / "throughput.json"
        command = [sys.executable, "-m", "benchmarks.throughput", *size, *setting, *rounds, "--json", str(file)]
        command += ["--variant", "sagan-no-attention", "--variant", "sagan"]
        if subprocess.run(command, check=False).returncode:
            found(options, "throughput", "failed", setting=[*size, *setting])
            continue
        figures = json.loads(file.read_text(encoding="utf-8"))
        rows = {row["variant"]: row["ms_a_step"] for row in figures["variants"]}
        peak = figures["peak_memory_mib"]
        found(options, "throughput", "ms a step", setting=" ".join([*size, *setting]), peak_memory_mib=peak, **rows)


def together(options: argparse.Namespace) -> None:
    """Runs of `quick`'s size turn about in one process, each on a stream of its own."""
    import torch

    place = torch.device(_where())
    for count in (1, 2) if options.rehearse else (1, 4, 16, 64):
        streams = [torch.cuda.Stream() if place.type == "cuda" else None for _ in range(count)]
        loops = []
        for stream in streams:
            with torch.cuda.stream(stream):
                loops.append(_loop("sagan", place, True, 28, batch_size=32))
        steps = 2 if options.rehearse else 60
        for turn in range(-10 if place.type == "cuda" else 0, steps):
            if turn == 0:
                if place.type == "cuda":
                    torch.cuda.synchronize()
                began = time.perf_counter()
            for stream, loop in zip(streams, loops, strict=True):
                with torch.cuda.stream(stream):
                    loop.step()
        if place.type == "cuda":
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - began) / steps / count
        found(options, "together", "ms a step of one run", runs=count, ms=round(seconds * 1e3, 3))


def peers(options: argparse.Namespace) -> None:
    """torch-mimicry's SN-GAN step beside ours."""
    if options.mimicry is None or not (options.mimicry / "torch_mimicry").exists():
        found(options, "peers", "left out: torch-mimicry is not there")
        return
    network = "sngan-32" if options.rehearse else "sngan-64"
    small = ["--batch-size", "2", "--rounds", "1", "--n-dis", "1"]
    size = small if options.rehearse else ["--batch-size", "64", "--rounds", "7", "--steps", "3"]
    for precision in ("float32", "tf32", "bfloat16"):
        file = options.out / "peers.json"
        command = [sys.executable, "-m", "benchmarks.peers", "--mimicry", str(options.mimicry), "--network", network]
        command += [*size, "--precision", precision, "--json", str(file)]
        if subprocess.run(command, check=False).returncode:
            found(options, "peers", "failed", precision=precision)
            continue
        figures = json.loads(file.read_text(encoding="utf-8"))
        kept = ("ms_a_step_mimicry", "ms_a_step_ours", "ratio_median", "ratio_min", "ratio_max")
        found(options, "peers", network, precision=precision, **{name: figures[name] for name in kept})


def sagan(root: Path, *words: str, **more: object) -> subprocess.Popen:
    """A verb of the product in a folder of its own."""
    return subprocess.Popen([sys.executable, "-m", "sagan", *words], cwd=root, env=dict(os.environ), **more)


def bench(options: argparse.Namespace, name: str, edits: dict[str, object]) -> tuple[Path, list[str]]:
    """A copy of the product with its data prepared and some of params.yaml set; its folder and the keys of its runs.

    Args:
        edits: "a.b.c" -> value.
    """
    from ruamel.yaml import YAML

    root = options.out / "bench" / name
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(".", root, ignore=shutil.ignore_patterns(".*", "build", "results", "state", "pages", "reports"))
    yaml = YAML()
    file = root / "params.yaml"
    params = yaml.load(file.read_text(encoding="utf-8"))
    for place, value in edits.items():
        *parents, last = place.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    with open(file, "w", encoding="utf-8") as stream:
        yaml.dump(params, stream)
    if sagan(root, "data").wait() or sagan(root, "plan", "--out", "plan.json").wait():
        sys.exit("no data or no plan; see above")
    plan = json.loads((root / "plan.json").read_text(encoding="utf-8"))
    return root, list(plan["runs"])


def quick(options: argparse.Namespace, name: str) -> tuple[Path, list[str]]:
    """`bench` of the suite `quick`, shorter for a rehearsal."""
    short = {"suites.quick.training": _short_training()} if options.rehearse else {}
    return bench(options, name, {"suites.quick.seeds": 1, **short})


def _short_training() -> dict:
    return {"steps": 40, "batch_size": 8, "ema": {"decay": 0.9, "start": 5}, "snapshots": [20, 40]}


def measuring(options: argparse.Namespace) -> None:
    """One reference and one evaluation here and on the CPU, of the same weights; a network of timm."""
    root, keys = quick(options, "measuring")
    key = keys[0]
    values = {}
    sagan(root, "train", key).wait()
    for place in ("auto", "cpu"):
        shutil.rmtree(root / "results" / "evaluations", ignore_errors=True)
        shutil.rmtree(root / "results" / "references", ignore_errors=True)
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if place == "cpu" else {}
        began = time.monotonic()
        command = [sys.executable, "-m", "sagan", "make", key]
        subprocess.run(command, cwd=root, env={**os.environ, **hidden}, check=False)
        for file in (root / "results" / "evaluations").glob("*/metrics.json"):
            values[place] = json.loads(file.read_text(encoding="utf-8"))["metrics"]["fid"]["value"]
        found(options, "measuring", "reference and evaluation", on=place, seconds=round(time.monotonic() - began, 1))
    found(options, "measuring", "FID of the same weights", **values)
    import timm
    import torch

    network = timm.create_model("resnet18" if options.rehearse else "vit_base_patch14_dinov2").eval().to(_where())
    side = network.pretrained_cfg["input_size"][-1]
    images = torch.rand(2 if options.rehearse else 64, 3, side, side, device=_where())
    with torch.inference_mode():
        network(images)
        if _where() == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        float(network(images).sum())
    rate = len(images) / (time.perf_counter() - began)
    found(options, "measuring", "a network of timm", images_per_second=round(rate, 1), side=side)


def resuming(options: argparse.Namespace) -> None:
    """A run that is stopped by SIGTERM and goes on, and the same key a second time: the same bytes."""
    root, keys = quick(options, "resuming")
    key = keys[0]
    digests = {}
    for name, stops in (("whole", False), ("again", False), ("stopped", True)):
        shutil.rmtree(root / "results", ignore_errors=True)
        shutil.rmtree(root / "state", ignore_errors=True)
        if stops:
            process = sagan(root, "train", key)
            time.sleep(4 if options.rehearse else 9)
            process.send_signal(signal.SIGTERM)
            process.wait()
        sagan(root, "train", key).wait()
        weights = root / "results" / "runs" / key / "generator.safetensors"
        digests[name] = hashlib.sha256(weights.read_bytes()).hexdigest()[:16] if weights.exists() else "no weights"
    found(options, "resuming", "generators", equal=len(set(digests.values())) == 1, **digests)


def grid(options: argparse.Namespace) -> None:
    """With what is left: `mnist-cpu`'s grid at 20,000 steps, as many seeds as fit, packed."""
    if not options.mnist.exists():
        found(options, "grid", f"left out: {options.mnist} is not there")
        return
    steps = 40 if options.rehearse else 20_000
    snapshots = [20, 40] if options.rehearse else [2500, 5000, 10_000, 20_000]
    training = {"steps": steps, "batch_size": 64, "ema": {"decay": 0.999, "start": 5 if options.rehearse else 1000}}
    edits = {
        "repro": ["mnist-cpu"],
        "datasets.mnist.source": str(options.mnist.resolve()),
        "suites.mnist-cpu.seeds": 1 if options.rehearse else 4,
        "suites.mnist-cpu.training": {**training, "snapshots": snapshots},
    }
    root, keys = bench(options, "grid", edits)
    began = time.monotonic()
    process = sagan(
        root, "make", *(keys[:2] if options.rehearse else keys), "--together", "2" if options.rehearse else "16"
    )
    try:
        process.wait(max(options.within - 40, 20))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait()
    done = [key for key in keys if (root / "results" / "runs" / key / "run.json").exists()]
    shutil.make_archive(str(options.out / "grid"), "gztar", root, "results")
    found(options, "grid", "runs at 20,000 steps", runs=len(done), seconds=round(time.monotonic() - began, 1))


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    **{"device": device, "tests": tests, "variants": variants, "throughput": throughput, "together": together},
    **{"peers": peers, "measuring": measuring, "resuming": resuming, "grid": grid},
}

if __name__ == "__main__":
    sys.exit(main())
