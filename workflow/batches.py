"""What is missing, packed into batches: runs with their measurements, one process each (docs/running.md)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from sagan.plan import Plan
from sagan.plan.listing import Costs, missing
from sagan.store.paths import Paths
from sagan.store.reading import last_step

# A process imports PyTorch for 5 s of a core: what is packed is worth it, and no batch is waited for long.
LEAST_SECONDS, MOST_SECONDS = 45.0, 600.0
# Of all that is left, a batch is one part in so many for each core or GPU: they become smaller towards the end.
_PARTS = 1.5
# Runs of a batch on a GPU that finds out by itself how many should take turns.
_AUTO_TOGETHER = 8
_MOST_KEYS = 200


@dataclass(frozen=True)
class Batch:
    """Keys for one process."""

    keys: list[str]  # of runs, each to be trained and measured as far as it is not, and of references
    threads: int
    gpus: int  # of this machine's


@dataclass(frozen=True)
class _Work:
    """A key with what is known of it; `seconds` is None where nothing like it was done."""

    key: str
    threads: int
    on_gpu: bool
    seconds: float | None = None
    together: int = 1


def batches(plan: Plan, paths: Paths, cores: int | None, gpus: int, most_seconds: float) -> list[Batch]:
    """What is missing of a plan, in batches, the first ones to be begun first.

    Args:
        cores: None on a cluster, where a batch is as long as it may be and one of unknown length a single run.
    """
    groups: dict[tuple[int, bool], list[_Work]] = {}
    for one in _missing(plan, paths):
        groups.setdefault((one.threads, one.on_gpu and gpus > 0), []).append(one)
    packed = []
    for (threads, on_gpu), work in groups.items():
        slots = None if cores is None else gpus if on_gpu else max(1, cores // threads)
        packed += [Batch(keys, threads, int(on_gpu)) for keys in _packed(work, slots, on_gpu, most_seconds)]
    return packed


def _missing(plan: Plan, paths: Paths) -> Iterator[_Work]:
    costs, asked, absent = Costs(plan, paths), {}, set(missing(plan, paths))
    unmeasured = [evaluation for key, evaluation in plan.evaluations.items() if key in absent]
    for evaluation in unmeasured:
        asked.setdefault(evaluation.run, []).append(evaluation)
    for key in (absent & plan.references.keys()) - {evaluation.reference for evaluation in unmeasured}:
        yield _Work(key, plan.references[key].threads, plan.references[key].execution["device"] != "cpu")
    # Whole seeds first, so that answers come early; within a seed, what only has to be measured is cheap.
    for run in sorted(plan.runs.values(), key=lambda run: (run.seed, run.key in absent)):
        evaluations = asked.get(run.key, [])
        threads, seconds = [e.threads for e in evaluations], [costs.seconds(e.key) for e in evaluations]
        if run.key in absent:
            threads.append(run.threads)
            seconds.append(costs.seconds(run.key, last_step(run.key, paths)))
        if threads:
            on_gpu, together = run.execution["device"] != "cpu", run.execution["together"]
            cost = None if None in seconds else sum(seconds)
            yield _Work(run.key, max(threads), on_gpu, cost, _AUTO_TOGETHER if together == "auto" else together)


def _packed(work: list[_Work], slots: int | None, on_gpu: bool, most: float) -> Iterator[list[str]]:
    # Without any estimate a run fills a batch on a cluster, and counts as a short one here.
    known = [one.seconds for one in work if one.seconds is not None] or [most if slots is None else LEAST_SECONDS]
    costs = {one.key: median(known) if one.seconds is None else one.seconds for one in work}
    left, todo = sum(costs.values()), list(work)
    while todo:
        wanted = most if slots is None else min(most, max(LEAST_SECONDS, left / (_PARTS * slots)))
        first = todo.pop(0)
        keys, seconds = [first.key], costs[first.key]
        # Those that take turns on a GPU belong into one process; but no GPU is to be without work.
        fewest = min(first.together, math.ceil((1 + len(todo)) / slots)) if on_gpu and slots else 1
        while todo and len(keys) < _MOST_KEYS:
            further = costs[todo[0].key]
            if len(keys) >= fewest and seconds + further / 2 > wanted:
                break
            keys.append(todo.pop(0).key)
            seconds += further
        left -= seconds
        yield keys
