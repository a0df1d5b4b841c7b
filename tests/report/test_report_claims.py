import json

import pytest

from sagan.report.claims import claims
from sagan.report.collect import collect


@pytest.fixture
def judged(make_library, tmp_path):
    """suite, FIDs and a change to each evaluation -> the claims by number."""

    def judge(suite, fid=None, change=None):
        library = make_library(tmp_path, [suite], fid, pictures=False)
        for cell in library.plan.suites[suite]:
            path = library.paths.evaluation(cell.evaluation) / "metrics.json"
            if change and path.exists():
                record = json.loads(path.read_text())
                change(record)
                path.write_text(json.dumps(record))
        found = claims(collect(suite, library.plan, library.params, library.paths))
        return dict(enumerate(found, start=1))

    return judge


def test_the_made_up_library(judged):
    found = judged("made-up")
    assert [found[number].verdict for number in range(1, 9)] == [
        "supported",
        "supported",
        "supported",
        "supported",
        "not decided",
        "not decided",
        "not decided",
        "supported",
    ]
    assert "lower in 5 of 5 seeds" in found[1].measured
    assert "0 of 5 runs lost with, 1 of 5 without" in found[5].measured


def test_attention_that_does_not_help_contradicts(judged):
    assert judged("made-up", {"no-attention": 9.0})[1].verdict == "contradicted"


def test_attention_within_the_noise_is_no_help_either(judged):
    def same(record):
        record["metrics"]["fid"]["value"] = 14.0 + 0.01 * record["seed"]

    found = judged("factorial", change=same)[1]
    assert found.verdict == "contradicted"
    assert "below the noise floor" in found.measured


def test_two_seeds_decide_nothing_about_quality(judged):
    found = judged("few", {"no-attention": 90.0})
    assert found[1].verdict == "not decided"
    assert "too few seeds" in found[1].measured


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
    assert "before training: generator at 14: 0.600 to 0.600 in 8 runs" in found.measured


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


def test_steadier_generators_are_seen_in_the_spread(judged):
    def wild(record):
        if record["variant"] in ("sn-d-only", "grid-off-d"):
            record["metrics"]["fid"]["value"] += 8 * (-1) ** record["seed"]

    assert judged("factorial", change=wild)[5].verdict == "supported"


def test_more_discriminator_steps_that_help_contradict(judged):
    assert judged("made-up", {"two-d-steps": 5.0})[6].verdict == "contradicted"


def test_more_discriminator_steps_that_harm_support(judged):
    assert judged("made-up", {"two-d-steps": 25.0})[6].verdict == "supported"


def test_nothing_measured_decides_nothing(judged):
    assert {claim.verdict for claim in judged("empty").values()} == {"not decided"}
