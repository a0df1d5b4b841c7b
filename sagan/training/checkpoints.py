"""Resume checkpoints: atomic, checksummed, the last two kept, loaded without executing anything."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from sagan.store.reading import warn_once
from sagan.store.records import Json, file_digest, read_json, write_json
from sagan.store.tensors import save_tensors

_KEPT = 2


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], record: Json) -> None:
    """Write `<step>.safetensors` and then `<step>.json`, which holds its digest and makes it count."""
    weights = folder / f"{step:08d}.safetensors"
    save_tensors(weights, tensors)
    write_json(weights.with_suffix(".json"), {**record, "step": step, "sha256": file_digest(weights)})
    for old in sorted(folder.glob("*.json"))[:-_KEPT]:
        old.unlink()
        old.with_suffix(".safetensors").unlink(missing_ok=True)


def load_checkpoint(folder: Path, device: torch.device) -> tuple[dict[str, Tensor], Json] | None:
    """The tensors and the record of the newest checkpoint that is whole, with a warning of others; None without one."""
    for record_path in sorted(folder.glob("*.json"), reverse=True):
        weights = record_path.with_suffix(".safetensors")
        try:
            record = read_json(record_path)
            if file_digest(weights) == record["sha256"]:
                return load_file(weights, device=str(device)), record
        except (OSError, ValueError, KeyError):
            pass
        warn_once(f"{weights}: damaged, so the checkpoint before it is used")
    return None
