"""From a suite's records to the files of its report."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from sagan.params import Params
from sagan.paths import Paths
from sagan.plan import Plan
from sagan.records import atomic, write_json
from sagan.report import charts, dynamics, tables
from sagan.report.collect import SuiteRecords, collect
from sagan.report.context import context
from sagan.report.sheets import Tile, save_sheet
from sagan.report.style import THEMES, Theme, save, themed
from sagan.report.wording import md, number

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
    """Write a suite's report and return its README.md.

    The same records give the same bytes: nothing here looks at the clock, the machine or git.
    A run that is not on disk is a row that says so.

    Args:
        suite: a suite of the plan.

    Raises:
        UserError: the plan does not hold the suite, or a record on disk is not JSON.
    """
    records = collect(suite, plan, params, paths)
    folder = paths.report(suite)
    for stale in sorted((folder / "figures").glob("*.png")):
        stale.unlink()
    figures = [*_write_charts(records, folder), *_write_sheets(records, folder)]
    write_json(folder / "summary.json", tables.summary(records))
    for name, table in (
        ("results", tables.results(records)),
        ("curves", tables.curves(records)),
        ("training", tables.training(records)),
    ):
        _write_csv(table, folder / f"{name}.csv")
    text = environment().get_template("README.md.j2").render(**context(records), figures=figures)
    readme = folder / "README.md"
    _write_text(readme, text)
    return readme


def environment() -> jinja2.Environment:
    """Templates in which a missing name is an error, with the formats and pictures of a report at hand."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sagan.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {"md": md, "number": number}
    env.globals |= {"chart": chart, "sheet": sheet}
    return env


def chart(name: str, alt: str) -> str:
    """A chart that follows the reader's light or dark page."""
    return (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="figures/{name}-dark.png">'
        f'<img alt="{html.escape(alt)}" src="figures/{name}.png"></picture>'
    )


def sheet(name: str, alt: str) -> str:
    """A contact sheet, one file for both."""
    return f'<img alt="{html.escape(alt)}" src="figures/{name}.png">'


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
    sheets = {"samples": _sample_tiles(records), "attention-maps": _attention_tiles(records)}
    for name, tiles in sheets.items():
        if tiles:
            save_sheet(tiles, folder / "figures" / f"{name}.png")
    return [name for name, tiles in sheets.items() if tiles]


def _sample_tiles(records: SuiteRecords) -> list[Tile]:
    tiles = []
    for variant in records.variants:
        row = records.typical(variant)
        if row and (row.folder / "samples.png").exists():
            note = f"FID {number(row.metric('fid'))}" if row.status == "measured" else "diverged; last snapshot"
            tiles.append(Tile(row.folder / "samples.png", variant, f"seed {row.seed}, {note}"))
    return tiles


def _attention_tiles(records: SuiteRecords) -> list[Tile]:
    tiles = []
    for variant in records.variants:
        row = records.typical(variant)
        for path in sorted((row.folder / "attention").glob("*.png")) if row else []:
            network, _, side = path.stem.partition("-")
            tiles.append(Tile(path, variant, f"{network} at {side}x{side}, seed {row.seed}"))
    return tiles


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
