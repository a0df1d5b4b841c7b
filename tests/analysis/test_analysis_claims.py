import dataclasses

import pytest

from sagan.analysis.claims import CLAIMS, claims
from sagan.analysis.comparisons import single_ingredients
from sagan.analysis.questions import questions
from sagan.analysis.rows import collect
from sagan.analysis.wording import MINUS
from tests.report.conftest import PARAMS
from tests.report.outcomes import edited

# The grid's suite asks questions.
ASKING = PARAMS.replace("factorial: {<<: *suite,", "factorial: {<<: *suite, questions: [attention, sn],")


def by_number(records):
    """The claims that a suite tests, by their place in `CLAIMS` from 1."""
    asked = questions(records)
    found = claims(records, [*(asked.answered if asked else []), *single_ingredients(records)])
    return {CLAIMS.index(claim) + 1: finding for claim, finding in found.items()}


@pytest.fixture
def judged(make_library, tmp_path_factory):
    """suite, FIDs and a change to each evaluation -> the claims by number."""

    def judge(suite, fid=None, change=None):
        library = make_library(tmp_path_factory.mktemp("library"), [suite], fid, pictures=False, text=ASKING)
        for cell in library.plan.suites[suite]:
            path = library.paths.evaluation(cell.evaluation) / "metrics.json"
            if change and path.exists():
                with edited(path) as record:
                    change(record)
        return by_number(collect(suite, library.plan, library.params, library.paths))

    return judge


def test_the_made_up_library(judged):
    found = judged("made-up")
    supported, open_ = dict.fromkeys((1, 2, 3, 4, 8), "supported"), dict.fromkeys((5, 6), "not decided")
    assert {number: finding.verdict for number, finding in found.items()} == supported | open_
    assert found[1].measured.startswith(f"FID {MINUS}25.") and "; IS " in found[1].measured
    assert "0 of 5 runs lost or gone wrong with, 1 of 5 without" in found[5].measured


def test_attention_that_does_not_help_contradicts(judged):
    assert judged("made-up", {"no-attention": 9.0})[1].verdict == "contradicted"


def test_attention_that_gains_less_than_is_worth_having_is_no_help_either(judged):
    def same(record):
        record["metrics"]["fid"]["value"] = 14.0 + 0.01 * record["seed"]

    assert judged("factorial", change=same)[1].verdict == "contradicted"


def shifted(**others):
    """A change that gives the variants of "eight" these FIDs, or 14, the same distance apart in every seed."""
    fids = {"sagan": 14.0, "no-attention": 14.0, "sn-d-only": 14.0, "two-d-steps": 14.0} | others

    def change(record):
        if record["variant"] in fids and record["metrics"]:
            record["metrics"]["fid"]["value"] = fids[record["variant"]] + 0.01 * record["seed"]

    return change


def test_a_small_gain_that_is_sure_is_no_support(judged):
    change = shifted(**{"no-attention": 14.3})
    assert judged("eight", change=change)[1].verdict == "contradicted"


def test_more_steps_are_needless_where_no_gain_is_worth_having(judged):
    assert judged("eight", change=shifted())[6].verdict == "supported"
    assert judged("eight", change=shifted(**{"two-d-steps": 13.0}))[6].verdict == "contradicted"


def test_survivors_decide_no_claim(judged):
    """Attention and one step look worse among the survivors of what they are compared with."""
    runs = [(variant, seed) for variant in ("no-attention", "two-d-steps") for seed in range(3)]
    found = judged("eight", {"no-attention": 5.0, "two-d-steps": 5.0}, lost(*runs))
    assert (found[1].verdict, found[6].verdict) == ("not decided", "not decided")


def test_two_seeds_decide_nothing_about_quality(judged):
    assert judged("few", {"no-attention": 90.0})[1].verdict == "not decided"


def test_a_claim_about_single_runs_needs_four_of_them(make_library, tmp_path):
    library = make_library(tmp_path, ["factorial"], pictures=False, text=ASKING)
    records = collect("factorial", library.plan, library.params, library.paths)
    assert by_number(records)[4].verdict == "supported"
    fewer = dataclasses.replace(records, rows=[row for row in records.rows if row.seed < 1])
    assert by_number(fewer)[4].verdict == "not decided"


def test_attention_that_stays_shut_and_uniform_contradicts(judged):
    def shut(record):
        for layer in record["attention"].values():
            layer.update(gamma=-0.004, entropy=layer["entropy_uniform"])

    found = judged("factorial", change=shut)
    assert (found[3].verdict, found[4].verdict) == ("contradicted", "contradicted")


def test_maps_that_were_never_uniform_contradict(judged):
    def sharp_from_the_start(record):
        for point in record["curve"]:
            for layer in point["attention"].values():
                layer["entropy"] = 0.6 * layer["entropy_uniform"]

    found = judged("factorial", change=sharp_from_the_start)[4]
    assert found.verdict == "contradicted"
    assert "before training: generator at 14: 0.600 in 8 runs" in found.measured


def test_without_the_start_the_end_alone_decides(judged):
    def unknown(record):
        for point in record["curve"]:
            del point["attention"]

    found = judged("factorial", change=unknown)[4]
    assert found.verdict == "supported" and found.measured.endswith("before training: not recorded")


def test_layers_that_are_not_finite_are_left_out(judged):
    def spoilt(record):
        if record["seed"] == 0:
            for layer in record["attention"].values():
                layer.update(gamma=None, entropy=None)

    found = judged("factorial", change=spoilt)
    assert "in 6 runs" in found[3].measured and "in 6 runs" in found[4].measured


def test_the_sign_of_gamma_says_nothing(judged):
    def negated(record):
        for layer in record["attention"].values():
            layer["gamma"] = -layer["gamma"]

    found = judged("factorial", change=negated)[3]
    assert found.verdict == "supported" and "generator at 14: 0.150 to 0.240" in found.measured


def spread_out(factor):
    """A change that makes the FIDs of variants without spectral norm in the generator differ more."""

    def change(record):
        if record["variant"] in ("sn-d-only", "grid-off-d") and record["metrics"]:
            fid = record["metrics"]["fid"]
            fid["value"] = 40 + factor * (-1) ** record["seed"] * (1 + 0.1 * record["seed"])

    return change


def lost(*seeds_by_variant):
    """A change that lets these (variant, seed) diverge."""

    def change(record):
        if (record["variant"], record["seed"]) in seeds_by_variant:
            record |= {"status": "diverged", "metrics": {}, "attention": {}, "curve": []}

    return change


def test_steadier_generators_are_seen_in_the_spread(judged):
    found = judged("eight", change=spread_out(12))[5]
    assert found.verdict == "supported" and "0 of 8 runs lost or gone wrong with, 0 of 8 without" in found.measured


def test_an_unsteadier_generator_contradicts(judged):
    assert judged("eight", change=spread_out(0.05))[5].verdict == "contradicted"


def test_a_few_seeds_say_nothing_of_the_spread(judged):
    found = judged("factorial", change=spread_out(8))[5]
    assert found.verdict == "not decided" and "too few seeds to judge it (4 of 8)" in found.measured


def test_a_side_that_lost_all_its_runs_is_counted(judged):
    found = judged("eight", change=lost(*(("sn-d-only", seed) for seed in range(8))))[5]
    assert found.verdict == "supported"
    assert "0 of 8 runs lost or gone wrong with, 8 of 8 without (Fisher's p 0.0002)" in found.measured


def test_survivors_of_lost_runs_are_not_compared_in_spread(judged):
    def change(record):
        spread_out(12)(record)
        lost(("sn-d-only", 0))(record)

    found = judged("eight", change=change)[5]
    assert found.verdict == "not decided" and "not compared, since lost runs have none" in found.measured


def test_more_discriminator_steps_that_help_contradict(judged):
    assert judged("made-up", {"two-d-steps": 5.0})[6].verdict == "contradicted"


def test_more_discriminator_steps_that_harm_support(judged):
    assert judged("made-up", {"two-d-steps": 25.0})[6].verdict == "supported"


def test_a_claim_that_a_suite_does_not_test_takes_no_line(judged):
    assert judged("empty") == {}
    assert 7 in range(1, len(CLAIMS) + 1) and 7 not in judged("made-up")
