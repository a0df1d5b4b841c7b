"""From a suite's records to the files of its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from sagan.analysis.build import analyse
from sagan.analysis.model import Analysis, Variant
from sagan.analysis.wording import number
from sagan.errors import UserError
from sagan.params import Params
from sagan.plan import Plan
from sagan.report import charts, dynamics, tables
from sagan.report.index import index_text
from sagan.report.page import body
from sagan.report.sheets import Tile, save_sheet
from sagan.report.style import THEMES, Theme, save, themed
from sagan.report.swapping import swapped
from sagan.report.templating import environment, write_text
from sagan.store.paths import Paths
from sagan.store.records import write_json
from sagan.store.reports import measured_in_report

# Variants on the sheet of attention maps: each takes two pictures, and the explorer has them all.
ATTENDING = 4

Chart = Callable[[Analysis, Theme], Figure | None]
CHARTS: dict[str, Chart] = {
    "answers": charts.answers,
    "fid-by-variant": charts.fid_by_variant,
    "fid-against-step": charts.fid_against_step,
    "fid-against-time": charts.fid_against_time,
    "fid-against-cost": charts.fid_against_cost,
    "losses": dynamics.losses,
    "attention": dynamics.attention,
}


def render(suite: str, plan: Plan, params: Params, paths: Paths) -> Path:
    """Write a suite's report with its page (`Paths.pages`) and return its README.md.

    The same records give the same bytes: nothing here looks at the clock, the machine or git.
    A run that is not on disk is a row that says so.

    Args:
        suite: a suite of the plan.

    Raises:
        UserError: the plan does not hold the suite, a record on disk is not JSON, or the folder holds a report of
            measured runs and nothing of the suite is measured here.
    """
    analysis = analyse(suite, plan, params, paths)
    folder, counts = paths.report(suite), analysis.space.counts
    if counts.missing == counts.total and (shown := measured_in_report(folder)):
        raise UserError(
            f"{folder}: is a report of {shown} measured runs, and no run of suite {suite!r} is measured here; "
            "`dvc repro` makes them, or delete the folder for an empty report"
        )
    with swapped(folder) as fresh:
        text = _write_report(analysis, fresh)
        html = environment().get_template("report.html.j2").render(title=analysis.title, body=body(text, fresh))
    write_text(paths.pages(suite) / "report.html", html)
    return folder / "README.md"


def _write_report(analysis: Analysis, folder: Path) -> str:
    """All but the page; the README's text."""
    figures = _write_charts(analysis, folder) | _write_sheets(analysis, folder)
    write_json(folder / "summary.json", tables.summary(analysis))
    for name, table in (
        ("results", tables.results(analysis.space)),
        ("curves", tables.curves(analysis)),
        ("training", tables.training(analysis)),
        ("effects", tables.effects(analysis)),
        *([("answers", tables.answers(analysis))] if analysis.questions else []),
        *((f"results-{space.records.extractor}", tables.results(space)) for space in analysis.spaces),
    ):
        write_text(folder / f"{name}.csv", tables.csv_text(table))
    text = readme(analysis, figures)
    write_text(folder / "README.md", text)
    return text


def readme(analysis: Analysis, figures: Mapping[str, str]) -> str:
    """The README's text, with those of the figures that were drawn: name -> file."""
    return environment().get_template("README.md.j2").render(a=analysis, figures=figures)


def render_index(params: Params, paths: Paths) -> Path:
    """Write reports/README.md, which lists every suite whose report is on disk, and return it."""
    path = paths.report("README.md")
    write_text(path, index_text(params, paths))
    return path


def _write_charts(analysis: Analysis, folder: Path) -> dict[str, str]:
    """The charts for which there was data, name -> file on a light page."""
    written = {}
    for name, draw in CHARTS.items():
        for theme in THEMES:
            with themed(theme):
                figure = draw(analysis, theme)
                if figure is not None:
                    save(figure, folder / "figures" / f"{name}{theme.suffix}.png")
        if figure is not None:
            written[name] = f"{name}.png"
    return written


def _write_sheets(analysis: Analysis, folder: Path) -> dict[str, str]:
    """The contact sheets for which there were pictures, name -> file."""
    sheets = {
        "extremes": (_tiles(analysis.extremes, "samples.png"), 2),
        "samples": (_tiles(analysis.shown, "samples.png"), 4),
        "samples-by-class": (_tiles(analysis.shown, "samples-by-class.png"), 4),
        "film": (_tiles(analysis.shown, "film.png") if analysis.has_curve else [], 2),
        "interpolation": (_tiles(analysis.shown, "interpolation.png"), 2),
        "neighbours": (_tiles(analysis.shown, "neighbours.png"), 2),
        "attention-maps": (_attention_tiles(analysis), 2),
    }
    return {
        name: save_sheet(tiles, folder / "figures" / name, columns).name
        for name, (tiles, columns) in sheets.items()
        if tiles
    }


def _tiles(variants: list[Variant], file: str) -> list[Tile]:
    """A picture of each variant's typical run, where it is there."""
    tiles = []
    for variant in variants:
        row = variant.typical
        if row and (row.folder / file).exists():
            note = f"FID {number(row.metric('fid'))}" if row.status == "measured" else "diverged; last snapshot"
            tiles.append(Tile(row.folder / file, variant.label, f"seed {row.seed}, {note}"))
    return tiles


def _attention_tiles(analysis: Analysis) -> list[Tile]:
    """Of the first variants that attend; generators before discriminators."""
    tiles = []
    rows = {variant.label: variant.typical for variant in analysis.shown if variant.typical}
    attending = [(label, row) for label, row in rows.items() if (row.folder / "attention").exists()]
    for label, row in attending[:ATTENDING]:
        for path in sorted((row.folder / "attention").glob("*.png"), reverse=True):
            network, _, side = path.stem.partition("-")
            layer = row.evaluation.attention.get(f"{network}.{side}") if row.evaluation else None
            gamma = number(layer.gamma if layer else None)
            tiles.append(Tile(path, label, f"{network} at {side}x{side}, gamma {gamma}"))
    return tiles
