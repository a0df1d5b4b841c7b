"""From a suite's analysis to the files of its report."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from sagan.analysis.build import Analysis, write_analysis
from sagan.analysis.words import number
from sagan.report.charts import CHARTS, SHOWN, shown_variants, told_questions, typical_run
from sagan.report.sheets import LETTERS, save_sheet, sheet, whole_picture
from sagan.report.style import DARK, LIGHT, save, themed
from sagan.report.templating import environment, page_of, write_text
from sagan.store.paths import Paths

# What reports write, or wrote once; other files stay, and among these costs.csv, which is a user's.
_OURS = ("*.csv", "*.json", "*.html", "README.md", "figures/*.png", "figures/*.webp")
# name -> the pictures of a run that it is made of, and how many stand side by side.
SHEETS = {
    "samples": ("samples.png", 4),
    "samples-by-class": ("samples-by-class.png", 4),
    "film": ("film.png", 2),
    "interpolation": ("interpolation.png", 2),
    "neighbours": ("neighbours.png", 2),
    "attention-maps": ("attention/*.png", 2),
}


def render(analysis: Analysis, paths: Paths) -> Path:
    """Write a suite's report and its page (`Paths.pages`); return its README.md.

    The same tables and pictures give the same bytes: nothing here looks at the clock, the machine or git. Where the
    runs are not on this machine, their pictures are those of the former report. A report that is interrupted leaves
    the former one.
    """
    suite = analysis.design.suite
    folder = paths.report(suite)
    fresh = folder.with_name(f".{suite}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "figures").mkdir(parents=True)
    write_analysis(analysis, fresh)
    text = readme(analysis, _write_figures(analysis, folder / "figures", fresh / "figures", paths))
    write_text(fresh / "README.md", text)
    page = page_of(text, fresh, f"../../reports/{suite}")
    html = environment().get_template("report.html.j2").render(title=analysis.design.title or suite, body=page)
    write_text(paths.pages(suite) / "report.html", html)
    put_in_place(fresh, folder)
    return folder / "README.md"


def put_in_place(fresh: Path, folder: Path) -> None:
    """The files of a whole report take their places; what a former one left goes, and a user's files stay."""
    written = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
    for name in sorted(written, key=lambda name: (name.name == "report.json", name)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh / name).replace(folder / name)
    for path in {path for pattern in _OURS for path in folder.glob(pattern)}:
        if path.is_file() and path.name != "costs.csv" and path.relative_to(folder) not in written:
            path.unlink()
    shutil.rmtree(fresh)


def readme(analysis: Analysis, figures: Mapping[str, str]) -> str:
    """The README's text, with those of the figures that were drawn: name -> file."""
    report, design, runs = analysis.report, analysis.design, analysis.tables.runs
    runs = runs[runs["space"] == design.space].astype(object)
    known = {"runs": runs.where(runs.notna(), None).to_dict("records"), "asked": told_questions(report)}
    page = environment().get_template("README.md.j2")
    return page.render(report=report, design=design, effects=analysis.effects, figures=figures, charts=CHARTS, **known)


def _write_figures(analysis: Analysis, former: Path, folder: Path, paths: Paths) -> dict[str, str]:
    """What could be drawn: name -> file."""
    figures: dict[str, str] = {}
    for name, draw in CHARTS.items():
        for theme in (LIGHT, DARK):
            with themed(theme):
                if (figure := draw(analysis, theme)) is not None:
                    save(figure, folder / f"{name}{theme.suffix}.png")
                    figures[name] = f"{name}.png"
    shown, ranking = shown_variants(analysis.report), analysis.report.ranking("steps")
    ends = [ranking.standings[0].variant, ranking.standings[-1].variant] if ranking else []
    # Pages show the best and the worst smaller than other sheets.
    sheets = {"extremes": (_tiles(analysis, ends, "samples.png", paths), 2, 2 * LETTERS)}
    sheets |= {name: (_tiles(analysis, shown, of, paths), columns, LETTERS) for name, (of, columns) in SHEETS.items()}
    for name, (tiles, columns, letters) in sheets.items():
        if tiles:
            figures[name] = save_sheet(sheet(tiles, columns, letters), folder / name).name
        elif not analysis.is_here:  # the runs are elsewhere: their pictures are those of the former report
            for left in sorted(former.glob(f"{name}.*")):
                shutil.copy2(left, folder)
                figures[name] = left.name
    return figures


def _tiles(analysis: Analysis, variants: Sequence[str], pattern: str, paths: Paths) -> list[tuple[Image.Image, str]]:
    """The first pictures of the variants' typical runs that are there; generators before discriminators."""
    tiles = []
    for row in (typical_run(analysis, variant) for variant in variants):
        found = paths.evaluation(row["evaluation"]).glob(pattern) if row is not None else ()
        for path in sorted(found, reverse=True):
            told = f"seed {row['seed']}, FID {number(row['fid'])}"
            if path.parent.name == "attention":
                network, _, side = path.stem.partition("-")
                told = f"{network} at {side}x{side}, gamma {number(row.get(f'gamma.{network}.{side}'))}"
            if (picture := whole_picture(path)) is not None:
                tiles.append((picture, f"{row['variant']}\n{told}"))
    return tiles[:SHOWN]
