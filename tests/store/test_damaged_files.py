"""Files that are not what their place says: one line that names them, never a traceback, and nothing lost."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from sagan.cli import main
from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.plan.listing import missing, set_aside_invalid
from sagan.store import reading
from sagan.store.records import read_json, write_json
from tests.made_up import evaluation_record, run_record, write_manifest

ROOT = Path(__file__).parents[2]
DAMAGED = [b"", b"{}", b"[]", b'{"key": "a', b"\xff\xfe", b'"text"', b"[" * 100_000]


@pytest.fixture
def sagan(tmp_path, monkeypatch, capsys):
    """Runs a verb in a folder with params.yaml; its exit code, output and errors."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sagan", *map(str, arguments)])
        reading.warn_once.cache_clear()  # as in a process of its own
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def plan(sagan, paths):
    write_manifest(paths)
    return make_plan(load_params(paths.params), paths)


@pytest.fixture
def records(plan, paths):
    """The records of the first cell, by their names."""
    cell = plan.suites["quick"][0]
    run, evaluation = plan.runs[cell.run], plan.evaluations[cell.evaluation]
    of_run = run_record(run, {"step": 800, "images": 25_600, "seconds": 80.0}, None, 320.0)
    of_reference = {"key": evaluation.reference, "real_count": 4000, "accuracy": 0.98, "floor": {"fid": 1.0}}
    of_evaluation = evaluation_record(
        run, cell, evaluation.reference, {"fid": {"value": 9.0, "protocol": {"generated_count": 4000}}}
    ) | {"seconds": 9.0, "curve_protocol": {"generated_count": 1000}}
    written = {
        Path("results/runs") / cell.run / "run.json": of_run,
        Path("results/references") / evaluation.reference / "reference.json": of_reference,
        Path("results/evaluations") / cell.evaluation / "metrics.json": of_evaluation,
    }
    for path, record in written.items():
        write_json(paths.root / path, record)
    return {path.name: path for path in written}


def assert_one_line(left, *parts):
    code, _, errors = left
    assert code == 2 and errors.count("\n") == 1 and errors.startswith("sagan: "), errors
    assert len(errors) < 400 and all(part in errors for part in parts), errors


def test_whole_records_are_believed_and_stay(sagan, plan, paths, records):
    assert set_aside_invalid(plan, paths) == {}
    assert all((paths.root / path).exists() for path in records.values())
    code, output, errors = sagan("plan")
    assert (code, errors) == (0, "")
    assert f"{records['run.json'].parent.name}  finished, measured" in output
    assert f"{records['reference.json'].parent.name}  made" in output


@pytest.mark.parametrize("name", ["run.json", "reference.json", "metrics.json"])
@pytest.mark.parametrize("content", DAMAGED)
def test_a_record_that_is_none_counts_as_not_there_and_is_named_once(sagan, records, name, content):
    records[name].write_bytes(content)
    code, output, errors = sagan("plan")
    assert code == 0 and errors.count("\n") == 1 and str(records[name]) in errors
    state = {"run.json": "  missing, measured", "reference.json": "  missing", "metrics.json": "  finished, about"}[
        name
    ]
    key = records["run.json" if name == "metrics.json" else name].parent.name
    assert f"{key}{state}" in output or (name == "metrics.json" and f"{key}  finished, cost unknown" in output)


@pytest.mark.parametrize(
    "change",
    [{"curve": "text"}, {"curve": ["text"]}, {"metrics": 3}, {"status": None}, {"key": "another"}, {"provenance": []}],
)
def test_a_measurement_of_another_form_counts_as_not_there(plan, paths, records, change, capsys):
    path = paths.root / records["metrics.json"]
    write_json(path, json.loads(path.read_text()) | change)
    assert path.parent.name in missing(plan, paths)
    assert str(path) in capsys.readouterr().err


def test_what_is_no_record_is_set_aside_with_all_that_lies_beside_it(plan, paths, records):
    for name, path in records.items():
        (paths.root / path).write_text("{}")
        (paths.root / path).with_name("beside.txt").write_text(name)
    moved = set_aside_invalid(plan, paths)
    assert set(moved) == {path.parent.name for path in records.values()}
    assert sorted((place / "beside.txt").read_text() for place in moved.values()) == sorted(records)
    assert not any((paths.root / path).parent.exists() for path in records.values())
    assert set_aside_invalid(plan, paths) == {}


def test_the_report_shows_a_damaged_record_as_missing(sagan, records):
    records["metrics.json"].write_text("{}")
    code, _, errors = sagan("report")
    assert code == 0 and errors.count("\n") == 1 and str(records["metrics.json"]) in errors
    assert "27 are missing" in Path("reports/quick/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", DAMAGED)
def test_a_manifest_that_is_none_is_named_with_what_makes_it(sagan, plan, content):
    path = Path("data/prepared/mnist5k-28/manifest.json")
    path.write_bytes(content)
    assert_one_line(sagan("plan"), str(path), "python -m sagan data")
    assert sagan("data")[0] == 0
    assert sagan("plan")[0] == 0


@pytest.mark.parametrize("content", [*DAMAGED, b'{"runs": {}}', b'{"runs": [], "references": 1}'])
def test_a_plan_file_that_is_none_is_named(sagan, content):
    Path("plan.json").write_bytes(content)
    assert_one_line(sagan("train", "x-s0-0123456789", "--plan", "plan.json"), "plan.json: no plan", "plan --out")
    assert_one_line(sagan("train", "x", "--plan", "."), " .:", "is a folder")


@pytest.mark.parametrize("key", ["../../../precious", "/precious", "a/b", "a\n", "-rf", "x" * 300])
@pytest.mark.parametrize("place", ["runs", "evaluation", "cell", "dataset"])
def test_a_plan_file_with_a_key_that_leads_elsewhere_is_refused(sagan, plan, paths, key, place):
    plan.save(paths.root / "plan.json")
    tree = read_json(paths.root / "plan.json")
    run, evaluation = next(iter(tree["runs"])), next(iter(tree["evaluations"]))
    if place == "runs":
        tree["runs"][key] = tree["runs"].pop(run) | {"key": key}
    elif place == "evaluation":
        tree["evaluations"][evaluation]["reference"] = key
    elif place == "cell":
        tree["suites"]["quick"][0]["run"] = key
    else:
        tree["runs"][run]["dataset"] = key
    write_json(paths.root / "plan.json", tree)
    assert_one_line(sagan("train", run, "--plan", "plan.json"), "is no key of a plan")


@pytest.mark.parametrize(
    ("out", "named"),
    [("/proc/x/p.json", "/proc/x:"), (".", " .:"), ("/", " /:"), ("params.yaml/p", "params.yaml:"), ("n" * 300, "n")],
)
def test_a_place_that_cannot_be_written_is_named(sagan, plan, out, named):
    assert_one_line(sagan("plan", "--out", out), named)
    assert "suites:" in Path("params.yaml").read_text(encoding="utf-8")


def test_a_file_in_the_place_of_a_folder_is_named(sagan, records):
    Path("reports").write_text("", encoding="utf-8")
    assert_one_line(sagan("report"), "reports", "file where a folder has to be")
    shutil.rmtree("results")
    Path("results").write_text("", encoding="utf-8")
    assert_one_line(sagan("plan"), "sagan: results: there is a file where a folder has to be")


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_a_key_that_is_almost_one_is_answered_with_that_one(sagan, plan, verb):
    cell = plan.suites["quick"][0]
    key = {"train": cell.run, "evaluate": cell.evaluation}[verb]
    assert_one_line(sagan(verb, f"{key[:-1]}_"), f"did you mean '{key}'?\n")
    assert sagan("plan", "--out", "plan.json")[0] == 0
    assert_one_line(sagan(verb, f"{key[:-1]}_", "--plan", "plan.json"), f"did you mean '{key}'?")
