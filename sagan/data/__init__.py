"""Datasets: `prepare` makes an array from original files, `load` maps it into memory. None of it imports torch."""

import os
from collections.abc import Callable
from pathlib import Path

from sagan.cores import usable_cores
from sagan.data.celeba import locate_celeba
from sagan.data.folder import locate_folder
from sagan.data.hub import locate_hub
from sagan.data.mnist import locate_mnist, locate_mnist5k, locate_stacked
from sagan.data.originals import MissingOriginals, Source
from sagan.data.photographs import decoded
from sagan.data.prepared import PREPARATION, PreparedDataset, load, store, summary
from sagan.data.torchvision import download, locate_torchvision
from sagan.errors import UserError
from sagan.params.datasets import AnyDataset, Photographs, Torchvision
from sagan.store.locks import exclusive
from sagan.store.reading import read_manifest, warn_once
from sagan.store.records import Json

__all__ = ["PreparedDataset", "load", "outdated", "prepare", "summary"]

_LOCATE: dict[str, Callable[[AnyDataset, Path], Source]] = {
    "mnist5k": locate_mnist5k,
    "mnist": locate_mnist,
    "stacked-mnist": locate_stacked,
    "torchvision": locate_torchvision,
    "celeba": locate_celeba,
    "folder": locate_folder,
    "huggingface": locate_hub,
}


def prepare(name: str, spec: AnyDataset, folder: Path, *, root: Path = Path("."), workers: int | None = None) -> Json:
    """Make a dataset's array in `folder` from its originals, and return its manifest.

    Where the folder holds this very dataset, undamaged (same settings, and originals that are the same files or are no
    longer there), it only reads the arrays. The bytes written do not depend on `workers` (processes; one for each
    available core by default). `spec` is the entry `name` of params.yaml; a relative `source` in it is from `root` on.

    Raises:
        UserError: originals are missing, damaged or not what they should be.
    """
    if _look(name, spec, folder, root)[0] is None:
        return read_manifest(folder)
    with exclusive(folder):
        # Another process may have made it while this one waited.
        why, source = _look(name, spec, folder, root)
        if why is None:
            return read_manifest(folder)
        if why:
            warn_once(f"{folder}: prepared anew, since {why}")
        # torchvision may unpack archives that lie there already, into more originals.
        if source is None or (isinstance(spec, Torchvision) and spec.download):
            download(spec, _place(spec, root))
            source = _LOCATE[spec.kind](spec, _place(spec, root))
        content = source.content()
        if isinstance(spec, Photographs):
            content = decoded(spec, content, folder, workers or usable_cores())
        head = {"kind": spec.kind, "resolution": spec.resolution, "source_stamp": source.stamp}
        return store(folder, _settings(name, spec) | head, content)


def outdated(name: str, spec: AnyDataset, folder: Path, *, root: Path = Path(".")) -> str | None:
    """Why a dataset that is there has to be prepared anew: damage, or other originals; None where it need not."""
    return _look(name, spec, folder, root)[0] if _made(name, spec, folder) else None


def _look(name: str, spec: AnyDataset, folder: Path, root: Path) -> tuple[str | None, Source | None]:
    """Why it has to be prepared anew ("" the first time, None where it is there), and originals that are here."""
    made = _made(name, spec, folder)
    source, why = None, None if made else ""
    try:
        if made:
            load(folder)
    except UserError as error:
        why = str(error).partition(";")[0].removeprefix(f"{folder}: ")
    try:
        source = _LOCATE[spec.kind](spec, _place(spec, root))
        if made and source.stamp is not None and made.get("source_stamp") != source.stamp:
            why = "its originals have changed"
    except MissingOriginals as missing:
        if why is not None and not (getattr(spec, "download", False) and spec.source):
            raise UserError(f"{why}; {missing}" if why else str(missing)) from None
    return why, source


def _place(spec: AnyDataset, root: Path) -> Path:
    """Where the originals lie: from `root` on, or from the home folder where `source` begins with ~."""
    return root / os.path.expanduser(getattr(spec, "source", None) or ".")


def _made(name: str, spec: AnyDataset, folder: Path) -> Json | None:
    """The manifest of a folder that was prepared with these settings, from whatever originals."""
    manifest = read_manifest(folder)
    return manifest if manifest and manifest.items() >= _settings(name, spec).items() else None


def _settings(name: str, spec: AnyDataset) -> Json:
    # Until 3, the letters of EMNIST lay on their side.
    preparation = 3 if isinstance(spec, Torchvision) and spec.name == "EMNIST" else PREPARATION
    return {"dataset": name, "settings": spec.model_dump(), "preparation": preparation}
