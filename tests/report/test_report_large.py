"""A suite of more variants than a chart can tell apart: what is shown, what is compared, and that it says so."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence

import pytest
from PIL import Image
from ruamel.yaml import YAML

from sagan.analysis.build import analyse
from sagan.report.document import CHARTS, readme, render
from sagan.report.style import LIGHT, save, themed
from tests.report.conftest import PARAMS

LONG = "sagan-grid-attention-on-spectral-norm-gd-ratio-"


@pytest.fixture
def make_large(make_library, tmp_path):
    """Makes a suite of so many variants: of one ingredient, each of a higher FID than the one before."""

    def make(count: int, prefix: str = "ratio-", also: Sequence[str] = (), **options):
        tree = YAML(typ="safe").load(PARAMS)
        names = [f"{prefix}{number:03d}" for number in range(count - 1)]
        for number, name in enumerate(names):
            tree["variants"][name] = {"like": "sagan", "optimizer": {"lr_ratio": 1 + number / 100}}
        tree["repro"] = ["large"]
        tree["suites"] = {"large": tree["suites"]["made-up"] | {"variants": ["sagan", *names, *also], "seeds": 1}}
        fid = {name: 20.0 + number for number, name in enumerate(names)} | dict.fromkeys(also, 20.0 + count / 2)
        return make_library(tmp_path / f"{count}", ["large"], fid, text=json.dumps(tree), **options)

    return make


def records_of(library):
    return analyse("large", library.plan, library.params, library.paths)


def names_of(variants):
    return [variant.name for variant in variants]


@pytest.fixture
def make_records(make_large):
    return lambda count, **options: records_of(make_large(count, pictures=False, **options))


@pytest.mark.parametrize(("count", "prefix"), [(100, "ratio-"), (40, LONG)], ids=["many", "long names"])
def test_charts_have_room_for_everything_in_them(make_records, tmp_path, count, prefix):
    records = make_records(count, prefix=prefix)
    for name, draw in CHARTS.items():
        with themed(LIGHT), warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = draw(records, LIGHT)
            if name == "answers":  # it asks no questions
                assert figure is None
                continue
            save(figure, tmp_path / "chart.png")
        assert figure.get_figheight() < 12, name
        axes = [ax for ax in figure.axes if ax.get_visible()]
        for box in [ax.get_tightbbox() for ax in axes] + [legend.get_window_extent() for legend in figure.legends]:
            assert box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1, name
        assert min(side for ax in axes for side in ax.get_window_extent().size) > 100, name  # pixels


def test_the_best_and_the_worst_are_shown_and_the_page_says_so(make_large):
    library = make_large(40, pictures=False)
    lost = library.cell("large", "ratio-011", 0)
    shutil.rmtree(library.paths.evaluation(lost.evaluation))
    records = records_of(library)
    best, worst = [f"ratio-{n:03d}" for n in range(10)], [f"ratio-{n:03d}" for n in (11, *range(30, 39))]
    assert names_of(records.shown) == ["sagan", *best, *worst]
    text = readme(records, dict.fromkeys(CHARTS, ""))
    assert "Of 40 variants, charts and pictures show sagan, the 10 with the lowest mean FID and the 10 with the" in text
    assert "These are 20 of 39 comparisons" in text and text.count("- **Learning-rate ratio") == 20
    assert all(f"| ratio-{number:03d} | " in text for number in range(39))


def test_pictures_are_of_those_that_are_shown(make_large, monkeypatch):
    monkeypatch.setattr("sagan.report.document.CHARTS", {})
    library = make_large(40)
    folder = render("large", library.plan, library.params, library.paths).parent / "figures"
    with Image.open(folder / "samples.png") as sheet:
        assert 6 * 448 < sheet.height < 8 * 448  # 21 of them in rows of four


def test_the_chart_of_cost_has_all_and_names_those_that_none_beats(make_records):
    records = make_records(24, also=["no-attention"])  # the fastest, and neither among the best nor among the worst
    assert "no-attention" not in names_of(records.shown)
    with themed(LIGHT):
        figure = CHARTS["fid-against-cost"](records, LIGHT)
    grey = [line for line in figure.axes[0].lines if line.get_color() == LIGHT.muted and line.get_marker() == "o"]
    assert len(grey) == 25 - 21 - 1
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*names_of(records.shown), "no-attention", "Pareto front"]


def test_as_many_as_a_chart_can_tell_apart_are_all_shown(make_records):
    records = make_records(21)
    assert names_of(records.shown) == list(records.space.variants)
    text = readme(records, dict.fromkeys(CHARTS, ""))
    assert "charts and pictures show" not in text and "Grey dots" not in text


def test_few_comparisons_are_all_told(make_records):
    records = make_records(6)
    assert records.told == records.headlines and len(records.headlines) == 5
    assert "comparisons, those with" not in readme(records, dict.fromkeys(CHARTS, ""))
