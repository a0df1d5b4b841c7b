"""What a prepared dataset holds, in lines for people: every time, since what is missing cannot be seen otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sagan.data.prepared import LABELS
from sagan.store.records import Json

_SHOWN = 20


def summary(manifest: Json, folder: Path) -> list[str]:
    """Splits and classes with their counts, classes that a split lacks, and what was passed over or left out.

    Args:
        folder: where the dataset of this manifest lies.
    """
    labels = np.load(folder / LABELS, allow_pickle=False)
    kind, names = manifest["labels"]["kind"], manifest["labels"]["names"]
    lines = []
    for split, (start, stop) in sorted(manifest["splits"].items(), key=lambda item: item[1]):
        rows = labels[start:stop]
        counts = rows.sum(axis=0, dtype=int) if kind == "attributes" else np.bincount(rows, minlength=len(names))
        text = f"; {kind}: {_counts(names, counts.tolist())}" if names else "; no classes"
        lines.append(f"{split}: {stop - start:,} images{text}")
        if in_train := manifest.get("in_train", {}).get(split):
            lines.append(f"{split}: {in_train:,} of its pictures are in train too")
        if lacking := [name for name, count in zip(names, counts.tolist(), strict=False) if not count]:
            lines.append(f"{split} lacks the {kind} {_shortened(lacking)}")
    if "split" in manifest:
        lines.append(f"splits: {manifest['split'] if manifest['split'] != 'folders' else 'the folders of the source'}")
    if passed := manifest.get("passed_over"):
        lines.append(f"passed over: {', '.join(f'{count:,} {what}' for what, count in passed.items())}")
    if bad := manifest.get("bad_images", {}).get("count"):
        name, reason = manifest["bad_images"]["first"][0]
        lines.append(f"left out: {bad:,} images that cannot be used, first {name}: {reason}")
    return lines


def _counts(names: list[str], counts: list[int]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
    least, most = min(range(len(names)), key=counts.__getitem__), max(range(len(names)), key=counts.__getitem__)
    return f"{len(names):,}, from {names[least]} {counts[least]:,} to {names[most]} {counts[most]:,}"


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")
