"""Speed of a training step: ms, images/s, peak memory, and FLOP/s against what the device can do.

    python -m benchmarks.throughput --resolution 28 --batch-size 64 --variant sagan --variant sagan-no-attention

Every variant's step is measured in turn, round by round, so that a drift of the machine's speed touches all of them
alike; the table shows medians over rounds, and each variant's step time relative to the first one's as the median of
the ratios round by round. The ceiling is a large matrix product of the same precision on the same device, measured in
the same process. FLOPs are counted by torch's own counter over one step.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.settings import NUMERICS, add_options, configuration, noise_images, noise_labels
from sagan.training.batches import Noise, RealBatches
from sagan.training.devices import describe, set_numerics
from sagan.training.step import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", action="append", help="of params.yaml; the first is what others are compared with")
    add_options(parser, batch_size=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="of a round")
    parser.add_argument("--graphs", action=argparse.BooleanOptionalAction, default=True, help="CUDA graphs")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = arguments.variant or ["sagan-no-attention", "sagan", "dcgan", "sngan"]
    loops = {name: Loop(name, arguments, device) for name in names}
    ceiling = matrix_product_rate(device, torch.bfloat16 if arguments.precision == "bfloat16" else torch.float32)
    for loop in loops.values():
        loop.milliseconds_a_step(6)  # warm-up: allocators, algorithm choice, graphs
    rounds = [
        {n: loop.milliseconds_a_step(arguments.steps) for n, loop in loops.items()} for _ in range(arguments.rounds)
    ]
    rows = [row(name, loops[name], rounds, names[0], arguments.batch_size, ceiling) for name in names]
    head = {
        "device": describe(device),
        "torch": torch.__version__,
        "threads": arguments.threads,
        "resolution": arguments.resolution,
        "batch_size": arguments.batch_size,
        **{name: getattr(arguments, name) for name in NUMERICS},
        "rounds": arguments.rounds,
        "steps_a_round": arguments.steps,
        "matrix_product_gflops": round(ceiling / 1e9, 1),
        "peak_memory_mib": round(peak_memory(device) / 2**20),
    }
    print_table(head, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps({**head, "variants": rows}, indent=1) + "\n", encoding="utf-8")


class Loop:
    """One variant's networks and data, ready to step; behind the first step, where that is to count operations."""

    def __init__(self, variant: str, arguments: argparse.Namespace, device: torch.device, counts: bool = True) -> None:
        config = configuration(variant, 10**6, arguments)
        set_numerics(arguments.deterministic, arguments.precision)
        self.device, self.position = device, 0
        labels = noise_labels(config)
        self.trainer = Trainer(config, device, labels, graphs=arguments.graphs)
        self.real = RealBatches(noise_images(arguments), arguments.batch_size, 0, False, device, labels)
        self.noise = Noise(arguments.batch_size, self.trainer.generator.z_dim, 0, "z", device)
        # Of the first step, which no graph hides from the counter.
        self.flops = self._flops() if counts else 0

    def step(self) -> None:
        self.position += 1
        self.trainer.step(self.position, self.real, self.noise)

    def milliseconds_a_step(self, steps: int) -> float:
        self._synchronise()
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        self._synchronise()
        return (time.perf_counter() - began) / steps * 1e3

    def _flops(self) -> int:
        with FlopCounterMode(display=False) as counter:
            self.step()
        return counter.get_total_flops()

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def row(name: str, loop: Loop, rounds: list[dict[str, float]], first: str, batch_size: int, ceiling: float) -> dict:
    times = [times[name] for times in rounds]
    median = statistics.median(times)
    flops = loop.flops
    return {
        "variant": name,
        "ms_a_step": round(median, 2),
        "ms_min": round(min(times), 2),
        "ms_max": round(max(times), 2),
        "images_per_second": round(batch_size / median * 1e3, 1),
        "gflop_a_step": round(flops / 1e9, 3),
        "share_of_matrix_product_rate": round(flops / (median / 1e3) / ceiling, 3),
        "relative_time": round(statistics.median(times[name] / times[first] for times in rounds), 3),
    }


def matrix_product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large product, the best of several."""
    side = 8192 if device.type == "cuda" else 1536
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes if sys.platform == "darwin" else kibibytes * 1024


def print_table(head: dict, rows: list[dict]) -> None:
    print(", ".join(f"{key} {value}" for key, value in head.items()) + "\n")
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for values in rows:
        print("| " + " | ".join(str(values[column]) for column in columns) + " |")


if __name__ == "__main__":
    main()
