"""The plan of seeds until decided is a replay over the records: it depends on nothing else."""

import random
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sagan.analysis.seeds import planned
from sagan.errors import UserError
from sagan.params.loading import load_params
from sagan.store.records import write_json
from tests.made_up import evaluation_record, run_record, write_manifest

ROOT = Path(__file__).parents[2]


def workspace(paths, seeds, questions=("attention",)):
    """A workspace that asks `questions` of quick's grid, on a dataset that is prepared."""
    yaml = YAML()
    tree = yaml.load((ROOT / "params.yaml").read_text())
    suite = tree["suites"]["quick"]
    suite["variants"], suite["seeds"], suite["questions"] = ["sagan-grid"], seeds, list(questions)
    suite["baseline"] = "sagan"
    tree["suites"] = {"quick": suite}
    paths.root.mkdir(parents=True, exist_ok=True)
    yaml.dump(tree, paths.params)
    write_manifest(paths)
    return load_params(paths.params)


def measure(params, paths, plan, gap, most=99, spread=0.1):
    """Finish and measure what the plan asks for: FID 10, times 1 + gap without attention, with seeded noise."""
    levels = params.grids["sagan-grid"]
    for cell in plan.suites["quick"]:
        run = plan.runs[cell.run]
        if cell.seed >= most or (paths.evaluation(cell.evaluation) / "metrics.json").exists():
            continue
        noise = random.Random(f"{cell.variant} {cell.seed}").gauss(0, spread)
        fid = 10 * (1 + gap * (levels[cell.variant]["attention"] == "off")) * (1 + noise)
        last = {"step": 800, "images": 25600, "seconds": 10.0}
        write_json(paths.run(cell.run) / "run.json", run_record(run, last, None, 1000.0))
        metrics = {"fid": {"value": fid, "status": "measured", "name": "fid", "protocol": {"generated_count": 4000}}}
        reference = next(iter(plan.references))
        write_json(paths.evaluation(cell.evaluation) / "metrics.json", evaluation_record(run, cell, reference, metrics))


def seeds_of(plan):
    return sorted({cell.seed for cell in plan.suites["quick"]})


def run_to_the_end(params, paths, gap):
    """What the launcher does: plan, make, plan again until nothing is added; the numbers of seeds on the way."""
    counts, plan = [], planned(params, paths)
    while not counts or len(seeds_of(plan)) > counts[-1]:
        counts.append(len(seeds_of(plan)))
        measure(params, paths, plan, gap)
        plan = planned(params, paths)
    return counts


@pytest.mark.parametrize(("gap", "counts"), [(1.0, [3]), (0.0, [3, 6, 12])])
def test_seeds_are_added_until_it_is_decided_or_the_most_is_reached(paths, gap, counts):
    params = workspace(paths, {"least": 3, "most": 12})
    assert run_to_the_end(params, paths, gap) == counts


def test_a_look_waits_for_all_of_its_runs(paths):
    params = workspace(paths, {"least": 3, "most": 12})
    measure(params, paths, planned(params, paths), gap=0.0, most=2)
    assert seeds_of(planned(params, paths)) == [0, 1, 2]


def test_the_plan_is_the_same_whatever_was_killed_on_the_way(paths, tmp_path):
    """Runs that come in any order, and plans that are made at any time, end in one plan."""
    params = workspace(paths, {"least": 3, "most": 12})
    run_to_the_end(params, paths, 0.0)
    other = type(paths)(tmp_path / "other")
    halting = workspace(other, {"least": 3, "most": 12})
    for most in (1, 2, 3, 4, 5, 6, 7, 9, 12):
        measure(halting, other, planned(halting, other), 0.0, most)
    assert planned(halting, other) == planned(params, paths)


def test_a_lower_most_truncates(paths):
    params = workspace(paths, {"least": 3, "most": 12})
    run_to_the_end(params, paths, 0.0)
    full = planned(params, paths)
    lower = planned(workspace(paths, {"least": 3, "most": 6}), paths)
    assert seeds_of(lower) == list(range(6))
    assert lower.suites["quick"] == [cell for cell in full.suites["quick"] if cell.seed < 6]


def test_a_number_of_seeds_is_just_that(paths):
    assert seeds_of(planned(workspace(paths, 2), paths)) == [0, 1]


@pytest.mark.parametrize(
    ("questions", "message"),
    [
        ([], r"suites\.quick\.seeds = .*say which factors `questions:` are"),
        (["atention"], r"suites\.quick\.questions\[0\] = 'atention': no such factor .*did you mean 'attention'"),
    ],
)
def test_seeds_until_decided_want_questions_that_a_grid_has(paths, questions, message):
    with pytest.raises(UserError, match=message):
        workspace(paths, {"least": 3, "most": 12}, questions)
