"""Many images to rows on several processes: survives a kill, and gives the same bytes for any number of workers."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sagan.data.pixels import BadImage, Recipe
from sagan.data.progress import progress
from sagan.errors import UserError
from sagan.records import atomic, digest, read_json, write_json

PART = 512


class Readable(Protocol):
    """An image that a worker process can read."""

    def read(self) -> bytes: ...


@dataclass(frozen=True)
class Rows:
    """What came of a sequence of images.

    Attributes:
        kept: int64, positions of the images that became rows, ascending.
        bad: (name, reason) of the others, in order.
        blocks: iterates over the rows, uint8 [n, C, H, W], in order.
    """

    kept: np.ndarray
    bad: list[tuple[str, str]]
    folder: Path
    parts: int

    @property
    def blocks(self) -> Iterator[np.ndarray]:
        return (np.load(_part_path(self.folder, part), allow_pickle=False) for part in range(self.parts))


def make_rows(
    names: Sequence[str], images: Sequence[Readable], recipe: Recipe, work: Path, workers: int, title: str
) -> Rows:
    """Decode, crop and resize images; parts that an earlier, killed call left in `work` are used.

    `names` tell the images apart, in messages and for the parts; `images` are read part by part.

    Raises:
        UserError: a worker process died.
    """
    identity = [repr(recipe), PART, list(names)]
    folder = work / digest(identity, 16)
    for other in work.glob("*"):
        if other.is_dir() and other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    ranges = [range(start, min(start + PART, len(images))) for start in range(0, len(images), PART)]
    missing = [part for part in range(len(ranges)) if not _record_path(folder, part).exists()]
    done = len(images) - sum(len(ranges[part]) for part in missing)
    with progress(title, len(images), done) as advance:
        calls = ((part, [images[i] for i in ranges[part]], recipe, folder) for part in missing)
        for count in _each(calls, min(workers, len(missing))):
            advance(count)
    kept, bad = [], []
    for part, rows in enumerate(ranges):
        reasons = dict(read_json(_record_path(folder, part))["bad"])
        kept += [i for i in rows if i - rows.start not in reasons]
        bad += [(names[rows.start + offset], reason) for offset, reason in sorted(reasons.items())]
    return Rows(np.array(kept, dtype=np.int64), bad, folder, len(ranges))


def _make_part(part: int, images: Sequence[Readable], recipe: Recipe, folder: Path) -> int:
    """One part's rows, then its record, which says that the rows are complete. Returns the number of images."""
    rows = np.empty((len(images), recipe.channels, recipe.resolution, recipe.resolution), dtype=np.uint8)
    count, bad = 0, []
    for offset, image in enumerate(images):
        try:
            rows[count] = recipe.pixels(image.read())
            count += 1
        except BadImage as error:
            bad.append([offset, str(error)])
    with atomic(_part_path(folder, part)) as temporary, temporary.open("wb") as file:
        np.save(file, rows[:count], allow_pickle=False)
    write_json(_record_path(folder, part), {"bad": bad})
    return len(images)


def _part_path(folder: Path, part: int) -> Path:
    return folder / f"{part:06d}.npy"


def _record_path(folder: Path, part: int) -> Path:
    return folder / f"{part:06d}.json"


# --- processes ----------------------------------------------------------------------------------


def _each(calls: Iterator[tuple], workers: int) -> Iterator[int]:
    """`_make_part` over its arguments, in any order, a few calls ahead of the workers."""
    if workers <= 1:
        yield from (_make_part(*call) for call in calls)
        return
    # Spawned, not forked: the caller may hold threads (a progress bar, torch) that a fork would break.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    try:
        yield from _windowed(pool.submit, calls, 2 * workers)
    except BrokenProcessPool:
        raise UserError(
            f"a worker process could not start, or was killed for lack of memory; run again to go on, with fewer than "
            f"{workers} workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _windowed(submit: Callable[..., Future], calls: Iterator[tuple], ahead: int) -> Iterator[int]:
    pending: set[Future] = set()
    for call in calls:
        pending.add(submit(_make_part, *call))
        if len(pending) >= ahead:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    yield from (future.result() for future in pending)


def _start_worker() -> None:
    # The parent answers Ctrl-C for all; and a worker whose parent was killed would wait forever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()
