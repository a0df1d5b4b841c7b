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
import PIL

from sagan.data.pixels import BadImage, Recipe
from sagan.data.prepared import PREPARATION
from sagan.errors import UserError
from sagan.progress import progress
from sagan.store.records import atomic, digest, read_json, write_json

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
    parts: list[Path]

    @property
    def blocks(self) -> Iterator[np.ndarray]:
        return (np.load(_rows_path(part), allow_pickle=False) for part in self.parts)


def make_rows(
    names: Sequence[str],
    stamps: Sequence[str],
    images: Sequence[Readable],
    recipe: Recipe,
    work: Path,
    workers: int,
    title: str,
) -> Rows:
    """Decode, crop and resize images; parts that an earlier, killed call left in `work` are used.

    Args:
        names: what messages call the images.
        stamps: one for each image, another one where its bytes may be others: its part is then made again.
        images: read part by part.
        work: a folder for the parts, where nothing else lies.

    Raises:
        UserError: a worker process died.
    """
    parts: dict[Path, range] = {}
    for start in range(0, len(images), PART):
        rows = slice(start, start + PART)
        # All that decides about a part is in its name.
        identity = [PREPARATION, PIL.__version__, repr(recipe), start, names[rows], stamps[rows]]
        parts[work / digest(identity, 32)] = range(*rows.indices(len(images)))
    for other in work.iterdir():
        if other.with_suffix("") not in parts:
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    missing = {part: rows for part, rows in parts.items() if not _record_path(part).exists()}
    done = len(images) - sum(map(len, missing.values()))
    with progress(title, len(images), done) as update:
        calls = ((part, [images[i] for i in rows], recipe) for part, rows in missing.items())
        for count in _each(calls, min(workers, len(missing))):
            done += count
            update(done)
    kept, bad = [], []
    for part, rows in parts.items():
        reasons = dict(read_json(_record_path(part))["bad"])
        kept += [i for i in rows if i - rows.start not in reasons]
        bad += [(names[rows.start + offset], reason) for offset, reason in sorted(reasons.items())]
    return Rows(np.array(kept, dtype=np.int64), bad, list(parts))


def _make_part(part: Path, images: Sequence[Readable], recipe: Recipe) -> int:
    """One part's rows, then its record, which says that the rows are complete. Returns the number of images."""
    rows = np.empty((len(images), recipe.channels, recipe.resolution, recipe.resolution), dtype=np.uint8)
    count, bad = 0, []
    for offset, image in enumerate(images):
        try:
            rows[count] = recipe.pixels(image.read())
            count += 1
        except BadImage as error:
            bad.append([offset, str(error)])
    with atomic(_rows_path(part)) as temporary, temporary.open("wb") as file:
        np.save(file, rows[:count], allow_pickle=False)
    write_json(_record_path(part), {"bad": bad})
    return len(images)


def _rows_path(part: Path) -> Path:
    return part.with_suffix(".npy")


def _record_path(part: Path) -> Path:
    return part.with_suffix(".json")


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
