"""`verify`: what a report says of a run is held against the run made anew."""

import re
import shutil

import pandas as pd
import pytest

from sagan.errors import UserError
from sagan.store.records import file_digest
from sagan.verifying import Reported, agreement, chosen, judged, reported_runs, verify
from tests import commit
from tests.metrics.conftest import World, measured  # noqa: F401 (a fixture)

TOLD = Reported("a-s0-0123456789", "a-s0-0123456789.0123456789", 10.0, "0" * 64, 1.0, "cpu (A)")


@pytest.mark.parametrize(
    ("same_bytes", "fid", "device", "same", "begins"),
    [
        (True, 10.0, "cpu (A)", True, "same bytes: a-s0-0123456789, FID 10.0000 in the report, 10.0000 here"),
        (False, 10.005, "cpu (B)", True, "same figures within rounding, other bytes"),
        (True, 10.5, "cpu (A)", False, "different: a-s0-0123456789 has the same weights, and is measured otherwise"),
        (False, 11.0, "cpu (A)", False, "different: a-s0-0123456789 has other weights: FID 10.0000"),
        (False, 11.0, "cpu (B)", False, "different: a-s0-0123456789 has other weights: FID 10.0000"),
        (
            False,
            None,
            "cpu (A)",
            False,
            "different: a-s0-0123456789 has other weights: FID 10.0000 in the report, none",
        ),
    ],
)
def test_a_verdict_says_what_is_the_same(same_bytes, fid, device, same, begins):
    verdict = judged(TOLD, same_bytes, fid, device)
    assert verdict.same == same and verdict.text.startswith(begins)
    assert ("repeated on cpu (B)" in verdict.text) == (not same and device == "cpu (B)")


@pytest.fixture
def reported(measured, tmp_path):  # noqa: F811
    """A copy of the small suite without its run, and with the report of it, of which some columns may be changed."""
    shutil.copytree(measured.paths.root, tmp_path / "copy")
    world = World(tmp_path / "copy")
    row = {
        "run": world.run.key,
        "evaluation": world.evaluation.key,
        "fid": measured.record["metrics"]["fid"]["value"],
        "generator_sha256": file_digest(world.run_folder / "generator.safetensors"),
        "seconds": 1.0,
        "device": measured.record["provenance"]["device"],
    }
    shutil.rmtree(world.run_folder)

    def report(**changes):
        folder = world.paths.report("small")
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame([row | changes]).to_csv(folder / "results.csv", index=False)
        return world

    return report


def test_a_run_that_has_another_name_in_the_plan_is_the_same_run(reported):
    """As one that two suites share."""
    world = reported()
    other = [re.sub(r"^[^.]*(?=-s\d+-)", "renamed", key) for key in (world.run.key, world.evaluation.key)]
    assert chosen("small", world.plan, reported(run=other[0], evaluation=other[1]).paths, None).run == world.run.key


def test_the_same_run_has_the_same_bytes_and_figure(reported):
    world = reported()
    verdict = verify("small", world.plan, world.paths)
    assert verdict.same and verdict.text.startswith(f"same bytes: {world.run.key}, FID ")
    assert not world.run_folder.exists(), "the workspace's results are left alone"


def test_another_digest_is_noticed(reported):
    world = reported(generator_sha256="f" * 64, fid=1.0)
    verdict = verify("small", world.plan, world.paths)
    assert not verdict.same and verdict.text.startswith("different: ")


def test_what_cannot_be_verified_is_one_line(reported):
    reported = reported()
    with pytest.raises(UserError, match=r"nothing.*: no run of .*small"):
        verify("small", reported.plan, reported.paths, "nothing")
    with pytest.raises(UserError, match=r"reports.other.results\.csv: no such report"):
        verify("other", reported.plan, reported.paths)
    reported.plan.evaluations.clear()
    with pytest.raises(UserError, match="check out the commit that made the report"):
        verify("small", reported.plan, reported.paths)


# --- the whole report -----------------------------------------------------------------------------

EFFECTS = "question,level,instead_of,given,metric,space,at,budget,estimate,answer\n"
AGREE = "answers agree with the committed report"
ANSWERS = {
    ("attention", "on", "off"): "helps",
    ("ratio", "b", "a"): "not decided",
    ("rate", "fast", "slow"): "hurts",
}


def write_tables(folder, answers=ANSWERS, factor=1.0, device="cpu (A)", name="a", last="0123456789"):
    """A report with its answers on FID per step among other rows, and two runs."""
    folder.mkdir(parents=True, exist_ok=True)
    effects = EFFECTS
    for (question, level, instead_of), answer in answers.items():
        key = f"{question},{level},{instead_of}"
        effects += f"{key},,fid,digits,steps,10,-3,{answer}\n{key},,fid,digits,steps,5,-3,\n"
        effects += f"{key},,fid,digits,time,10,{factor},helps\n{key},,kid,digits,steps,10,{factor},hurts\n"
        effects += f"{key},other=x,fid,digits,steps,10,{factor},hurts\n{key},,fid,random,steps,10,{factor},hurts\n"
    effects += f"variant,x,y,,fid,digits,steps,10,{factor},helps\n"
    (folder / "effects.csv").write_text(effects)
    runs = "variant,run,evaluation,fid,device\n"
    for seed, fid, key in ((0, 10.0, "9876543210"), (1, 20.0, last)):
        runs += f"{name},{name}-s{seed}-{key},{name}-s{seed}-{key}.abcdef0123,{fid * factor**seed},{device}\n"
    (folder / "results.csv").write_text(runs)


@pytest.fixture
def committed_report(paths):
    """A committed report; the folder that it lies in."""
    write_tables(paths.report("s"))
    commit(paths.root)
    return paths.report("s")


def test_a_report_that_is_the_committed_one_needs_no_word(committed_report, paths):
    assert agreement("s", paths) is None and agreement("none", paths) is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"factor": 1.09, "device": "cpu (B)", "name": "b"},
            f"3 of 3 {AGREE} (FIDs of 2 equal keys differ by up to 9 %, on another device)",
        ),
        ({"factor": 1.0001}, f"3 of 3 {AGREE} (FIDs of 2 equal keys are the same)"),
        (
            {"factor": 0.5, "device": "cuda (C)", "last": "1111111111"},
            f"3 of 3 {AGREE} (FIDs of 1 equal keys are the same, on another device)",
        ),
        (
            {"answers": ANSWERS | {("rate", "fast", "slow"): "not decided"}, "factor": 1.2},
            f"2 of 3 {AGREE} (FIDs of 2 equal keys differ by up to 20 %); "
            "rate (fast instead of slow): not decided, committed hurts",
        ),
        (
            {"answers": dict.fromkeys(list(ANSWERS)[:1], "helps")},
            f"1 of 3 {AGREE} (FIDs of 2 equal keys are the same); ratio (b instead of a): no answer, committed "
            "not decided; rate (fast instead of slow): no answer, committed hurts",
        ),
    ],
)
def test_a_report_written_anew_is_held_against_the_committed_one(committed_report, paths, changes, line):
    write_tables(committed_report, **changes)
    assert agreement("s", paths) == line


def test_a_run_to_be_repeated_is_taken_from_the_committed_report(committed_report, paths):
    told = "run,evaluation,fid,generator_sha256,seconds,device\n{0}-s0-1,{0}-s0-1.2,10.0,00,1.0,cpu (A)\n"
    (committed_report / "results.csv").write_text(told.format("committed"))
    commit(paths.root)
    (committed_report / "results.csv").write_text(told.format("anew"))
    assert [run.run for run in reported_runs("s", paths)] == ["committed-s0-1"]
