"""A trained generator by its run's key, its run's folder or its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagan.errors import UserError, first_line, meant
from sagan.store.paths import Paths

if TYPE_CHECKING:
    from torch import nn

_FILE = "generator.safetensors"


def generator_of(source: str | Path, paths: Paths | None = None, trust: bool = False) -> nn.Module:
    """The generator of a run, as a plain module in eval mode.

    It maps z [B, z_dim] ~ N(0, 1) to images [B, C, R, R] in [-1, 1]; `z_dim` and `config` are its attributes.

    Args:
        source: a run's key as `plan` lists it, a run's folder, or a .safetensors file.
        paths: of the clone that a key is looked for in; None for the current folder.
        trust: execute the code that came with a copied run, where that builds the network.

    Raises:
        UserError: there is no generator at `source`, or code that is not trusted builds it.
    """
    from sagan.nn import files

    path = _file(source, paths or Paths())
    try:
        return files.load_generator(path, trust, paths)
    except UserError:
        raise
    except Exception as error:  # safetensors raises its own class for files of another kind
        lacks_some = isinstance(error, KeyError | TypeError)
        reason = (
            "it holds no configuration that this version can build a network from" if lacks_some else first_line(error)
        )
        raise UserError(f"{path}: not a generator of this project: {reason}") from None


def _file(source: str | Path, paths: Paths) -> Path:
    """The file that a key, a folder or a file stands for."""
    place = Path(source)
    if not place.exists():
        # An evaluation's key begins with its run's, in which there may be dots too.
        runs = [paths.run(name) for name in (place.name, place.name.rpartition(".")[0]) if name]
        place = next((run for run in runs if run.is_dir()), place)
    path = place / _FILE if place.is_dir() else place
    if path.is_file():
        return path
    if place.is_dir():
        reason = f"its {_FILE} is not there: an unfinished run, or a copy without its weights"
    else:
        known = [file.parent.name for file in paths.run("").glob(f"*/{_FILE}")]
        reason = "no such file, folder or run" + meant(str(source), known)
    raise UserError(f"{source}: {reason}; name a finished run's key (`python -m sagan plan`), its folder, or a file")
