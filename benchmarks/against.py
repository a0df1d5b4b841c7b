"""A training step or an evaluation of this code against that of another checkout: CPU seconds, in turns, one process.

    git worktree add ../before 0bb47d4
    export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:\
glibc.malloc.trim_threshold=8589934592
    python -m benchmarks.against ../before --variant sagan --width 16 --batch-size 32

That is how jobs are started (`workflow/Snakefile`): without it the system hands memory out anew in every step.
Evaluations are of runs that are there: in both checkouts say `make repro` and `python -m sagan plan --suite quick --out
plan.json`, set OMP_NUM_THREADS and OPENBLAS_NUM_THREADS to 1 too, and name one of each, by a part of its key:

    python -m benchmarks.against ../before --rounds 7 --evaluations on-d-only-ttur-1-s1 small-grid-on-d-only-ttur-1-s1

Both take the same options and noise; the figure is the median of the rounds' ratios. On a machine that does other
things too, CPU seconds tell more than the clock.
"""

import argparse
import contextlib
import importlib
import shutil
import statistics
import sys
import tempfile
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
    parser.add_argument("--evaluations", nargs=2, metavar=("BEFORE", "AFTER"), help="instead of steps")
    parser.set_defaults(graphs=False)
    add_options(parser, batch_size=32)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folders = [arguments.checkout.resolve(), Path(__file__).parent.parent]
    sides: list[Any]
    if arguments.evaluations:
        sides = [Measuring(*side) for side in zip(folders, arguments.evaluations, strict=True)]
        what, unit = "an evaluation", "ms of CPU time an evaluation"
        for name, before, after in zip(("FID", "1000 KID"), *(side.figures() for side in sides), strict=True):
            print(f"{name} of the same features: before {before:.7g}, after {after:.7g}")
    else:
        sides = [Side(folder, arguments) for folder in folders]
        what, unit = arguments.variant, "ms of CPU time a step"
    rounds = [[side.milliseconds(arguments.steps) for side in sides] for _ in range(arguments.rounds + 1)][1:]
    before, after = (statistics.median(values) for values in zip(*rounds, strict=True))
    ratios = [before / after for before, after in rounds]
    print(f"{what}, {arguments.threads} threads, torch {torch.__version__}, {arguments.rounds} rounds")
    print(f"before {before:.2f}, after {after:.2f} {unit}")
    print(f"ratio  {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


class Side:
    """One checkout's loop, with what its code sets for the whole process."""

    def __init__(self, folder: Path, arguments: argparse.Namespace) -> None:
        torch.utils.deterministic.fill_uninitialized_memory = True  # torch's default
        with contextlib.chdir(folder):  # where its params.yaml is
            (throughput,) = imported(folder, "benchmarks.throughput")
            self.loop: Any = throughput.Loop(arguments.variant, arguments, torch.device("cpu"))
        self.fills = torch.utils.deterministic.fill_uninitialized_memory

    def milliseconds(self, steps: int) -> float:
        torch.utils.deterministic.fill_uninitialized_memory = self.fills
        began = time.process_time()
        for _ in range(steps):
            self.loop.step()
        return (time.process_time() - began) / steps * 1e3


class Measuring:
    """An evaluation that a checkout has made, with its code, once what is there is moved away."""

    def __init__(self, folder: Path, part: str) -> None:
        self.folder = folder
        names = ("sagan.metrics.evaluate", "sagan.plan", "sagan.store.paths", "sagan.metrics.formulas")
        self.module, planning, paths, self.formulas = imported(folder, *names)
        plan, self.paths = planning.Plan.load(folder / "plan.json"), paths.Paths()
        self.key, self.spec = next(item for item in plan.evaluations.items() if part in item[0])

    def milliseconds(self, _: int) -> float:
        torch.utils.deterministic.fill_uninitialized_memory = True
        with contextlib.chdir(self.folder), tempfile.TemporaryDirectory(dir=".") as scratch:
            kept = shutil.move(self.paths.evaluation(self.key), scratch)
            began = time.process_time()
            try:
                self.module.evaluate(self.spec, self.paths)
                return (time.process_time() - began) * 1e3
            finally:
                shutil.rmtree(self.paths.evaluation(self.key), ignore_errors=True)
                shutil.move(kept, self.paths.evaluation(self.key))

    def figures(self) -> tuple[float, float]:
        """FID and 1000 KID of features that both sides get alike."""
        generator = torch.Generator().manual_seed(0)
        one, other = (torch.randn(2000, 128, generator=generator).relu() * scale for scale in (1.0, 1.2))
        fid = self.formulas.fid(self.formulas.statistics(one), self.formulas.statistics(other))
        return fid, 1000 * self.formulas.kid(one, other)[0]


def imported(folder: Path, *names: str) -> list[ModuleType]:
    """Modules of a checkout, on that checkout's package."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("sagan", "benchmarks")]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(folder))


if __name__ == "__main__":
    main()
