"""A variant that says `ranked: false` is marked everywhere and ranked nowhere."""

import json

import pytest

from sagan.analysis.build import analyse
from sagan.analysis.wording import NOTHING
from sagan.report import render
from sagan.report.document import render_index
from tests.report.conftest import PARAMS, build

VARIANT = """
  matched: {like: sagan, ranked: false, regularisers: {feature_matching: 0.01}}
  photographic: {like: sagan, regularisers: {feature_matching: 0.02}}
suites:"""
WITH = (
    PARAMS.replace("\nsuites:", VARIANT)
    .replace("seeds: 2", "seeds: 4")
    .replace("variants: [sagan, no-attention]", "variants: [sagan, MORE]")
)


@pytest.fixture(scope="module")
def matched(tmp_path_factory):
    """Suite "few" with a variant of the lowest FID that is not ranked, and one that is."""
    text = WITH.replace("MORE", "no-attention, matched, photographic")
    return build(
        tmp_path_factory.mktemp("with"), ["few"], {"matched": 3.0, "photographic": 9.0}, pictures=False, text=text
    )


def analysis(library):
    return analyse("few", library.plan, library.params, library.paths)


def test_it_is_never_ranked_and_no_claim_or_comparison_sees_it(matched, tmp_path):
    found = analysis(matched)
    variant = found.space.variants["matched"]
    assert not variant.is_ranked
    assert variant.fid.mean < 5 and not any(figures.leads for figures in variant.figures.values())
    assert found.best.variant.name == "photographic" and "matched" not in found.best.tied
    assert [v.name for v in found.extremes] == ["photographic", "no-attention"] and "matched" not in found.front
    assert found.space.against_baseline["matched"].answer is None
    assert found.space.variants["photographic"].figures["fid"].leads
    # As if it were not there.
    text = WITH.replace("MORE", "no-attention, photographic")
    other = analysis(build(tmp_path / "without", ["few"], {"photographic": 9.0}, pictures=False, text=text))
    assert (found.best.tied, found.claims, found.headlines) == (other.best.tied, other.claims, other.headlines)
    assert {n: c for n, c in found.space.against_baseline.items() if n != "matched"} == other.space.against_baseline
    for name, ranked in other.space.variants.items():
        assert found.space.variants[name].figures == ranked.figures


def test_every_table_marks_it_and_a_note_says_why(matched):
    folder = render("few", matched.plan, matched.params, matched.paths).parent
    text = (folder / "README.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("| matched")]
    assert len(lines) > 4 and sum(line.startswith("| matched † |") for line in lines) == len(lines)
    assert "photographic †" not in text and "*† `ranked: false`: shown, and never ranked" in text
    [compared] = [line for line in lines if "not compared" in line]
    assert compared.split(" | ")[1:5] == [NOTHING] * 4
    assert "Lowest mean FID: photographic" in text
    assert ",ranked\n" in (folder / "results.csv").read_text()
    assert json.loads((folder / "summary.json").read_text())["matched.unranked"] == 1
    [line] = [line for line in render_index(matched.params, matched.paths).read_text().splitlines() if "[few]" in line]
    assert line.rstrip(" |").endswith("photographic")


def test_reports_of_other_suites_say_nothing_of_it(rendered):
    assert "†" not in (rendered("few") / "README.md").read_text()
    assert ",ranked" not in (rendered("few") / "results.csv").read_text()
