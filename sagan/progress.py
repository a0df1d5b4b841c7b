"""Progress for people: a bar on a terminal, a plain line now and then otherwise. Written to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

_PLAIN_INTERVAL = 15.0


@contextmanager
def progress(
    title: str, total: int, done: int, images_per_step: int = 1, shown: bool = True, alone: bool = True
) -> Iterator[Callable[[int], None]]:
    """Yields a function to be called with the number of finished steps: each is so many images.

    Args:
        alone: whether nothing else shows its progress meanwhile, so that a bar has room.
    """
    if not shown:
        yield lambda step: None
    elif alone and sys.stderr.isatty():
        with _bar(title, total, done, images_per_step) as update:
            yield update
    else:
        yield _lines(title, total, done, images_per_step)


@contextmanager
def _bar(title: str, total: int, done: int, images_per_step: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        task = bars.add_task(title, total=total, completed=done, rate="")
        started = time.perf_counter()

        def update(step: int) -> None:
            rate = (step - done) * images_per_step / (time.perf_counter() - started)
            bars.update(task, completed=step, rate=f"{rate:,.0f} images/s")

        yield update


def _lines(title: str, total: int, done: int, images_per_step: int) -> Callable[[int], None]:
    started = last = time.perf_counter()

    def update(step: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last < _PLAIN_INTERVAL and step < total:
            return
        last = now
        per_step = (now - started) / max(step - done, 1)
        eta = timedelta(seconds=round(per_step * (total - step)))
        rate = images_per_step / per_step
        print(f"{title}: {step:,} of {total:,}, {rate:,.0f} images/s, {eta} to go", file=sys.stderr, flush=True)

    return update
