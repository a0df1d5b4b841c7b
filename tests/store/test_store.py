"""One reader says of every result whether it is there, missing, torn or spoilt, and what it says is typed."""

import json

import pytest
import torch

from sagan.errors import UserError
from sagan.plan import Cell, Run
from sagan.store import reading
from sagan.store.paths import Paths, experiment_paths, leave_for_workspace
from sagan.store.reading import set_aside
from sagan.store.records import atomic, canonical, digest, kept_files, write_json
from sagan.store.tensors import read_arrays, save_tensors
from sagan.store.types import EvaluationRecord, RunRecord
from tests.made_up import PROVENANCE, evaluation_record, run_record

LAST = {"step": 800, "images": 25_600, "seconds": 80.0}
CONFIG = {"variant": {}, "image": {}, "training": {}}
EVALUATION = "tiny-s0-0123456789.0123456789"
RUN = Run("tiny-s0-0123456789", "tiny", 0, "noise", "d", "c", CONFIG, {})


def written(paths, **changes):
    """run.json with one file of eight bytes beside it."""
    folder = paths.run(RUN.key)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_bytes(b"12345678")
    digest = "ef797c8118f02dfb649607dd5d3f8c7623048c9c063d532cc95c5ed7a898a64f"
    files = {"weights": {"bytes": 8, "sha256": digest}}
    write_json(folder / "run.json", run_record(RUN, LAST, None, 320.0, files=files) | changes)
    return folder


def test_a_whole_run_is_there_and_says_what_was_written(paths):
    assert reading.read_run(RUN.key, paths) == reading.Found()
    folder = written(paths, invented={"later": 1})  # by a newer version
    found = reading.read_run(RUN.key, paths, verify=True)
    assert (found.why, found.record.steps, found.record.provenance.threads) == ("", 800, 1)
    assert found.record.content() == json.loads((folder / "run.json").read_text())


def test_a_run_that_lacks_part_of_a_file_is_torn_and_says_which(paths):
    folder = written(paths)
    (folder / "weights").write_bytes(b"1234567")
    assert reading.read_run(RUN.key, paths) == reading.Found(why="weights has another size")
    (folder / "weights").write_bytes(b"87654321")
    assert reading.read_run(RUN.key, paths).record
    assert reading.read_run(RUN.key, paths, verify=True).why == "weights has other bytes"
    assert set_aside(RunRecord, RUN.key, paths, verify=False) is None
    assert (set_aside(RunRecord, RUN.key, paths) / "run.json").exists() and not folder.exists()
    written(paths)
    (folder / "weights").unlink()
    assert reading.read_run(RUN.key, paths).why == "weights is not there"
    written(paths, left_behind=["weights"])  # a light copy
    (folder / "weights").unlink()
    assert reading.read_run(RUN.key, paths, verify=True).record


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"seconds": "80"}, "seconds is wrong"),
        ({"files": {"weights": {"bytes": 8}}}, "files.weights.sha256 is missing; too old, or not whole"),
        ({"status": "half"}, "status is wrong"),
        ({"key": "another"}, "its key is 'another'"),
    ],
)
def test_a_record_of_another_form_is_spoilt_and_named_once(paths, capsys, changes, why):
    reading.warn_once.cache_clear()
    folder = written(paths, **changes)
    assert [reading.read_run(RUN.key, paths) for _ in range(2)] == [reading.Found(why=why)] * 2
    assert capsys.readouterr().err == (
        f"sagan: warning: {folder / 'run.json'}: invalid record ({why}); treated as missing\n"
    )


@pytest.mark.parametrize("replaced", ['"images": 25600', '"variant": {}'])
def test_a_record_with_nan_is_none(paths, replaced):
    file = written(paths) / "run.json"
    file.write_text(file.read_text().replace(replaced, f'{replaced},\n "more": [NaN]'))
    assert "holds NaN" in reading.read_run(RUN.key, paths).why


def test_an_older_measurement_is_read_with_what_it_did_not_say_as_unknown(paths):
    cell = Cell("tiny", 0, RUN.key, "tiny-s0-0123456789.0123456789")
    old = evaluation_record(RUN, cell, "reference", {"fid": {"value": 9.0}}, best={})
    write_json(paths.evaluation(cell.evaluation) / "metrics.json", old)
    found = reading.read_evaluation(cell.evaluation, paths).record
    assert (found.best, found.memorisation.closer, found.generated_per_second) == (None, None, None)
    assert found.metrics["fid"].status == "measured"


def test_a_line_of_the_log_has_its_scalars_by_name(paths):
    folder = written(paths)
    line = {"step": 10, "images": 320, "seconds": 1.0, "time": 1.5, "loss_d": 0.5, "gamma.generator.14": None}
    (folder / "log.jsonl").write_text(json.dumps(line) + '\n{"step": 2')
    [found] = reading.read_log(RUN.key, paths)
    assert found.values == {"loss_d": 0.5, "gamma.generator.14": None} and found.content() == line
    (folder / "log.jsonl").write_text(json.dumps(line) + '\n{"step": 20}\n')
    assert reading.read_log(RUN.key, paths) == [found]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to(path.name)])
def test_a_folder_or_a_circle_in_a_records_place_is_no_record(paths, make):
    paths.run(RUN.key).mkdir(parents=True)
    make(paths.run(RUN.key) / "run.json")
    assert reading.read_run(RUN.key, paths).why


def test_a_damaged_line_of_a_log_is_left_out_and_said_once(paths, capsys):
    """A crash of a file system leaves NULs."""
    folder = paths.run(RUN.key)
    folder.mkdir(parents=True)
    lines = [json.dumps({"step": step, "images": step, "seconds": 1.0, "time": 1.0}) for step in (1, 2, 3)]
    (folder / "log.jsonl").write_bytes(
        f"{lines[0]}\n".encode() + b"\0" * 99 + f"\n{lines[1]}\n{lines[2]}\n{lines[0][:9]}".encode()
    )
    reading.warn_once.cache_clear()
    for _ in range(2):
        assert [line.step for line in reading.read_log(RUN.key, paths)] == [1, 2, 3]
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and f"{folder}/log.jsonl: line 2" in errors


def test_a_file_of_tensors_that_is_cut_short_is_left_out_and_said(tmp_path, capsys):
    file = tmp_path / "generator-14.safetensors"
    assert read_arrays(file) is None and capsys.readouterr().err == ""
    save_tensors(file, {"queries": torch.ones(3)})
    assert list(read_arrays(file)["queries"]) == [1, 1, 1]
    file.write_bytes(file.read_bytes()[:-2])
    assert read_arrays(file) is None
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_measurement_whose_files_are_damaged_is_set_aside(paths, damage):
    folder = paths.evaluation(EVALUATION)
    (folder / "attention").mkdir(parents=True)
    file = folder / "attention" / "generator-14.safetensors"
    file.write_bytes(b"queries and keys")
    record = {"key": EVALUATION, "status": "measured", "metrics": {}, "curve": [], "provenance": PROVENANCE}
    record |= {"reference": "r", "run": RUN.key, "variant": "sagan", "seed": 0, "files": kept_files(folder)}
    write_json(folder / "metrics.json", record)
    assert set_aside(EvaluationRecord, EVALUATION, paths) is None
    file.write_bytes(b"queries" if damage == "cut" else b"queries And keys")
    assert set_aside(EvaluationRecord, EVALUATION, paths) is not None
    assert reading.read_evaluation(EVALUATION, paths) == reading.Found()


def test_a_link_is_a_results_own_file_only_within_it_or_into_dvcs_cache(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    private, cached = tmp_path / "private.png", tmp_path / "cache/files/md5/ab" / ("c" * 30)
    cached.parent.mkdir(parents=True)
    for file in (private, cached, folder / "own.png"):
        file.write_bytes(b"x")
    for name, target in {"a": private, "b": cached, "c": folder / "own.png", "d": tmp_path / "nothing"}.items():
        (folder / name).symlink_to(target)
    assert [name for name in "abcd" if reading.is_own_file(folder / name, folder)] == ["b", "c"]


def test_an_experiments_report_is_left_in_the_workspace(tmp_path, monkeypatch):
    workspace, copy = Paths(tmp_path), Paths(tmp_path / ".dvc/tmp/exps/tmpabc")
    for paths, text in ((workspace, "here"), (copy, "there")):
        for folder in (paths.report("quick"), paths.pages("quick")):
            folder.mkdir(parents=True)
            (folder / "report.txt").write_text(text)
    monkeypatch.setenv("DVC_EXP_NAME", "wide")
    assert leave_for_workspace(["quick"], workspace) is None
    left = leave_for_workspace(["quick"], copy)
    assert left == experiment_paths("wide", workspace)
    assert (left.report("quick") / "report.txt").read_text() == "there"
    assert (left.pages("quick") / "report.txt").read_text() == "there"
    assert (workspace.report("quick") / "report.txt").read_text() == "here"
    with pytest.raises(UserError, match=r"wid: no experiment .*did you mean 'wide'"):
        experiment_paths("wid", workspace)


def test_equal_values_have_one_text_and_one_digest():
    assert canonical({"b": 1.0, "a": [1, None]}) == canonical({"a": [1, None], "b": 1.0})
    assert digest({"a": 1}) != digest({"a": 2}) and len(digest(1, 10)) == 10


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"old": True})
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half of")
        raise RuntimeError
    with pytest.raises(ValueError):  # JSON has no NaN
        write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text()) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]
