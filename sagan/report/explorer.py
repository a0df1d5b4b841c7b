"""The attention explorer: one page of a suite on which every position of a picture says where it looks."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from sagan.analysis.tables import Analysis
from sagan.analysis.words import number
from sagan.report.charts import shown_variants, typical_run
from sagan.report.document import environment, write_text
from sagan.store.paths import Paths
from sagan.store.records import Json, canonical
from sagan.store.tensors import read_arrays

# The page stays under 5 MB: what is left of that is for the page itself.
_DATA_BYTES = 4_600_000


def render_explorer(analysis: Analysis, paths: Paths) -> Path | None:
    """Write a suite's explorer.html, one file under 5 MB that needs no network, and return its path.

    It holds the runs whose samples the report shows. The same records give the same bytes. What the limit leaves out,
    the page says: first pictures, then variants. None where no such run on disk has kept queries and keys; a page of
    former runs is then removed, unless the runs are elsewhere.
    """
    design, path = analysis.design, paths.pages(analysis.design.suite) / "explorer.html"
    names = sorted(shown_variants(analysis.report), key=lambda name: name != design.baseline)
    rows = [row for name in names if (row := typical_run(analysis, name)) is not None]
    rows = [row for row in rows if _read(row, paths, 1)["layers"]]
    if not rows:
        if analysis.is_here:
            path.unlink(missing_ok=True)
        return None
    shown, stored = len(rows), len(_read(rows[0], paths)["pictures"])
    count = stored
    data = canonical([_read(row, paths) for row in rows])
    while len(data) > _DATA_BYTES and count * shown > 1:
        count, shown = (count - 1, shown) if count > 1 else (1, shown - 1)
        data = canonical([_read(row, paths, count) for row in rows[:shown]])
    left_out = [f"all but {count} of {stored} pictures of each run"] if count < stored else []
    left_out += [f"variant {row['variant']}" for row in rows[shown:]]
    facts = {"title": design.title or design.suite, "dataset": design.dataset, "left_out": left_out}
    page = environment().get_template("explorer.html.j2")
    write_text(path, page.render(**facts, data=data.replace("<", "\\u003c")))
    return path


def _read(row: pd.Series, paths: Paths, count: int | None = None) -> Json:
    """What the page's script reads of a run: its first pictures, and its layers in the order of the pass, generator
    before discriminator, each with queries float16 [B, N, D] and keys float16 [B, M, D]."""
    layers: list[Json] = []
    images: np.ndarray | list = []
    for file in (paths.evaluation(row["evaluation"]) / "attention").glob("*.safetensors"):
        network, _, side = file.stem.partition("-")
        if (tensors := read_arrays(file)) is None:
            continue
        tensors = {what: array[:count] for what, array in tensors.items()}
        images, (_, keys, dim) = tensors["images"], tensors["keys"].shape
        names = {what: f"{what}.{network}.{side}" for what in ("gamma", "entropy")}
        known = {what: None if pd.isna(row.get(name)) else row[name] for what, name in names.items()}
        tokens = {what: b64encode(tensors[what].astype("<f2").tobytes()).decode() for what in ("queries", "keys")}
        size = {"side": int(side), "keys_side": round(keys**0.5), "dim": dim}
        layers.append({"name": f"{network} {side}\N{MULTIPLICATION SIGN}{side}", **size, **known, **tokens})
    # Along the pass: a generator's sides grow, and then a discriminator's shrink.
    layers.sort(key=lambda of: (0, of["side"]) if of["name"].startswith("generator") else (1, -of["side"]))
    told = {"variant": row["variant"], "run": row["run"], "fid": number(row["fid"])}
    return {**told, "pictures": [_png(image) for image in images], "layers": layers}


def _png(image: np.ndarray) -> str:
    """Of uint8 [C, R, R]."""
    file = BytesIO()
    Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(file, "png")
    return b64encode(file.getvalue()).decode()
