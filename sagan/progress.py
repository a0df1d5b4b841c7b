"""Progress for people, written to stderr: a line now and then; on a terminal one line that is written over."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

_PLAIN_INTERVAL, _LIVE_INTERVAL = 15.0, 0.2


@contextmanager
def progress(
    title: str, total: int, done: int, images_per_step: int = 1, shown: bool = True, alone: bool = True
) -> Iterator[Callable[[int], None]]:
    """Yields a function to be called with the number of finished steps: each is so many images.

    Args:
        alone: whether nothing else shows its progress meanwhile, so that a line may be written over.
    """
    live = alone and sys.stderr.isatty()
    interval = _LIVE_INTERVAL if live else _PLAIN_INTERVAL
    started = last = time.perf_counter()

    def update(step: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if not shown or (now - last < interval and step < total):
            return
        last = now
        per_step = (now - started) / max(step - done, 1)
        eta = timedelta(seconds=round(per_step * (total - step)))
        line = f"{title}: {step:,} of {total:,}, {images_per_step / per_step:,.0f} images/s, {eta} to go"
        # "\r" goes back to the line's begin, "\x1b[K" clears the rest of it.
        print(f"\r{line}\x1b[K" if live else line, end="" if live else "\n", file=sys.stderr, flush=True)

    try:
        yield update
    finally:
        if live and last > started:
            print(file=sys.stderr)
