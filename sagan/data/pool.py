"""Many images to rows on several processes: the same bytes for any number of workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from sagan.data.pixels import BadImage, Preparing
from sagan.errors import UserError
from sagan.progress import progress

AT_ONCE = 256


def make_rows(
    images: Sequence, recipe: Preparing, work: Path, workers: int, title: str
) -> tuple[Iterator[np.ndarray], list[tuple[int, str]]]:
    """Decode, crop and resize images.

    Args:
        images: taken in order, some at a time; each has `read()`, its file's bytes or a `BadImage`.
        work: a folder for the rows, where nothing else lies.

    Returns:
        The rows, some at a time, uint8 [n, C, H, W]; and (position, reason) of the images that became none.

    Raises:
        UserError: a worker process died.
    """
    starts = range(0, len(images), AT_ONCE)
    batches = ([images[i] for i in range(start, min(start + AT_ONCE, len(images)))] for start in starts)
    count, bad = 0, []
    with progress(title, len(images), 0) as update, (work / "rows").open("wb") as file:
        for start, (rows, reasons) in zip(starts, _each(batches, recipe, min(workers, len(starts))), strict=True):
            file.write(rows.tobytes())
            bad += [(start + offset, reason) for offset, reason in reasons]
            count += len(rows)
            update(count + len(bad))
    return _blocks(work / "rows", (recipe.channels, recipe.resolution, recipe.resolution)), bad


def _blocks(path: Path, shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        while len(block := np.fromfile(file, np.uint8, AT_ONCE * int(np.prod(shape)))):
            yield block.reshape(-1, *shape)


def _batch(images: list, recipe: Preparing) -> tuple[np.ndarray, list[tuple[int, str]]]:
    rows, bad = [], []
    for offset, image in enumerate(images):
        try:
            rows.append(recipe.pixels(image.read()))
        except BadImage as error:
            bad.append((offset, str(error)))
    shape = (-1, recipe.channels, recipe.resolution, recipe.resolution)
    return np.ascontiguousarray(rows, dtype=np.uint8).reshape(shape), bad


def _each(batches: Iterator[list], recipe: Preparing, workers: int) -> Iterator[tuple[np.ndarray, list]]:
    """`_batch` of each, in order; a few are on their way at a time, since images of the Hub are read here."""
    if workers <= 1:
        yield from (_batch(batch, recipe) for batch in batches)
        return
    # Spawned, not forked: the caller may hold threads (a progress bar, torch) that a fork would break.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    waiting = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(_batch, batch, recipe))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)
    except BrokenProcessPool:
        raise UserError(
            f"a worker process could not start, or was killed for lack of memory; run again with fewer than {workers} "
            "workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # The parent answers Ctrl-C for all; and a worker whose parent was killed would wait forever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()
