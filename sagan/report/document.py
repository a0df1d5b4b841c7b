"""From analyses to the files of reports, and to the two pages that have the answers of all suites side by side."""

import base64
import inspect
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
import matplotlib
import pandas as pd
from markdown_it import MarkdownIt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from sagan import names
from sagan.analysis import words
from sagan.analysis.build import read_report, write_analysis
from sagan.analysis.model import Question, Row
from sagan.analysis.spreads import across_suites
from sagan.analysis.tables import Analysis, read_effects
from sagan.metrics.table import METRICS
from sagan.report.charts import CHARTS, DARK, LIGHT, SHOWN, save, shown_variants, themed, told_questions, typical_run
from sagan.store.paths import Paths
from sagan.store.reading import warn_once
from sagan.store.records import atomic

# name -> the pictures of a run that it is made of, and how many stand side by side.
SHEETS = {
    "extremes": ("samples.png", 2),
    "samples": ("samples.png", 4),
    "samples-by-class": ("samples-by-class.png", 4),
    "film": ("film.png", 2),
    "interpolation": ("interpolation.png", 2),
    "neighbours": ("neighbours.png", 2),
    "attention-maps": ("attention/*.png", 2),
}
# Names that a report's pictures may have.
PICTURES = {f"{name}{end}" for name in (*CHARTS, *SHEETS) for end in (".png", "-dark.png", ".webp")}
GAP = 16
# Height of the letters as a share of the sheet's width: pages show a sheet about 1,000 pixels wide.
LETTERS = 0.0135
SMALLEST_LETTERS = 13
SMALLEST_SIDE = 300
INK = "#768390"  # readable on a light and on a dark page
# Bytes of a PNG beyond which a sheet is stored with losses.
LARGE = 1_000_000
_PICTURE = re.compile(r'(?P<name>src|srcset)="(?P<file>figures/[\w-]+\.(?P<kind>png|webp))"')
_LINK = re.compile(r'href="(?![a-z]+:|#)')
BEGIN, END = "<!-- answers: `make readme` renders them from reports/ -->", "<!-- end of answers -->"


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
    """The files of a whole report take their places; pictures of a former one go, and a user's files stay."""
    written = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
    for name in sorted(written, key=lambda name: (name.name == "report.json", name)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh / name).replace(folder / name)
    for picture in PICTURES - {path.name for path in written}:
        (folder / "figures" / picture).unlink(missing_ok=True)
    shutil.rmtree(fresh)


def readme(analysis: Analysis, figures: Mapping[str, str]) -> str:
    """The README's text, with those of the figures that were drawn: name -> file."""
    report, design, runs = analysis.report, analysis.design, analysis.tables.runs
    runs = runs[runs["space"] == design.space].astype(object)
    known = {"runs": runs.where(runs.notna(), None).to_dict("records"), "asked": told_questions(report)}
    page = environment().get_template("README.md.j2")
    return page.render(report=report, design=design, effects=analysis.effects, figures=figures, charts=CHARTS, **known)


def _write_figures(analysis: Analysis, former: Path, folder: Path, paths: Paths) -> dict[str, str]:
    figures: dict[str, str] = {}
    for name, draw in CHARTS.items():
        for theme in (LIGHT, DARK):
            with themed(theme):
                if (figure := draw(analysis, theme)) is not None:
                    save(figure, folder / f"{name}{theme.suffix}.png")
                    figures[name] = f"{name}.png"
    shown, ranking = shown_variants(analysis.report), analysis.report.ranking
    ends = [ranking.standings[0].variant, ranking.standings[-1].variant] if ranking else []
    for name, (pattern, columns) in SHEETS.items():
        # Pages show the best and the worst smaller than other sheets.
        variants, letters = (ends, 2 * LETTERS) if name == "extremes" else (shown, LETTERS)
        if tiles := _tiles(analysis, variants, pattern, paths):
            figures[name] = save_sheet(sheet(tiles, columns, letters), folder / name).name
        elif not analysis.is_here:  # the runs are elsewhere: their pictures are those of the former report
            for left in sorted(former.glob(f"{name}.*")):
                shutil.copy2(left, folder)
                figures[name] = left.name
    return figures


def _tiles(analysis: Analysis, variants: Sequence[str], pattern: str, paths: Paths) -> list[tuple[Image.Image, str]]:
    """The first pictures of the variants' typical runs, with their labels; generators before discriminators."""
    tiles = []
    for row in (typical_run(analysis, variant) for variant in variants):
        found = paths.evaluation(row["evaluation"]).glob(pattern) if row is not None else ()
        for path in sorted(found, reverse=True):
            told = f"seed {row['seed']}, FID {words.number(row['fid'])}"
            if path.parent.name == "attention":
                network, _, side = path.stem.partition("-")
                told = f"{network} at {side}x{side}, gamma {words.number(row.get(f'gamma.{network}.{side}'))}"
            try:
                tiles.append((Image.open(path).convert("RGB"), f"{row['variant']}\n{told}"))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                warn_once(f"{path}: broken ({type(error).__name__}), and left out")
    return tiles[:SHOWN]


def sheet(tiles: list[tuple[Image.Image, str]], columns: int, letters: float = LETTERS) -> Image.Image:
    """Pictures below their labels, in rows of at most `columns`; they grow by whole factors: every pixel stays one.

    It is transparent between them, for a light and for a dark page.
    """
    pictures = [ImageOps.scale(of, max(1, -(-SMALLEST_SIDE // of.width)), Image.Resampling.NEAREST) for of, _ in tiles]
    columns = min(columns, len(tiles))
    width, height = (max(sides) for sides in zip(*(picture.size for picture in pictures), strict=True))
    total, rows = columns * (width + GAP) - GAP, -(-len(tiles) // columns)
    size = max(SMALLEST_LETTERS, round(total * letters))
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)  # on every machine
    above = round(2.9 * size)
    canvas = Image.new("RGBA", (total, rows * (above + height + GAP) - GAP))
    for i, (picture, (_, label)) in enumerate(zip(pictures, tiles, strict=True)):
        row, column = divmod(i, columns)
        left, top = column * (width + GAP), row * (above + height + GAP)
        head = Image.new("RGBA", (width, above))  # cuts a text that is longer
        ImageDraw.Draw(head).text((0, 0), "\n".join(map(names.one_line, label.splitlines())), INK, font)
        canvas.paste(head, (left, top))
        canvas.paste(picture, (left, top + above))
    return canvas


def save_sheet(picture: Image.Image, path: Path) -> Path:
    """Write a sheet beside a path without a suffix, as PNG, or where that is large, as of photographs, as WebP if its
    sides allow that; return its file. PIL stores neither date nor software in them."""
    picture.save(file := path.with_suffix(".png"))
    if file.stat().st_size > LARGE and max(picture.size) <= names.WEBP_SIDE:
        file.unlink()
        picture.save(file := path.with_suffix(".webp"), quality=90)
    return file


def render_index(paths: Paths) -> Path:
    """Write reports/README.md, and return it."""
    write_text(path := paths.report("README.md"), text_of("index.md.j2", "", paths))
    return path


def render_front(paths: Paths) -> Path:
    """Write the front page's table between its two marks, and return the page."""
    path = paths.root / "README.md"
    text = path.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    write_text(path, f"{before}{BEGIN}\n\n{text_of('answers.md.j2', 'reports/', paths)}\n{after}")
    return path


def text_of(template: str, base: str, paths: Paths) -> str:
    """A template, for a page from which reports/ lies at `base`, with the reports that are on disk: those that ask
    something first, small ones before large ones. The front page has the questions that several suites ask."""
    folders = [file.parent for file in sorted(paths.report("").glob("[!.]*/report.json"))]
    known: list[Row] = [{"name": of.name, "report": read_report(of), "effects": read_effects(of)} for of in folders]
    known.sort(key=lambda of: (not of["report"].questions, of["report"].counts.total))
    asking = [of for of in known if of["report"].questions]
    lines: dict[str, dict[str, Question]] = {}
    for of in asking:
        for found in of["report"].questions:
            # The ingredient, which suites may place differently; with its levels where it is no switch.
            title, levels = words.parts_of_title(found, of["report"].design)
            what = title if levels.endswith(("instead of off", "instead of none")) else f"{title}, {levels}"
            lines.setdefault(what, {})[of["name"]] = found
    if base and len(asking) > 1:
        lines = {what: found for what, found in lines.items() if len(found) > 1} or lines
    shown = {(name, of.question) for found in lines.values() for name, of in found.items()}
    for of in asking:
        told = of["report"].dependences
        of["dependences"] = [one for one in told if {(of["name"], one["question"]), (of["name"], one["by"])} <= shown]
    of_their_own = _of_their_own([of["name"] for of in asking], paths)
    page = environment().get_template(template)
    return page.render(known=known, base=base, asking=asking, lines=lines, of_their_own=of_their_own)


def _of_their_own(suites: list[str], paths: Paths) -> list[str]:
    """The suites, largest first, without those that have runs of a larger one: evidence counts once."""
    chosen: dict[str, set[str]] = {}
    for suite in reversed(suites):
        runs = set(pd.read_csv(paths.report(suite) / "results.csv", usecols=["run"])["run"])
        if not any(runs & others for others in chosen.values()):
            chosen[suite] = runs
    return list(chosen)


def environment() -> jinja2.Environment:
    """Templates in which a missing name is an error, with the formats of a report at hand."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("sagan.report"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    formats = {"md": names.for_markdown, "html": names.for_html, "short": short, "across_suites": across_suites}
    env.filters |= dict(inspect.getmembers(words, inspect.isfunction)) | formats
    env.globals["METRICS"] = METRICS
    return env


def short(name: str) -> str:
    """A setting's own name: "generator.spectral_norm" is "G spectral norm", "optimizer.lr_g" is "lr g"."""
    group, _, own = name.rpartition(".")
    return {"generator": "G ", "discriminator": "D ", "ema": "ema "}.get(group, "") + own.replace("_", " ")


def page_of(markdown: str, folder: Path, at: str) -> str:
    """Markdown as HTML, with the pictures of `folder` inlined and links to the files that lie at an address."""
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)

    def inlined(match: re.Match[str]) -> str:
        data = base64.b64encode((folder / match["file"]).read_bytes()).decode()
        return f'{match["name"]}="data:image/{match["kind"]};base64,{data}"'

    return _PICTURE.sub(inlined, _LINK.sub(f'href="{at}/', html))


def write_text(path: Path, text: str) -> None:
    """Atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
