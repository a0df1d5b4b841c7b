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
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sagan.data.pixels import BadImage, Recipe
from sagan.errors import UserError
from sagan.progress import progress

AT_ONCE = 256


class Readable(Protocol):
    """An image that a worker process can read."""

    def read(self) -> bytes: ...


@dataclass(frozen=True)
class Rows:
    """What came of a sequence of images.

    Attributes:
        kept: int64, positions of the images that became rows, ascending.
        bad: (position, reason) of the others, in order.
        blocks: the rows, uint8 [n, C, H, W] each, in order.
    """

    kept: np.ndarray
    bad: list[tuple[int, str]]
    blocks: Iterator[np.ndarray]


def make_rows(images: Sequence[Readable], recipe: Recipe, work: Path, workers: int, title: str) -> Rows:
    """Decode, crop and resize images.

    Args:
        images: read in order, some at a time.
        work: a folder for the rows, where nothing else lies.

    Raises:
        UserError: a worker process died.
    """
    starts = range(0, len(images), AT_ONCE)
    batches = ([images[i] for i in range(start, min(start + AT_ONCE, len(images)))] for start in starts)
    bad: list[tuple[int, str]] = []
    with progress(title, len(images), 0) as update, (work / "rows").open("wb") as file:
        made = _each(batches, recipe, min(workers, len(starts)))
        for start, (rows, reasons) in zip(starts, made, strict=True):
            file.write(rows.tobytes())
            bad += [(start + offset, reason) for offset, reason in reasons]
            update(start + len(rows) + len(reasons))
    kept = np.delete(np.arange(len(images)), [position for position, _ in bad])
    return Rows(kept, bad, _blocks(work / "rows", len(kept), recipe))


def _blocks(path: Path, count: int, recipe: Recipe) -> Iterator[np.ndarray]:
    shape = (recipe.channels, recipe.resolution, recipe.resolution)
    for start in range(0, count, AT_ONCE):
        wanted = min(AT_ONCE, count - start)
        offset, size = start * int(np.prod(shape)), wanted * int(np.prod(shape))
        yield np.fromfile(path, np.uint8, size, offset=offset).reshape(wanted, *shape)


def _batch(images: list[Readable], recipe: Recipe) -> tuple[np.ndarray, list[tuple[int, str]]]:
    rows, bad = [], []
    for offset, image in enumerate(images):
        try:
            rows.append(recipe.pixels(image.read()))
        except BadImage as error:
            bad.append((offset, str(error)))
    shape = (-1, recipe.channels, recipe.resolution, recipe.resolution)
    return np.ascontiguousarray(rows, dtype=np.uint8).reshape(shape), bad


def _each(batches: Iterator[list[Readable]], recipe: Recipe, workers: int) -> Iterator[tuple[np.ndarray, list]]:
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
