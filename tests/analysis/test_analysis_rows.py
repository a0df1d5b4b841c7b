import json

import pytest

from sagan.analysis.build import analysis_of
from sagan.analysis.rows import collect
from sagan.report.document import readme
from tests.report.outcomes import INCEPTION, edited, lose


@pytest.fixture(scope="module")
def records(library):
    return collect("made-up", library.plan, library.params, library.paths)


def test_the_typical_run_has_the_median_fid_and_the_worse_of_two(records):
    for variant in ("sagan", "no-attention", "sn-d-only", "ttur-1"):
        fids = sorted(records.figures(variant).values())
        assert analysis_of(records).space.variants[variant].typical.metric("fid") == fids[len(fids) // 2]


def test_status_tells_missing_diverged_and_unevaluated_apart(records):
    status = {(row.variant, row.seed): (row.status, bool(row.training)) for row in records.rows}
    assert status["ttur-1", 2] == ("missing", False)
    assert status["ttur-1", 4] == ("missing", True)
    assert status["dcgan", 3] == ("diverged", True)
    assert status["sagan", 0] == ("measured", True)


def test_collapse_is_what_the_measurement_recorded(records):
    assert [(row.variant, row.seed) for row in records.rows if row.collapsed] == [("sn-d-only", 4)]


def changed_record(library, change):
    """A row of the suite `few` after a change of its metrics.json."""
    with edited(library.paths.evaluation(library.cell("few", "sagan", 1).evaluation) / "metrics.json") as record:
        change(record)
    return collect("few", library.plan, library.params, library.paths).of("sagan")[1]


def test_what_went_wrong_without_a_collapse_is_told_apart(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], {"sagan": 300.0}, pictures=False)
    rows = collect("few", library.plan, library.params, library.paths).of("sagan")
    assert all(row.learned_nothing and row.went_wrong and not row.collapsed for row in rows)

    def end_far_from_its_best(record):
        record["curve"][-2]["fid"] = 0.4 * record["curve"][-1]["fid"]
        record["untrained"]["fid"]["value"] = 1000.0

    row = changed_record(library, end_far_from_its_best)
    assert row.worsened and row.went_wrong and not row.collapsed and not row.learned_nothing


def test_the_untrained_generator_of_seed_0_stands_for_its_recipe(make_library, tmp_path):
    def not_measured(record):
        record["untrained"]["fid"]["value"] = None
        record["metrics"]["fid"]["value"] = 400.0

    row = changed_record(make_library(tmp_path, ["few"], pictures=False), not_measured)
    assert row.fid_untrained == 210.0 and row.learned_nothing


def test_too_few_images_for_a_figure_are_no_collapse(make_library, tmp_path):
    def without_fid(record):
        record["metrics"]["fid"] |= {"value": None, "status": "too few images: 100, and 2048 features need 2048"}

    row = changed_record(make_library(tmp_path, ["few"], pictures=False), without_fid)
    assert row.defect.startswith("too few") and not row.collapsed and not row.went_wrong


def test_a_further_space_has_rows_and_a_floor_of_its_own(library):
    records = collect("few", library.plan, library.params, library.paths)
    [(extractor, other)] = records.also.items()
    assert (records.extractor, extractor, other.extractor) == ("classifier", "inception", "inception")
    assert (records.floor, other.floor) == (0.9, 3.1)
    for mine, same in zip(records.rows, other.rows, strict=True):
        assert (mine.run, mine.seed) == (same.run, same.seed) and mine.evaluation_key != same.evaluation_key
        assert same.metric("fid") == 4 * mine.metric("fid")


def test_seconds_between_log_lines_are_interpolated(records):
    row = records.of("sagan")[0]
    assert row.at_step(0) == {"images": 0, "seconds": 0, "step_seconds": 0}
    expected = {"images": 480, "seconds": 480 / 820, "step_seconds": 0.9 * 480 / 820}
    assert row.at_step(15) == pytest.approx(expected)
    assert set(records.of("ttur-1")[2].at_step(100).values()) == {None}


def test_a_value_that_was_not_finite_is_no_figure(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    cell = library.cell("few", "sagan", 1)
    with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
        record["metrics"]["fid"]["value"] = None
        record["curve"][1]["fid"] = None
    found = collect("few", library.plan, library.params, library.paths)
    assert list(found.figures("sagan")) == [0]
    assert [step for step, _ in found.of("sagan")[1].curve] == [0, 200, 300, 400]


def test_a_diverged_variant_is_shown_by_its_first_run(records, make_library, tmp_path):
    library = make_library(tmp_path, ["made-up"], pictures=False)
    for seed in (0, 1, 2):
        cell = library.cell("made-up", "dcgan", seed)
        (library.paths.evaluation(cell.evaluation) / "metrics.json").unlink()
        (library.paths.run(cell.run) / "run.json").unlink()
    found = collect("made-up", library.plan, library.params, library.paths)
    typical = analysis_of(found).space.variants["dcgan"].typical
    assert (typical.seed, typical.status) == (3, "diverged")


def test_images_that_are_all_the_same_are_a_collapse(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    with edited(library.paths.evaluation(library.cell("few", "sagan", 1).evaluation) / "metrics.json") as record:
        record["metrics"]["fid"]["status"] = "the generator is constant"
    row = collect("few", library.plan, library.params, library.paths).of("sagan")[1]
    assert (row.defect, row.collapsed, row.status) == ("the generator is constant", True, "measured")


def with_digests(library, digests):
    """The suite `few` with a reference of weights "1111…", and its evaluations, in order, measured with these."""
    reference = library.paths.reference(next(iter(library.plan.references))) / "reference.json"
    reference.write_text(json.dumps(json.loads(reference.read_text()) | {"weights_digest": "1" * 64}))
    for cell, digest in zip(library.plan.suites["few"], digests, strict=False):
        with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
            record |= {"curve_protocol": {"weights_digest": digest * 64}}
            for metric in record["metrics"].values():
                metric["protocol"]["weights_digest"] = digest * 64
    return collect("few", library.plan, library.params, library.paths)


def test_figures_of_another_classifier_than_the_references_do_not_count(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    records = with_digests(library, ["1", "2", "1", "1"])
    assert [row.status for row in records.rows] == ["measured", "missing", "measured", "measured"]
    assert list(records.figures("sagan")) == [0] and not records.rows[1].curve
    key = records.rows[1].evaluation_key
    line = next(line for line in readme(analysis_of(records), {}).splitlines() if f"`{records.rows[1].run}`" in line)
    assert "missing: measured with other weights (222222222222) than the reference here has (111111111111)" in line
    assert f"delete results/evaluations/{key} and run" in line.replace("\\", "")


def test_a_diverged_run_measured_with_another_classifier_stays_diverged_and_says_so(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    cell = library.plan.suites["few"][0]
    lose(library.paths, cell)
    records = with_digests(library, ["2"])
    assert records.rows[0].status == "diverged" and not records.rows[0].curve
    assert "diverged at step 230: loss\\_d is not finite; measured with other weights" in readme(
        analysis_of(records), {}
    )


def test_a_further_space_says_which_of_its_evaluations_do_not_count(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    reference = library.paths.reference(INCEPTION) / "reference.json"
    reference.write_text(json.dumps(json.loads(reference.read_text()) | {"weights_digest": "1" * 64}))
    path = library.paths.evaluation(library.cell("few", "sagan", 1).also["inception"]) / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"curve_protocol": {"weights_digest": "2" * 64}}))
    records = collect("few", library.plan, library.params, library.paths)
    text = readme(analysis_of(records), {})
    assert records.figures("sagan").keys() == {0, 1} and records.also["inception"].figures("sagan").keys() == {0}
    assert "3 of 4 runs are measured in this space" in text
    assert "\n- Not counted: sagan seed 1: measured with other weights" in text


def test_a_figure_of_a_metric_whose_code_has_changed_since_does_not_count(make_library, tmp_path):
    def changed_since(record):
        record["metrics"]["recall"]["code"] = "0" * 16

    row = changed_record(make_library(tmp_path, ["few"], pictures=False), changed_since)
    assert row.metric("recall") is None and row.reason("recall").startswith("not measured by the present code")
    assert row.metric("precision") is not None and row.metric("fid") is not None
