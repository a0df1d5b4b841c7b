"""What was never run on a GPU, part by part; `benchmarks/gpu.sh` starts it and says what it needs.

Each part is a process of its own with a time limit, so that one that hangs or crashes costs its own findings alone.
A finding is a line of findings.jsonl: {"part", "what", and its figures}. Parts are in the order of what they are worth.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Part -> seconds at most. None takes more than what is left of the whole, either.
LIMITS = {
    "device": 30,
    "tests": 75,
    "variants": 110,
    "throughput": 80,
    "together": 50,
    "peers": 50,
    "measuring": 90,
    "resuming": 75,
    "grid": 465,
}
TOTAL = 465


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for what is found")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything else; site/ may hold mimicry")
    parser.add_argument("--mnist", type=Path, default=Path("originals/mnist"), help="folder of MNIST's four files")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, in small")
    parser.add_argument("--part", choices=LIMITS, action="append", help="these alone; default: all, in turn")
    parser.add_argument("--until", type=float, help="carry the part out in this process; it should end by this clock")
    parser.add_argument("--first", help="variant to begin with")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.until is None:
        return carry_out(options)
    PARTS[options.part[-1]](options)
    return 0


def carry_out(options: argparse.Namespace) -> int:
    """Each part as a process; the first decides whether there are others."""
    patience = 5 if options.rehearse else 1  # a CPU is slower
    end = time.monotonic() + patience * TOTAL
    for part in options.part or LIMITS:
        began = time.monotonic()
        limit = min(patience * LIMITS[part], end - began)
        if limit < 10:
            found(options, part, "left out: no time is left")
            continue
        command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--part", part, "--until"]
        with open(options.out / "log.txt", "a", encoding="utf-8") as log:
            print(f"\n=== {part}", file=log, flush=True)
            # In a group of its own, which ends with it.
            process = subprocess.Popen(
                [*command, str(began + limit - 5)], stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code = process.wait(limit)
                ending = "done" if code == 0 else f"left with {code}; see log.txt"
            except subprocess.TimeoutExpired:
                code, ending = 1, "killed: its time was over"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        found(options, part, ending, seconds=round(time.monotonic() - began, 1))
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


def late(options: argparse.Namespace, part: str, what: object) -> bool:
    """Whether a part should end; then it is written down where."""
    if time.monotonic() < options.until:
        return False
    found(options, part, "left out from here on: its time was over", first=str(what))
    return True


def device(options: argparse.Namespace) -> None:
    """Whether torch sees a GPU, and which versions are at work."""
    import torch

    there = torch.cuda.is_available()
    versions = {"python": sys.version.split()[0], "torch": torch.__version__, "cuda": torch.version.cuda}
    name, cudnn = (torch.cuda.get_device_name(), torch.backends.cudnn.version()) if there else (None, None)
    found(options, "device", "device", available=there, name=name, **versions, cudnn=cudnn, cores=os.cpu_count())
    sys.exit(0 if there or options.rehearse else 1)


def tests(options: argparse.Namespace) -> None:
    """The tests that want a GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "on_a_gpu", "tests/training"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    print(result.stdout, result.stderr)
    found(options, "tests", (result.stdout.strip().splitlines() or ["no output"])[-1], code=result.returncode)


def where() -> Any:
    """The device: a GPU, or in a rehearsal the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loop_of(name: str, place: Any, **settings: object) -> Any:
    """A variant's step on noise; `settings` are options of `benchmarks.throughput`."""
    import torch

    from benchmarks.throughput import Loop

    torch.set_num_threads(1)
    usual = {"resolution": 28, "channels": 1, "width": 16, "batch_size": 16, "threads": 1, "graphs": True}
    usual |= {"precision": "float32", "memory_format": "channels_last", "deterministic": True, "compile": False}
    return Loop(name, SimpleNamespace(**usual | settings), place, counts=False)


def variants(options: argparse.Namespace) -> None:
    """Every variant: the same bytes with a graph and without, and how far the first step is from the CPU's."""
    from sagan.errors import UserError
    from sagan.params.loading import load_params

    params = load_params()
    combinations = {name for grid in params.grids.values() for name in grid}
    names = [name for name in params.variants if name not in combinations][:: 6 if options.rehearse else 1]
    for name in names[names.index(options.first) if options.first else 0 :]:
        if late(options, "variants", name):
            return
        try:
            found(options, "variants", name, **compared(name))
        except (UserError, RuntimeError, ValueError) as error:
            found(options, "variants", name, failed=str(error).splitlines()[0])
            if where().type == "cuda" and name != names[-1]:
                # What CUDA is like after an error nobody promises: go on in a new process.
                again = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--first"]
                os.execv(sys.executable, [*again, names[names.index(name) + 1]])


def compared(name: str) -> dict[str, object]:
    """A variant's step on the device with a graph, without one, and on the CPU; at 28 pixels, or 64 where it must."""
    import torch

    from sagan.errors import UserError
    from sagan.params.loading import check_resolution, load_params

    side = {}
    try:
        check_resolution(name, load_params().variants[name], 28, "here")
    except UserError:
        side = {"resolution": 64, "channels": 3}
    on_cpu, without, with_graph = (
        loop_of(name, place, graphs=graphs, **side)
        for place, graphs in ((torch.device("cpu"), False), (where(), False), (where(), True))
    )
    before = {key: value.double().clone() for key, value in on_cpu.trainer.state().items() if value.numel() > 1}
    for loop in (on_cpu, without, with_graph):
        loop.step()
    apart = length = 0.0
    ours, theirs = without.trainer.state(), on_cpu.trainer.state()
    for key, value in before.items():
        apart += float((ours[key].cpu().double() - theirs[key].double()).square().sum())
        length += float((theirs[key].double() - value).square().sum())
    for _ in range(5):  # two more before the graph, and one to record it
        without.step()
        with_graph.step()
    ours, theirs = with_graph.trainer.state(), without.trainer.state()
    return {
        "graph": getattr(with_graph.trainer._carry_out, "_replay", None) is not None,
        "equal_bytes": all(torch.equal(value, theirs[key]) for key, value in ours.items()),
        "from_cpu": float(f"{(apart / length) ** 0.5:.3g}"),  # of the first step's length
        **side,
    }


def throughput(options: argparse.Namespace) -> None:
    """Steps at 64x64 and of `quick`'s size, by precision, with and without graphs and deterministic algorithms."""
    import torch

    from benchmarks.throughput import matrix_product_rate, peak_memory

    place = where()
    rounds, steps, width, batch = (1, 2, 8, 4) if options.rehearse else (5, 20, 64, 64)
    faces = {"resolution": 64, "channels": 3, "width": width, "batch_size": batch}
    quick = {"resolution": 28, "channels": 1, "width": 16, "batch_size": 32}
    grid = list(itertools.product(("float32", "tf32", "bfloat16"), (True, False), (True, False)))
    for size, (precision, graphs, exact) in [*((faces, s) for s in grid), *((quick, s) for s in grid)]:
        setting = {**size, "precision": precision, "graphs": graphs, "deterministic": exact}
        if late(options, "throughput", setting):
            return
        if place.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        figures = {}
        for name in ("sagan-no-attention", "sagan"):
            loop = loop_of(name, place, **setting)
            loop.milliseconds_a_step(2 if options.rehearse else 12)
            times = [loop.milliseconds_a_step(steps) for _ in range(rounds)]
            figures[name] = [round(f(times), 3) for f in (statistics.median, min, max)]
            del loop  # before the next takes memory
        found(options, "throughput", "ms a step", **setting, **figures, peak_mib=peak_memory(place) >> 20)
    for precision in (torch.float32, torch.bfloat16):
        rate = 0.0 if options.rehearse else matrix_product_rate(place, precision)
        found(options, "throughput", "matrix product", precision=str(precision), tflops=round(rate / 1e12, 1))


def together(options: argparse.Namespace) -> None:
    """Runs of `quick`'s size turn about in one process, each on a stream of its own."""
    import torch

    place = where()
    for count in (1, 2) if options.rehearse else (1, 4, 16, 64):
        if late(options, "together", count):
            return
        streams = [torch.cuda.Stream() if place.type == "cuda" else None for _ in range(count)]
        loops = []
        for stream in streams:
            with torch.cuda.stream(stream):
                loops.append(loop_of("sagan", place, batch_size=32))
        steps = 2 if options.rehearse else 60

        def turns(number: int, streams: list = streams, loops: list = loops) -> float:
            began = time.perf_counter()
            for _ in range(number):
                for stream, loop in zip(streams, loops, strict=True):
                    with torch.cuda.stream(stream):
                        loop.step()
            if place.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter() - began

        turns(2 if options.rehearse else 10)
        found(options, "together", "ms a step of one run", runs=count, ms=round(turns(steps) / steps / count * 1e3, 3))


def peers(options: argparse.Namespace) -> None:
    """torch-mimicry's SN-GAN step beside ours."""
    mimicry = options.work / "site"
    if not (mimicry / "torch_mimicry").exists():
        found(options, "peers", "left out: torch-mimicry is not there")
        return
    network = ["--network", "sngan-32" if options.rehearse else "sngan-64"]
    small, full = ["--batch-size", "2", "--rounds", "1", "--n-dis", "1"], ["--rounds", "7", "--steps", "3"]
    for precision in ("float32", "tf32", "bfloat16"):
        if late(options, "peers", precision):
            return
        file = options.work / "peers.json"
        command = [sys.executable, "-m", "benchmarks.peers", "--mimicry", str(mimicry), *network]
        command += [*(small if options.rehearse else full), "--precision", precision, "--json", str(file)]
        if subprocess.run(command, check=False).returncode:
            found(options, "peers", "failed", precision=precision)
            continue
        figures = json.loads(file.read_text(encoding="utf-8"))
        kept = ("ms_a_step_mimicry", "ms_a_step_ours", "ratio_median", "ratio_min", "ratio_max")
        found(options, "peers", network[1], precision=precision, **{name: figures[name] for name in kept})


def _product(name: str) -> Callable[[argparse.Namespace], None]:
    def part(options: argparse.Namespace) -> None:
        from benchmarks import gpu_product

        getattr(gpu_product, name)(options)

    return part


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    **{"device": device, "tests": tests, "variants": variants, "throughput": throughput, "together": together},
    **{"peers": peers, **{name: _product(name) for name in ("measuring", "resuming", "grid")}},
}

if __name__ == "__main__":
    sys.exit(main())
