"""The state of runs, and what `prune` may delete."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from sagan.params.loading import load_params
from sagan.plan import Cell, Evaluation, Plan, make_plan
from sagan.plan.listing import Costs, missing, plan_lines, prune_results
from sagan.store.locks import exclusive
from sagan.store.reading import last_step, run_state
from sagan.store.records import write_json
from sagan.training.loop import Data, train
from tests import varied
from tests.made_up import evaluation_record, write_manifest

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


def prune(params, paths, delete):
    return prune_results(params, paths, lambda suite: make_plan(params, paths, [suite]), delete)


def test_a_run_is_missing_then_stopped_then_finished(run, images, paths):
    assert run_state(run.key, paths) == "missing"
    write_json(paths.state(run.key) / "00000003.json", {})
    assert run_state(run.key, paths) == "stopped at step 3"
    with exclusive(paths.run(run.key)):
        assert run_state(run.key, paths) == "training at step 3"
    (paths.state(run.key) / "00000003.json").unlink()
    train(run, Data(images), paths)
    assert run_state(run.key, paths) == "finished"


@pytest.fixture
def planned(paths):
    """One suite, prepared, with one of its runs on disk and another that nothing asks for."""
    write_manifest(paths)
    wanted = next(iter(make_plan(PARAMS, paths).runs))
    for key in (wanted, "old-s0-0123456789"):
        write_json(paths.run(key) / "run.json", {"key": key, "dataset": "mnist5k"})
    return wanted


def test_prune_lists_first_and_deletes_what_nothing_asks_for_when_told(planned, paths):
    linked, elsewhere = paths.run("linked-s0-0123456789"), paths.root / "elsewhere"
    write_json(elsewhere / "run.json", {"key": linked.name, "dataset": "mnist5k"})
    linked.symlink_to(elsewhere)
    write_json(paths.root / "state" / "torn" / "x" / "run.json", {})
    lines = list(prune(PARAMS, paths, delete=False))
    assert any("old-s0" in line for line in lines) and not any(planned in line for line in lines)
    assert paths.run("old-s0-0123456789").exists()
    list(prune(PARAMS, paths, delete=True))
    assert not paths.run("old-s0-0123456789").exists() and paths.run(planned).exists()
    assert not linked.is_symlink() and (elsewhere / "run.json").exists()
    assert not (paths.root / "state" / "torn" / "x").exists()


def test_results_in_further_feature_spaces_are_asked_for(paths, inception):
    write_manifest(paths)
    quick = PARAMS.suites["quick"]
    evaluation = quick.evaluation.model_copy(update={"also": ["inception"]})
    params = PARAMS.model_copy(
        update={"suites": PARAMS.suites | {"quick": quick.model_copy(update={"evaluation": evaluation})}}
    )
    plan = make_plan(params, paths)
    cell = plan.suites["quick"][0]
    for key in cell.evaluations:
        assert key in missing(plan, paths)
    run, key = plan.runs[cell.run], cell.also["inception"]
    record = evaluation_record(run, cell, plan.evaluations[key].reference, None, key=key)
    write_json(paths.evaluation(key) / "metrics.json", record)
    assert cell.also["inception"] not in missing(plan, paths) and cell.evaluation in missing(plan, paths)
    assert any(f"{cell.run}  missing, measured in 1 of 2 feature spaces" in line for line in plan_lines(plan, paths))
    list(prune(params, paths, delete=True))
    assert paths.evaluation(cell.also["inception"]).exists()
    list(prune(PARAMS, paths, delete=True))
    assert not paths.evaluation(cell.also["inception"]).exists()


def test_prune_never_touches_what_is_running(planned, paths):
    with exclusive(paths.run("old-s0-0123456789")):
        list(prune(PARAMS, paths, delete=True))
    assert paths.run("old-s0-0123456789").exists()


def test_prune_keeps_what_it_cannot_tell_about(planned, paths):
    dataset = next(d for d in PARAMS.datasets if d not in {PARAMS.suites[s].dataset for s in ("quick",)})
    assert dataset in {suite.dataset for suite in PARAMS.suites.values()}
    for key, of in (("kept-s0-0123456789", dataset), ("gone-s0-0123456789", "mnist5k")):
        write_json(paths.run(key) / "run.json", {"key": key, "dataset": of})
    lines = list(prune(PARAMS, paths, delete=True))
    assert paths.run("kept-s0-0123456789").exists() and not paths.run("gone-s0-0123456789").exists()
    kept = rf"kept: all results on {dataset}, .*manifest\.json: dataset .* is not prepared; run `python -m sagan data"
    assert any(re.match(kept, line) for line in lines)


def test_a_failure_is_told_from_a_stop(run, paths):
    log = paths.root / "state" / "logs" / f"{run.key}.log"
    log.parent.mkdir(parents=True)
    write_json(paths.state(run.key) / "00000003.json", {})
    log.write_text("boom\ntrain left with exit code 1\n")
    assert run_state(run.key, paths).startswith("failed past step 3 (exit code 1, state/logs/")
    log.write_text("train left with exit code 75\n")
    assert run_state(run.key, paths) == "stopped at step 3"


def test_the_last_step_is_read_from_a_log_that_is_being_written(run, paths):
    folder = paths.run(run.key)
    folder.mkdir(parents=True)
    assert last_step(run.key, paths) == 0
    told = {step: {"seconds": step / 8, "time": step / 4} for step in (10, 20)}
    lines = [json.dumps({"step": step, "images": 40, **spent}) for step, spent in told.items()]
    (folder / "log.jsonl").write_text("\n".join([*lines, '{"st']))
    assert last_step(run.key, paths) == 20
    # What it took so far tells what it and others like it take.
    other = dataclasses.replace(run, key="other", seed=7)
    plan = Plan({run.key: varied(run, {"steps": 100}), "other": other}, {}, {}, {})
    assert Costs(plan, paths).seconds(run.key, 20) == 80 / 4
    assert Costs(plan, paths).seconds("other") == run.config["training"]["steps"] / 4


def test_neither_a_pause_nor_steps_that_go_back_are_pace(run, paths):
    """An hour in which it was stopped, and a resume from an earlier step. `seconds` are the training's own."""
    paths.run(run.key).mkdir(parents=True)
    told = [(10, 5.0, 100.0), (20, 10.0, 3705.0), (15, 7.5, 3800.0), (25, 12.5, 3805.0)]
    lines = [json.dumps({"step": a, "images": 40, "seconds": b, "time": c}) for a, b, c in told]
    (paths.run(run.key) / "log.jsonl").write_text("\n".join(lines) + "\n")
    plan = Plan({run.key: varied(run, {"steps": 100})}, {}, {}, {})
    assert Costs(plan, paths).seconds(run.key, 25) == 75 / 2
    # Of two lines with the hour between them no more is known than what the training itself took.
    (paths.run(run.key) / "log.jsonl").write_text("\n".join(lines[:2]) + "\n")
    assert Costs(plan, paths).seconds(run.key, 20) == 80 * 0.5 * 10


def test_a_cost_comes_from_runs_of_the_same_recipe(run, images, paths):
    plan = Plan({run.key: run}, {}, {}, {})
    assert Costs(plan, paths).seconds(run.key) is None
    record = train(run, Data(images), paths).content()
    # Without the first step, which loads libraries.
    assert record["steady_steps"] == record["steps"] - 1 and record["steady_seconds"] < record["step_seconds"]
    expected = record["steps"] * record["steady_seconds"] / record["steady_steps"]
    assert Costs(plan, paths).seconds(run.key) == pytest.approx(expected)
    longer = varied(run, {"steps": 10 * record["steps"]})
    costs = Costs(Plan({"longer": longer}, {}, {}, {}), paths)
    assert costs.seconds("longer") == pytest.approx(10 * expected)
    assert costs.seconds("longer", record["steps"]) == pytest.approx(9 * expected)


def test_a_measurement_costs_what_those_against_its_reference_took(run, paths):
    cell = Cell(run.variant, run.seed, run.key, "done")
    evaluations = {
        key: Evaluation(key, run.key, of, {}, "c", {}) for key, of in (("next", "real"), ("other", "another"))
    }
    plan = Plan({run.key: run}, {}, evaluations, {})
    assert Costs(plan, paths).seconds("next") is None
    record = evaluation_record(run, cell, "real", {}, seconds=60.0, generated_images=15)
    write_json(paths.evaluation("done") / "metrics.json", record)
    assert Costs(plan, paths).seconds("next") == 60.0 and Costs(plan, paths).seconds("other") is None


def test_a_plan_says_what_is_to_do_and_what_is_on_disk_with_its_references(paths):
    write_manifest(paths)
    plan = make_plan(PARAMS, paths)
    [reference] = plan.references
    write_json(paths.reference(reference) / "reference.json", "x" * 3_000_000)
    assert "suite quick  3.0 MB" in prune(PARAMS, paths, delete=False)
    [line] = [line for line in plan_lines(plan, paths) if line.startswith("  3.0 MB on disk")]
    assert f"to do: {len(plan.runs)} runs of unknown cost (none" in line
