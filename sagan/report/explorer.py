"""The attention explorer: one page of a suite on which every position of a picture says where it looks."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from sagan.analysis.rows import Row, SuiteRecords, collect
from sagan.analysis.wording import number
from sagan.params import Params
from sagan.plan import Plan
from sagan.report.templating import environment, write_text
from sagan.store.paths import Paths
from sagan.store.records import Json, canonical
from sagan.store.types import AttentionLayer

# The page stays under 5 MB: what is left of that is for the page itself and for pictures that do not compress.
_DATA_BYTES = 4_600_000
_BASE64 = 4 / 3
_FEW_IMAGES = 4
_COLOUR_STOPS = 33
_ROLES = ("generator", "discriminator")


@dataclass(frozen=True)
class _Layer:
    """Queries float16 [B, N, D] and keys float16 [B, M, D] of one layer, and what `metrics.json` says of it."""

    network: str
    side: int
    queries: np.ndarray
    keys: np.ndarray
    record: AttentionLayer


@dataclass(frozen=True)
class _Run:
    """A run that attends; images uint8 [B, C, R, R]."""

    row: Row
    images: np.ndarray
    layers: list[_Layer]

    def first(self, count: int) -> _Run:
        """The run with its first `count` images only."""
        layers = [replace(layer, queries=layer.queries[:count], keys=layer.keys[:count]) for layer in self.layers]
        return replace(self, images=self.images[:count], layers=layers)

    def size(self) -> float:
        """Bytes in the page, at most."""
        arrays = [self.images, *(array for layer in self.layers for array in (layer.queries, layer.keys))]
        return _BASE64 * sum(array.nbytes for array in arrays)


def render_explorer(suite: str, plan: Plan, params: Params, paths: Paths) -> Path | None:
    """Write a suite's explorer.html, one file under 5 MB that needs no network, and return its path.

    The same records give the same bytes. What the limit leaves out, the page says: first images beyond four,
    then seeds, then the other images, then variants.

    Returns:
        None where no run on disk has kept queries and keys; a page from before is then removed.

    Raises:
        UserError: the plan does not hold the suite, or a record on disk is not JSON.
    """
    records = collect(suite, plan, params, paths)
    path = paths.pages(suite) / "explorer.html"
    found = [run for row in records.rows if (run := _read(row)) is not None]
    if not found:
        path.unlink(missing_ok=True)
        return None
    found.sort(key=lambda run: run.row.variant != records.baseline)
    shown = _fitting(found)
    html = (
        environment()
        .get_template("explorer.html.j2")
        .render(
            title=records.suite.title or records.name,
            dataset=records.suite.dataset,
            notes=[*_left_out(found, shown), *_without(records, found)],
            data=canonical(_data(shown)).replace("<", "\\u003c"),
        )
    )
    write_text(path, html)
    return path


def _read(row: Row) -> _Run | None:
    """A measured run's layers, generator before discriminator and in the order of the pass; None without any."""
    layers, images = [], None
    for name, record in (row.evaluation.attention if row.evaluation else {}).items():
        network, _, side = name.partition(".")
        file = row.folder / "attention" / f"{network}-{side}.safetensors"
        if file.exists():
            tensors = load_file(file)
            layers.append(_Layer(network, int(side), tensors["queries"], tensors["keys"], record))
            images = tensors["images"]
    if images is None:
        return None
    # A generator's sides grow along the pass, a discriminator's shrink.
    layers.sort(key=lambda layer: (_ROLES.index(layer.network), layer.side * (-1) ** _ROLES.index(layer.network)))
    return _Run(row, images, layers)


def _fitting(runs: list[_Run]) -> list[_Run]:
    """The fullest choice of variants, seeds and images that stays within the limit."""
    variants = list(dict.fromkeys(run.row.variant for run in runs))
    seeds = sorted({run.row.seed for run in runs})
    stored = max(len(run.images) for run in runs)
    few = min(stored, _FEW_IMAGES)
    choices = [
        *((len(variants), len(seeds), images) for images in range(stored, few - 1, -1)),
        *((len(variants), count, few) for count in range(len(seeds) - 1, 0, -1)),
        *((len(variants), 1, images) for images in range(few - 1, 0, -1)),
        *((count, 1, 1) for count in range(len(variants) - 1, 0, -1)),
    ]
    for variant_count, seed_count, image_count in choices:
        kept = [
            run.first(image_count)
            for run in runs
            if run.row.variant in variants[:variant_count] and run.row.seed in seeds[:seed_count]
        ]
        if sum(run.size() for run in kept) <= _DATA_BYTES:
            break
    return kept


def _left_out(found: list[_Run], shown: list[_Run]) -> list[str]:
    """What the limit cost, a sentence each."""
    sentences = []
    stored, images = len(found[0].images), len(shown[0].images)
    if images < stored:
        sentences.append(f"{images} of the {stored} pictures of each run are here: the page stays under 5 MB.")
    for what, of in (("seeds", lambda run: run.row.seed), ("variants", lambda run: run.row.variant)):
        kept = {of(run) for run in shown}
        missing = [str(name) for name in dict.fromkeys(map(of, found)) if name not in kept]
        if missing:
            sentences.append(f"Left out, to stay under 5 MB: {what} {', '.join(missing)}.")
    return sentences


def _without(records: SuiteRecords, found: list[_Run]) -> list[str]:
    """Which variants have no attention, and which runs that attend are not there and why."""
    there = {(run.row.variant, run.row.seed) for run in found}
    plain = [variant for variant in records.variants if not _attends(records.config(variant))]
    lacking = [
        f"{row.variant} seed {row.seed} ({'without queries and keys' if row.status == 'measured' else row.status})"
        for row in records.rows
        if row.variant not in plain and (row.variant, row.seed) not in there
    ]
    sentences = [f"Without attention: {', '.join(plain)}."] if plain else []
    return [*sentences, *([f"Not there: {', '.join(lacking)}."] if lacking else [])]


def _attends(variant: Json) -> bool:
    return any(
        variant[role]["attention_at"] and variant[role].get("attention", "official") != "residual" for role in _ROLES
    )


def _data(runs: list[_Run]) -> Json:
    """What the page's script reads."""
    variants: dict[str, list[Json]] = {}
    for run in runs:
        variants.setdefault(run.row.variant, []).append(_run_data(run))
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, _COLOUR_STOPS))[:, :3]
    return {
        "variants": [{"name": name, "runs": found} for name, found in variants.items()],
        "colours": (255 * colours).round().astype(int).tolist(),
    }


def _run_data(run: _Run) -> Json:
    count, _, side, _ = run.images.shape
    return {
        "seed": run.row.seed,
        "run": run.row.run,
        "fid": number(run.row.metric("fid")),
        "pictures": {"count": count, "side": side, "strip": _strip(run.images)},
        "layers": [
            {
                "network": layer.network,
                "side": layer.side,
                "keys_side": round(layer.keys.shape[1] ** 0.5),
                "dim": layer.keys.shape[2],
                **{name: getattr(layer.record, name) for name in ("gamma", "entropy", "entropy_uniform")},
                "queries": _base64(layer.queries.astype("<f2").tobytes()),
                "keys": _base64(layer.keys.astype("<f2").tobytes()),
            }
            for layer in run.layers
        ],
    }


def _strip(images: np.ndarray) -> str:
    """Images uint8 [B, C, R, R] one below the other, as the address of a PNG."""
    pixels = np.concatenate(list(images.transpose(0, 2, 3, 1)))
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, format="PNG")
    return f"data:image/png;base64,{_base64(file.getvalue())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
