"""Progress of a long preparation: a bar on a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERVAL_S = 10.0


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A function that is told of every further `n` images that are ready. Written to stderr."""
    if sys.stderr.isatty():
        with _bar(title, total, done) as advance:
            yield advance
    else:
        yield _lines(title, total, done)


@contextmanager
def _bar(title: str, total: int, done: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done)
        yield lambda n: bar.advance(task, n)


def _lines(title: str, total: int, done: int) -> Callable[[int], None]:
    start = last = time.monotonic()
    count = 0

    def advance(n: int) -> None:
        nonlocal count, last
        count += n
        now = time.monotonic()
        if now - last >= INTERVAL_S or done + count == total:
            last = now
            rate = count / max(now - start, 1e-9)
            print(f"{title}: {done + count:,} of {total:,} images, {rate:,.0f} a second", file=sys.stderr, flush=True)

    return advance
