"""Features in parts on disk, so that a killed job goes on behind the last part that is whole."""

import hashlib
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from sagan.progress import progress
from sagan.store.reading import warn_once
from sagan.store.records import Json, atomic, digest

PART = 500  # images

Tensors = dict[str, Tensor]
# Computes the rows of one slice.
Compute = Callable[[slice], Tensors]
# Computes the parts of a set.
Carried = Callable[[list[slice], Compute], list[Tensors]]


def parts_of(count: int) -> list[slice]:
    """The parts of a set of `count` rows: they part its batches, so they are in the key of what is measured."""
    return [slice(start, min(start + PART, count)) for start in range(0, count, PART)]


def in_memory(parts: list[slice], compute: Compute) -> list[Tensors]:
    """The parts of a set that is kept nowhere."""
    return [compute(part) for part in parts]


class FeatureParts:
    """The sets of one reference or evaluation. Equal identities are one set, computed once.

    A part's file has its digest in its name and appears whole: what does not match is computed anew.
    """

    def __init__(self, folder: Path, title: str) -> None:
        self.counts: dict[str, int] = {}  # images of each set that was asked for
        self.seconds: dict[str, float] = {}  # what computing each set took, in whichever sessions
        self.now = 0.0  # those of these seconds that are of this session
        self._folder, self._title = folder, title

    def of(self, name: str, identity: list[Json | str | int]) -> Carried:
        """A set, shown under `name` while it is computed; `identity`: what its rows depend on beside the folder."""
        return partial(self._carry_out, name, self._folder / digest(identity, 16))

    def remove(self) -> None:
        """What is kept; the record that was made of it stands now."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _carry_out(self, name: str, folder: Path, parts: list[slice], compute: Compute) -> list[Tensors]:
        count, found = parts[-1].stop, [self._read(folder, index) for index in range(len(parts))]
        done = sum(part.stop - part.start for part, tensors in zip(parts, found, strict=True) if tensors is not None)
        with progress(f"{self._title}: {name}", count, done, shown=done < count) as update:
            for index, part in enumerate(parts):
                if found[index] is None:
                    began = time.perf_counter()
                    found[index] = compute(part)
                    seconds = time.perf_counter() - began
                    self.now += seconds
                    found[index]["seconds"] = torch.tensor(seconds, dtype=torch.double)
                    self._write(folder, index, found[index])
                    done += part.stop - part.start
                    update(done)
        self.counts[folder.name] = count
        self.seconds[folder.name] = sum(float(tensors.pop("seconds")) for tensors in found)
        return found

    def _read(self, folder: Path, index: int) -> Tensors | None:
        for path in folder.glob(f"{index:05d}.*.safetensors"):
            content = path.read_bytes()
            if _digest(content) == path.name.split(".")[1]:
                return load(content)
            warn_once(f"{path}: damaged, so it is made anew")
            path.unlink()
        return None

    def _write(self, folder: Path, index: int, tensors: Tensors) -> None:
        content = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        path = folder / f"{index:05d}.{_digest(content)}.safetensors"
        with atomic(path) as temporary:
            temporary.write_bytes(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
