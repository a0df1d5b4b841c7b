"""A training step of this code against that of another checkout: CPU seconds, in turns in one process.

    git worktree add ../before 0bb47d4
    export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:\
glibc.malloc.trim_threshold=8589934592
    python -m benchmarks.against ../before --variant sagan --width 16 --batch-size 32

That is how jobs are started (`workflow/Snakefile`): without it the system hands memory out anew in every step.
Both take the same options and noise; the figure is the median of the rounds' ratios. On a machine that does other
things too, CPU seconds tell more than the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.settings import add_options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the folder of the other code")
    parser.add_argument("--variant", default="sagan", help="of each checkout's params.yaml")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10, help="of a round")
    parser.set_defaults(graphs=False)
    add_options(parser, batch_size=32)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sides = [Side(folder.resolve(), arguments) for folder in (arguments.checkout, Path(__file__).parent.parent)]
    rounds = [[side.milliseconds_a_step(arguments.steps) for side in sides] for _ in range(arguments.rounds + 1)][1:]
    before, after = (statistics.median(values) for values in zip(*rounds, strict=True))
    ratios = [before / after for before, after in rounds]
    print(f"{arguments.variant}, {arguments.threads} threads, torch {torch.__version__}, {arguments.rounds} rounds")
    print(f"before {before:.2f} ms, after {after:.2f} ms of CPU time a step")
    print(f"ratio  {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


class Side:
    """One checkout's loop, with what its code sets for the whole process."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        torch.utils.deterministic.fill_uninitialized_memory = True  # torch's default
        with contextlib.chdir(folder):  # where its params.yaml is
            self.loop: Any = throughput_of(folder).Loop(arguments.variant, arguments, torch.device("cpu"))
        self.fills = torch.utils.deterministic.fill_uninitialized_memory

    def milliseconds_a_step(self, steps: int) -> float:
        torch.utils.deterministic.fill_uninitialized_memory = self.fills
        began = time.process_time()
        for _ in range(steps):
            self.loop.step()
        return (time.process_time() - began) / steps * 1e3


def throughput_of(folder: Path) -> ModuleType:
    """`benchmarks.throughput` of a checkout, on that checkout's package."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("sagan", "benchmarks")]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("benchmarks.throughput")
    finally:
        sys.path.remove(str(folder))


if __name__ == "__main__":
    main()
