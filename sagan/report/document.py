"""From a suite's analysis to the files of its report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, UnidentifiedImageError

from sagan.analysis.build import Analysis, write_analysis
from sagan.analysis.words import number
from sagan.report.charts import CHARTS
from sagan.report.choice import extremes, shown_variants, told_questions, typical_run
from sagan.report.page import body
from sagan.report.sheets import Tile, save_sheet
from sagan.report.style import THEMES, save, themed
from sagan.report.swapping import swapped
from sagan.report.templating import environment, write_text
from sagan.store.paths import Paths

# Variants on the sheet of attention maps: each takes two pictures, and the explorer has them all.
ATTENDING = 4
# name -> the picture of a run that it is made of, and how many stand side by side.
SHEETS = {
    "samples": ("samples.png", 4),
    "samples-by-class": ("samples-by-class.png", 4),
    "film": ("film.png", 2),
    "interpolation": ("interpolation.png", 2),
    "neighbours": ("neighbours.png", 2),
}


def render(analysis: Analysis, paths: Paths) -> Path:
    """Write a suite's report, its folder swapped in as one, and its page (`Paths.pages`); return its README.md.

    The same tables and pictures give the same bytes: nothing here looks at the clock, the machine or git. Where the
    runs are not on this machine, their pictures are those of the former report.
    """
    suite = analysis.design.suite
    folder, env = paths.report(suite), environment()
    with swapped(folder) as fresh:
        write_analysis(analysis, fresh)
        figures, broken = _write_figures(analysis, folder, fresh, paths)
        text = readme(analysis, figures, broken)
        write_text(fresh / "README.md", text)
        page = body(text, fresh, f"../../reports/{suite}")
    html = env.get_template("report.html.j2").render(title=analysis.design.title or suite, body=page)
    write_text(paths.pages(suite) / "report.html", html)
    return folder / "README.md"


def readme(analysis: Analysis, figures: dict[str, str], broken: Sequence[str] = ()) -> str:
    """The README's text, with those of the figures that were drawn: name -> file."""
    runs = analysis.tables.runs
    rows = runs.astype(object).where(runs.notna(), None).to_dict("records")
    return (
        environment()
        .get_template("README.md.j2")
        .render(
            report=analysis.report,
            design=analysis.design,
            effects=analysis.effects,
            asked=told_questions(analysis.report),
            runs=[row | {"trouble": trouble(row)} for row in rows],
            figures=figures,
            broken=broken,
        )
    )


def _write_figures(analysis: Analysis, former: Path, folder: Path, paths: Paths) -> tuple[dict[str, str], list[str]]:
    """What could be drawn, name -> file, and a line for each picture that is broken."""
    figures: dict[str, str] = {}
    for name, draw in CHARTS.items():
        for theme in THEMES:
            with themed(theme):
                if (figure := draw(analysis, theme)) is not None:
                    save(figure, folder / "figures" / f"{name}{theme.suffix}.png")
                    figures[name] = f"{name}.png"
    shown, two = shown_variants(analysis.report), extremes(analysis.report)
    wanted = {"extremes": (_tiles(analysis, two, "samples.png", paths), 2)}
    wanted |= {name: (_tiles(analysis, shown, file, paths), wide) for name, (file, wide) in SHEETS.items()}
    wanted["attention-maps"] = (_attention_tiles(analysis, shown, paths), 2)
    broken: list[str] = []
    for name, (tiles, columns) in wanted.items():
        whole = [tile for tile in tiles if _is_whole(tile.path, broken)]
        if whole:
            figures[name] = save_sheet(whole, folder / "figures" / name, columns).name
        elif analysis.records is None:  # the runs are elsewhere: their pictures are those of the former report
            for left in sorted((former / "figures").glob(f"{name}.*")):
                (folder / "figures").mkdir(exist_ok=True)
                shutil.copy2(left, folder / "figures")
                figures[name] = left.name
    return figures, broken


def _is_whole(path: Path, broken: list[str]) -> bool:
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        broken.append(f"{path.parent.name}/{path.name}: {type(error).__name__}")
        return False
    return True


def _tiles(analysis: Analysis, variants: list[str], file: str, paths: Paths) -> list[Tile]:
    """A picture of each variant's typical run, where it is there."""
    tiles = []
    for variant in variants:
        row = typical_run(analysis, variant)
        if row is not None and (picture := _folder(row, paths) / file).exists():
            tiles.append(Tile(picture, variant, f"seed {row['seed']}, FID {number(row['fid'])}"))
    return tiles


def _attention_tiles(analysis: Analysis, variants: list[str], paths: Paths) -> list[Tile]:
    """Of the first variants that attend; generators before discriminators."""
    tiles, attending = [], 0
    for variant in variants:
        row = typical_run(analysis, variant)
        found = sorted((_folder(row, paths) / "attention").glob("*.png"), reverse=True) if row is not None else []
        attending += bool(found)
        for path in found if attending <= ATTENDING else []:
            network, _, side = path.stem.partition("-")
            gamma = number(row.get(f"gamma.{network}.{side}"))
            tiles.append(Tile(path, variant, f"{network} at {side}x{side}, gamma {gamma}"))
    return tiles


def trouble(row: Mapping[str, Any]) -> str | None:
    """What became of a run that gave no figure or a bad one; None of others."""
    if row["status"] == "missing":
        return "missing"
    if row["status"] == "diverged":
        return "diverged" + (f" at step {row['diverged_at']:.0f}" if row["diverged_at"] else "")
    if row["collapsed"]:
        return "collapsed" + (f" from step {row['collapsed_at']:.0f} to the end" if row["collapsed_at"] else "")
    if row["lost"]:
        return "measured, but without a finite figure"
    told = f"FID {number(row['fid'])}, untrained {number(row['fid_untrained'])}, best {number(row['fid_best'])}"
    return f"ended badly: {told}" if row["went_wrong"] else None


def _folder(row: pd.Series, paths: Paths) -> Path:
    return paths.evaluation(row["evaluation"])
