"""The attention explorer: one page of a suite on which every position of a picture says where it looks."""

from __future__ import annotations

import base64
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from sagan.analysis.build import Analysis
from sagan.analysis.words import number
from sagan.report.templating import environment, write_text
from sagan.store.paths import Paths
from sagan.store.records import Json, canonical
from sagan.store.tensors import read_arrays

# The page stays under 5 MB: what is left of that is for the page itself.
_DATA_BYTES = 4_600_000
_BASE64 = 4 / 3
_FEW_IMAGES = 4
_COLOUR_STOPS = 33


def render_explorer(analysis: Analysis, paths: Paths) -> Path | None:
    """Write a suite's explorer.html, one file under 5 MB that needs no network, and return its path.

    The same records give the same bytes. What the limit leaves out, the page says: first images beyond four,
    then seeds, then the other images, then variants.

    Returns:
        None where no run on disk has kept queries and keys; a page of former runs is then removed, unless the runs
        are elsewhere.
    """
    design, path = analysis.design, paths.pages(analysis.design.suite) / "explorer.html"
    rows = analysis.tables.runs[analysis.tables.runs["space"] == design.space]
    found = [run for _, row in rows.iterrows() if (run := _read(row, paths)) is not None]
    if not found:
        if analysis.records is not None:
            path.unlink(missing_ok=True)
        return None
    found.sort(key=lambda run: run["variant"] != design.baseline)
    shown, left_out = _fitting(found)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, _COLOUR_STOPS))[:, :3]
    data = {"runs": [_data(run) for run in shown], "colours": (255 * colours).round().astype(int).tolist()}
    html = (
        environment()
        .get_template("explorer.html.j2")
        .render(
            title=design.title or design.suite,
            dataset=design.dataset,
            left_out=left_out,
            data=canonical(data).replace("<", "\\u003c"),
        )
    )
    write_text(path, html)
    return path


def _read(row: pd.Series, paths: Paths) -> Json | None:
    """A run's images uint8 [B, C, R, R] and layers, generator before discriminator and in the order of the pass.

    A layer has queries float16 [B, N, D] and keys float16 [B, M, D].
    """
    layers, images = [], None
    for file in (paths.evaluation(row["evaluation"]) / "attention").glob("*.safetensors"):
        network, _, side = file.stem.partition("-")
        if (tensors := read_arrays(file)) is None:
            continue
        images = tensors["images"]
        gamma, share = (row.get(f"{what}.{network}.{side}") for what in ("gamma", "entropy"))
        figures = {"gamma": None if pd.isna(gamma) else gamma, "entropy": None if pd.isna(share) else share}
        layers.append({"network": network, "side": int(side), **figures, **tensors})
    if images is None:
        return None
    # A generator's sides grow along the pass, a discriminator's shrink.
    layers.sort(key=lambda of: (of["network"] != "generator", of["side"] * (1 if of["network"] == "generator" else -1)))
    return {**{name: row[name] for name in ("variant", "seed", "run", "fid")}, "images": images, "layers": layers}


def _fitting(runs: list[Json]) -> tuple[list[Json], str]:
    """The fullest choice that stays within the limit, and what that leaves out: images, then seeds, then variants."""
    names = {what: list(dict.fromkeys(run[what] for run in runs)) for what in ("variant", "seed")}
    stored = max(len(run["images"]) for run in runs)
    few = min(stored, _FEW_IMAGES)
    variants, seeds = (len(names[what]) for what in ("variant", "seed"))
    choices = [
        *((variants, seeds, images) for images in range(stored, few - 1, -1)),
        *((variants, count, few) for count in range(seeds - 1, 0, -1)),
        *((variants, 1, images) for images in range(few - 1, 0, -1)),
        *((count, 1, 1) for count in range(variants - 1, 0, -1)),
    ]
    for variants, seeds, images in choices:
        kept = {"variant": names["variant"][:variants], "seed": sorted(names["seed"])[:seeds]}
        of = [_first(run, images) for run in runs if all(run[what] in kept[what] for what in kept)]
        if _BASE64 * sum(array.nbytes for run in of for array in _arrays(run)) <= _DATA_BYTES:
            break
    left = [f"all but {images} of {stored} pictures of each run"] if images < stored else []
    for what in kept:
        left += [f"{what} {name}" for name in names[what] if name not in kept[what]]
    return of, f"Left out, to stay under 5 MB: {', '.join(left)}." if left else ""


def _first(run: Json, count: int) -> Json:
    layers = [{**of, "queries": of["queries"][:count], "keys": of["keys"][:count]} for of in run["layers"]]
    return {**run, "images": run["images"][:count], "layers": layers}


def _arrays(run: Json) -> list[np.ndarray]:
    return [run["images"], *(layer[name] for layer in run["layers"] for name in ("queries", "keys"))]


def _data(run: Json) -> Json:
    """What the page's script reads of a run."""
    return {
        **{name: str(run[name]) for name in ("variant", "seed", "run")},
        "fid": number(run["fid"]),
        "pixels": _base64(run["images"].transpose(0, 2, 3, 1)),
        "shape": list(run["images"].shape),
        "layers": [
            {
                **{name: of[name] for name in ("network", "side", "gamma", "entropy")},
                "keys_side": round(of["keys"].shape[1] ** 0.5),
                "dim": of["keys"].shape[2],
                "queries": _base64(of["queries"].astype("<f2")),
                "keys": _base64(of["keys"].astype("<f2")),
            }
            for of in run["layers"]
        ],
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
