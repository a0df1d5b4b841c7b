"""From a suite's records to the files of its report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from sagan.errors import UserError
from sagan.params import Params
from sagan.paths import Paths
from sagan.plan import Plan
from sagan.records import atomic, write_json
from sagan.report import charts, dynamics, tables
from sagan.report.collect import SuiteRecords, collect
from sagan.report.context import context
from sagan.report.index import index_text
from sagan.report.page import body
from sagan.report.selection import shown
from sagan.report.sheets import Tile, save_sheet
from sagan.report.style import THEMES, Theme, save, themed
from sagan.report.swapping import swapped
from sagan.report.templating import environment, write_text
from sagan.report.wording import number
from sagan.states import measured_in_report

Chart = Callable[[SuiteRecords, Theme], Figure | None]
CHARTS: dict[str, Chart] = {
    "fid-by-variant": charts.fid_by_variant,
    "ingredients": charts.ingredients,
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
    records = collect(suite, plan, params, paths)
    folder = paths.report(suite)
    if all(row.status == "missing" for row in records.rows) and (shown := measured_in_report(folder)):
        raise UserError(
            f"{folder}: is a report of {shown} measured runs, and no run of suite {suite!r} is measured here; "
            "`dvc repro` makes them, or delete the folder for an empty report"
        )
    with swapped(folder) as fresh:
        text = _write_report(records, fresh)
        title = records.suite.title or records.name
        html = environment().get_template("report.html.j2").render(title=title, body=body(text, fresh))
    write_text(paths.pages(suite) / "report.html", html)
    return folder / "README.md"


def _write_report(records: SuiteRecords, folder: Path) -> str:
    """All but the page; the README's text."""
    figures = [*_write_charts(records, folder), *_write_sheets(records, folder)]
    write_json(folder / "summary.json", tables.summary(records))
    for name, table in (
        ("results", tables.results(records)),
        ("curves", tables.curves(records)),
        ("training", tables.training(records)),
        ("effects", tables.effects(records)),
        *((f"results-{extractor}", tables.results(other)) for extractor, other in records.also.items()),
    ):
        _write_csv(table, folder / f"{name}.csv")
    text = readme(records, figures)
    write_text(folder / "README.md", text)
    return text


def readme(records: SuiteRecords, figures: list[str]) -> str:
    """The README's text, with those of the figures that were drawn."""
    return environment().get_template("README.md.j2").render(**context(records), figures=figures)


def render_index(params: Params, paths: Paths) -> Path:
    """Write reports/README.md, which lists every suite whose report is on disk, and return it."""
    path = paths.report("README.md")
    write_text(path, index_text(params, paths))
    return path


def _write_charts(records: SuiteRecords, folder: Path) -> list[str]:
    """The names of the charts for which there was data."""
    written = []
    for name, draw in CHARTS.items():
        for theme in THEMES:
            with themed(theme):
                figure = draw(records, theme)
                if figure is not None:
                    save(figure, folder / "figures" / f"{name}{theme.suffix}.png")
        if figure is not None:
            written.append(name)
    return written


def _write_sheets(records: SuiteRecords, folder: Path) -> list[str]:
    """The names of the contact sheets for which there were pictures."""
    records = shown(records)
    sheets = {
        "samples": (_tiles(records, "samples.png"), 4),
        "samples-by-class": (_tiles(records, "samples-by-class.png"), 4),
        "film": (_tiles(records, "film.png"), 2),
        "interpolation": (_tiles(records, "interpolation.png"), 2),
        "neighbours": (_tiles(records, "neighbours.png"), 2),
        "attention-maps": (_attention_tiles(records), 2),
    }
    for name, (tiles, columns) in sheets.items():
        if tiles:
            save_sheet(tiles, folder / "figures" / f"{name}.png", columns)
    return [name for name, (tiles, _) in sheets.items() if tiles]


def _tiles(records: SuiteRecords, file: str) -> list[Tile]:
    """A picture of each variant's typical run, where it is there."""
    tiles = []
    for variant in records.variants:
        row = records.typical(variant)
        if row and (row.folder / file).exists():
            note = f"FID {number(row.metric('fid'))}" if row.status == "measured" else "diverged; last snapshot"
            tiles.append(Tile(row.folder / file, variant, f"seed {row.seed}, {note}"))
    return tiles


def _attention_tiles(records: SuiteRecords) -> list[Tile]:
    """Generators before discriminators, variant by variant."""
    tiles = []
    for variant in records.variants:
        row = records.typical(variant)
        for path in sorted((row.folder / "attention").glob("*.png"), reverse=True) if row else []:
            network, _, side = path.stem.partition("-")
            layer = row.evaluation_record.get("attention", {}).get(f"{network}.{side}", {})
            tiles.append(Tile(path, variant, f"{network} at {side}x{side}, gamma {number(layer.get('gamma'))}"))
    return tiles


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
