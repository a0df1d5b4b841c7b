"""A suite's own questions, answered from all runs of its grid."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sagan.analysis.build import analyse
from sagan.analysis.claims import claims
from sagan.analysis.wording import comparison_sentence, verdict
from sagan.params.suites import UntilDecided
from sagan.report import render, tables
from sagan.report.document import readme
from sagan.report.index import index_text
from sagan.store.reports import measured_in_report
from tests.report.conftest import FID, PARAMS
from tests.report.outcomes import edited, lose

FACTORIAL = "factorial: {<<: *suite,"


@pytest.fixture
def ask(make_library, tmp_path):
    """Settings of the suite with the grid, mean FIDs, and a change of what is on disk -> its analysis."""

    def ask(settings="questions: [attention, sn],", fid=None, change=None):
        text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} {settings}")
        library = make_library(tmp_path, ["factorial"], fid, pictures=False, text=text)
        if change:
            change(library)
        return analyse("factorial", library.plan, library.params, library.paths)

    return ask


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_an_answer_is_of_all_cells_and_says_size_and_interval(ask):
    analysis = ask()
    attention, sn = analysis.questions.answered
    assert (attention.name, attention.level, attention.other) == ("attention", "at 14x14", "off")
    logs = {name: np.log(variant.fids()).mean() for name, variant in analysis.space.variants.items()}
    expected = (logs["grid-on-gd"] + logs["grid-on-d"] - logs["grid-off-gd"] - logs["grid-off-d"]) / 2
    assert attention.percent == pytest.approx(100 * math.expm1(expected))
    assert attention.low < attention.percent < attention.high < 0
    assert (attention.answer.direction, sn.answer.direction, attention.seeds) == ("helps", "helps", 4)
    text = readme(analysis, {})
    first = text.index(
        f"- **Attention, at 14x14 instead of off: helps.** FID {-attention.percent:.1f} % lower (95 % interval"
    )
    assert first < text.index("**Contents:**") < text.index("Lowest mean FID")
    assert "exact p" not in text[: text.index("**Contents:**")]


def test_an_effect_that_depends_on_another_factor_is_told_at_each_level(ask):
    """Attention halves FID with spectral norm in the generator, and doubles it without."""
    crossed = {"sagan": 10.0, "no-attention": 20.0, "sn-d-only": 20.0, "grid-off-d": 10.0}
    analysis = ask(fid=FID | crossed)
    [found] = analysis.questions.sure_interactions
    assert (found.effect_of, found.on_level_of) == ("attention", "spectral norm in the generator")
    on, off = found.at
    assert (on.level, off.level) == ("on", "off")
    assert (on.percent, off.percent) == (pytest.approx(-50, abs=4), pytest.approx(100, abs=8))
    assert 1 + found.percent / 100 == pytest.approx((1 + on.percent / 100) / (1 + off.percent / 100))
    text = readme(analysis, {})
    assert "- **Attention, at 14x14 instead of off: it depends on spectral norm in the generator.** FID " in text
    assert f"{-on.percent:.1f} % lower where that is on (95 % interval" in text


def test_an_effect_that_does_not_depend_on_another_is_not_said_to(ask):
    analysis = ask(fid=dict.fromkeys(FID, 10.0))
    assert analysis.questions.interactions and not analysis.questions.sure_interactions
    assert "it depends on" not in readme(analysis, {})


def test_what_makes_no_difference_worth_having_is_said_to(ask):
    flat = dict.fromkeys(FID, 14.0)
    [answered] = ask("questions: [sn], smallest_effect: 0.3,", flat).questions.answered
    assert answered.answer.negligible and answered.answer.direction is None
    assert "makes no difference worth having" in comparison_sentence(answered)


def test_a_question_that_is_open_says_how_many_seeds_would_tell(ask):
    [answered] = ask("questions: [sn],", dict.fromkeys(FID, 14.0)).questions.answered
    assert not answered.answer.decided and answered.answer.seeds_needed > 4
    assert "not decided.** FID" in (sentence := comparison_sentence(answered))
    assert f"{answered.answer.seeds_needed} seeds a cell would find an effect of 5 % in four of five cases" in sentence


def test_without_all_seeds_of_all_cells_there_is_no_answer(ask):
    def remove(library):
        cell = library.cell("factorial", "sn-d-only", 3)
        (library.paths.evaluation(cell.evaluation) / "metrics.json").unlink()

    analysis = ask(change=remove)
    assert [found.answer for found in analysis.questions.answered] == [None, None]
    assert "There are no answers before there are runs of 4 seeds in each of the 4 cells" in readme(analysis, {})


def test_seeds_until_decided_are_looked_at_in_turn(make_library, tmp_path):
    text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} questions: [attention],")
    library = make_library(tmp_path, ["factorial"], pictures=False, text=text)
    suite = library.params.suites["factorial"]
    until = suite.model_copy(update={"seeds": UntilDecided(least=2, most=4), "questions": ["attention"]})
    params = library.params.model_copy(update={"suites": library.params.suites | {"factorial": until}})
    asked = analyse("factorial", library.plan, params, library.paths).questions
    assert [(look.seeds, look.level) for look in asked.state.taken] == [(2, 0.025), (4, 0.0125)]
    assert asked.answered[0].seeds == 4 and asked.state.complete


def test_metrics_and_interactions_have_the_runs_and_the_level_of_the_last_look(make_library, tmp_path):
    """Two looks are planned and the runs of one and a half are there: what is beyond the first counts nowhere."""
    text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} questions: [attention, sn],")
    crossed = {"sagan": 10.0, "no-attention": 20.0, "sn-d-only": 20.0, "grid-off-d": 10.0}
    found = []
    for seeds, place in ((2, "two"), (3, "three")):
        library = make_library(tmp_path / place, ["factorial"], FID | crossed, pictures=False, text=text)
        for cell in library.plan.suites["factorial"]:
            if cell.seed >= seeds:
                (library.paths.evaluation(cell.evaluation) / "metrics.json").unlink()
        suite = library.params.suites["factorial"]
        until = suite.model_copy(update={"seeds": UntilDecided(least=2, most=4)})
        params = library.params.model_copy(update={"suites": library.params.suites | {"factorial": until}})
        found.append(analyse("factorial", library.plan, params, library.paths))
    two, three = (analysis.questions for analysis in found)
    assert two.metrics == three.metrics and two.interactions == three.interactions
    assert (two.last_look.seeds, two.last_look.level) == (2, 0.025) and "is sure at 2.5 %" in readme(found[0], {})


def test_an_answer_of_an_early_look_stands_and_its_size_is_of_all_runs(make_library, tmp_path):
    """Attention is decided at four seeds; spectral norm, without an effect, has eight looked at."""
    even = {"sagan": 10.0, "no-attention": 15.0, "sn-d-only": 10.0, "grid-off-d": 15.0}
    text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} questions: [attention, sn], smallest_effect: 0.001,")
    text = text.replace("variants: [grid], seeds: 4", "variants: [grid], seeds: 8")
    library = make_library(tmp_path, ["factorial"], FID | even, pictures=False, text=text)
    until = library.params.suites["factorial"].model_copy(update={"seeds": UntilDecided(least=4, most=8)})
    params = library.params.model_copy(update={"suites": library.params.suites | {"factorial": until}})
    analysis = analyse("factorial", library.plan, params, library.paths)
    attention, sn = analysis.questions.answered
    logs = {name: np.log(variant.fids()).mean() for name, variant in analysis.space.variants.items()}
    expected = (logs["grid-on-gd"] + logs["grid-on-d"] - logs["grid-off-gd"] - logs["grid-off-d"]) / 2
    assert (attention.answered_at, sn.answered_at, attention.seeds, sn.seeds) == (4, None, 8, 8)
    assert attention.percent == pytest.approx(100 * math.expm1(expected))
    assert "answered at 4 seeds, p 0.0" in comparison_sentence(attention) and "at 8" not in comparison_sentence(sn)
    assert (verdict(attention), attention.is_borne_out) == ("helps", True)
    assert [e.better for e in analysis.questions.metrics if e.metric.name == "fid"] == [True, None]
    # All runs point the other way, and one of the later ones was lost.
    other_way = replace(attention.effect, estimate=0.1, improvement=-1, lost=1)
    turned = replace(attention, effect=other_way)
    assert verdict(turned) == "helps, not borne out since"
    assert "1 was lost after the answer" in comparison_sentence(turned)
    [claim] = [finding for claim, finding in claims(analysis.records, [turned]).items() if "FID and IS" in claim.text]
    assert claim.verdict == "not decided" and "answered at 4 seeds" in claim.measured


def test_an_interaction_is_sure_at_the_level_of_its_look(make_library, tmp_path):
    """The first of several looks has half of alpha."""
    text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} questions: [attention, sn],")
    crossed = {"sagan": 10.0, "no-attention": 9.5, "sn-d-only": 9.5, "grid-off-d": 10.0}
    library = make_library(tmp_path, ["factorial"], FID | crossed, pictures=False, text=text)

    def crossing(alpha):
        suite = library.params.suites["factorial"]
        until = suite.model_copy(update={"seeds": UntilDecided(least=4, most=4), "alpha": alpha})
        params = library.params.model_copy(update={"suites": library.params.suites | {"factorial": until}})
        [found] = analyse("factorial", library.plan, params, library.paths).questions.interactions
        return found

    p = crossing(0.05).p
    assert 0.001 < p < 0.4
    assert not crossing(1.5 * p).sure and crossing(2.5 * p).sure


def test_runs_of_the_next_look_that_are_not_there_are_no_trouble(make_library, tmp_path):
    """One look of two is taken, and one run of the next is there."""
    text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} questions: [attention, sn],")
    library = make_library(tmp_path, ["factorial"], dict.fromkeys(FID, 14.0), pictures=False, text=text)
    suite = library.params.suites["factorial"]
    until = suite.model_copy(update={"seeds": UntilDecided(least=2, most=4)})
    params = library.params.model_copy(update={"suites": library.params.suites | {"factorial": until}})
    cells = library.plan.suites["factorial"]
    for cell in [cell for cell in cells if cell.seed >= 2][1:]:
        shutil.rmtree(library.paths.run(cell.run))
        shutil.rmtree(library.paths.evaluation(cell.evaluation))
    analysis = analyse("factorial", library.plan, params, library.paths)
    there = 2 * len(analysis.space.variants) + 1
    assert (analysis.seeds, analysis.space.counts.total, analysis.space.counts.missing) == (2, there, 0)
    text = readme(analysis, {})
    assert "2 seeds each so far;" in text and "Answers of the first 2 seeds; 4 are asked for next." in text
    assert "Runs that went wrong" not in text and "gave figures" not in text
    # Told of is a run that is there and spoilt, of whatever look,
    torn = next(cell for cell in cells if cell.seed == 3)
    library.paths.run(torn.run).mkdir()
    (library.paths.run(torn.run) / "run.json").write_text("{")
    assert "the run is spoilt" in readme(analyse("factorial", library.plan, params, library.paths), {})
    shutil.rmtree(library.paths.run(torn.run))
    # and one that the look itself lacks.
    first = next(cell for cell in cells if cell.seed == 0)
    (library.paths.evaluation(first.evaluation) / "metrics.json").unlink()
    assert "## Runs that went wrong" in readme(analyse("factorial", library.plan, params, library.paths), {})


def test_a_lost_run_is_named_and_forbids_no_difference(ask):
    def diverge(library):
        lose(library.paths, library.cell("factorial", "sn-d-only", 3))

    flat = dict.fromkeys(FID, 14.0)
    [answered] = ask("questions: [sn], smallest_effect: 0.3,", flat, diverge).questions.answered
    assert answered.answer.effect.lost == 1 and not answered.answer.negligible
    assert "1 was lost, and counts as the worst in p" in comparison_sentence(answered)


def test_every_metric_has_its_effects_in_a_family_of_their_own(ask):
    found = {(e.metric.name, e.factor): e for e in ask().questions.metrics}
    assert found.keys() == {
        (m, f) for m in ("fid", "kid", "is", "precision", "recall", "coverage") for f in ("attention", "sn")
    }
    recall = found["recall", "attention"]
    assert recall.size > 0 and recall.better and recall.low < recall.size < recall.high
    assert recall.p > found["fid", "attention"].p  # ten tests against two


def timed(ask, seconds, load):
    def trained(library):
        for cell in library.plan.suites["factorial"]:
            folder = library.paths.run(cell.run)
            extra = 1.2 if "off" not in cell.variant and cell.variant != "no-attention" else 1.0
            spent = seconds(cell.seed) * extra
            rewrite(folder / "run.json", step_seconds=spent)
            lines = [json.loads(line) | {"load": load} for line in (folder / "log.jsonl").read_text().splitlines()]
            (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    return ask("questions: [attention],", change=trained)


def test_a_cost_is_of_the_seconds_of_the_steps(ask):
    [answered] = timed(ask, lambda seed: 10.0 + 0.01 * seed, 0.5).questions.answered
    assert answered.cost.percent == pytest.approx(20) and answered.cost.doubt is None
    assert comparison_sentence(answered).endswith("20 % more time a step.")


@pytest.mark.parametrize(
    ("seconds", "load", "doubt"),
    [(lambda seed: 10.0 + 5 * seed, 0.5, "runs of one variant disagree"), (lambda seed: 10.0, 3.0, "other work")],
)
def test_a_cost_in_doubt_is_marked_and_stays_out_of_the_headline(ask, seconds, load, doubt):
    analysis = timed(ask, seconds, load)
    answered = analysis.questions.answered[0]
    assert doubt in answered.cost.doubt and "time a step" not in comparison_sentence(answered)
    text = readme(analysis, {"fid-against-time": "", "fid-against-cost": ""})
    is_busy = load > 1.5
    assert text.count("so times are rough") == 2 * is_busy and ("other work on the machine" in text) == is_busy


def test_a_variant_whose_steps_were_not_timed_is_named_beside_the_costs(ask):
    def untimed(library):
        for cell in library.plan.suites["factorial"]:
            if cell.variant == "grid-on-d":
                rewrite(library.paths.run(cell.run) / "run.json", step_seconds=None)

    figures = {"fid-against-cost": ""}
    assert "and so not here: grid-on-d." in readme(ask(change=untimed), figures)


def test_a_trial_is_said_to_be_too_short_and_says_nothing_of_ingredients(ask):
    analysis = ask(fid=dict.fromkeys(FID, 180.0))
    assert analysis.too_short
    text = readme(analysis, {"answers": "answers.png"})
    head = text[: text.index("**Contents:**")]
    assert head.splitlines()[2].startswith("**This budget is too short to say anything of ingredients:**")
    assert "ttention, on instead" not in head and "answers.png" not in head


def test_generated_and_real_images_stand_at_one_count(ask):
    def matched(library):
        for cell in library.plan.suites["factorial"]:
            sides = {"generated": {"fid": {"value": 16.0 + cell.seed}}, "real": {"fid": {"value": 1.5}}}
            path = library.paths.evaluation(cell.evaluation) / "metrics.json"
            rewrite(path, matched={"count": 500, "split": "test", **sides})

    analysis = ask(change=matched)
    [(metric, generated, real)] = analysis.beside.figures
    assert (metric.name, generated, real, analysis.beside.count) == ("fid", 17.5, 1.5, 500)
    text = readme(analysis, {})
    assert "| 500 images of each | FID ↓ |" in text and "1000 real test images" not in text


def test_a_suite_that_asks_nothing_has_no_questions(ask):
    assert ask("").questions is None


def test_the_answers_are_data_too(ask):
    analysis = ask()
    flat = tables.summary(analysis)
    assert flat["question/attention.fid_percent"] == analysis.questions.answered[0].percent
    columns, rows = tables.answers(analysis)
    assert len(rows) == 12 and (rows[0]["metric"], rows[0]["question"]) == ("fid", "attention")
    assert rows[0]["low"] < rows[0]["effect"] < rows[0]["high"] and rows[0]["surely_better"] is True
    assert list(rows[0]) == columns


def test_a_variants_name_may_hold_dots(make_library, tmp_path):
    text = PARAMS.replace("no-attention:", "no.attention.fid:").replace("no-attention", "no.attention.fid")
    library = make_library(tmp_path, ["few"], {"no.attention.fid": 19.0}, pictures=False, text=text)
    render("few", library.plan, library.params, library.paths)
    folder = library.paths.report("few")
    flat = json.loads((folder / "summary.json").read_text())
    assert (
        flat["no.attention.fid.measured"] == 2
        and flat["inception/no.attention.fid.fid"] == 4 * flat["no.attention.fid.fid"]
    )
    assert not [name for name in flat if name.startswith("inception/") and name.endswith((".measured", ".missing"))]
    assert measured_in_report(folder) == 4
    assert "4 of 4 measured" in index_text(library.params, library.paths)


def test_the_share_of_sampling_is_of_the_spread_between_runs(ask):
    def draw_twice(library):
        for cell in library.plan.suites["factorial"]:
            with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
                fid = record["metrics"]["fid"]
                fid["draws"] = [fid["value"], fid["value"] * 1.02]

    analysis = ask(change=draw_twice)
    spread = analysis.questions.answered[0].answer.effect.spread
    assert analysis.questions.sampling == pytest.approx(100 * math.log(1.02) ** 2 / 2 / spread**2)
    assert "comes from which images were sampled" in readme(analysis, {})


def test_the_index_has_the_answers_of_every_suite_that_asks(make_library, tmp_path):
    text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} questions: [attention, sn],")
    library = make_library(tmp_path, ["factorial", "few"], pictures=False, text=text)
    for suite in ("factorial", "few"):
        render(suite, library.plan, library.params, library.paths)
    index = index_text(library.params, library.paths)
    assert "| | [factorial](factorial/README.md) |\n|---|---|\n| attention | **helps**: " in index
    assert "| spectral norm in the generator | **helps**: " in index and "(few/README.md) | digits, 28x28 |" in index
    # An early answer says so; a report of an older version has no column of it.
    effects = library.paths.report("factorial") / "effects.csv"
    table = pd.read_csv(effects)
    table.assign(answered_at=2).to_csv(effects, index=False)
    assert index_text(library.params, library.paths).count("), answered at 2 seeds |") == 2
    table.drop(columns="answered_at").to_csv(effects, index=False)
    assert index_text(library.params, library.paths) == index


def test_the_index_tells_an_effect_at_each_level_where_a_suite_is_sure_that_it_depends(make_library, tmp_path):
    text = PARAMS.replace(FACTORIAL, f"{FACTORIAL} questions: [attention, sn],")
    crossed = {"sagan": 10.0, "no-attention": 20.0, "sn-d-only": 20.0, "grid-off-d": 10.0}
    library = make_library(tmp_path, ["factorial"], FID | crossed, pictures=False, text=text)
    render("factorial", library.plan, library.params, library.paths)
    index = index_text(library.params, library.paths)
    [on, off] = [line for line in index.splitlines() if line.startswith("| attention, where ")]
    told = "| attention, where spectral norm in the generator is {} | **depends**: {}"
    assert on.startswith(told.format("on", "\N{MINUS SIGN}4")) and " (" in on
    assert off.startswith(told.format("off", "+"))
