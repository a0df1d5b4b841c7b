"""One reader says of every result whether it is there, missing, torn or spoilt, and what it says is typed."""

import json

import pytest
from pydantic import ValidationError

from sagan.plan import Cell, Run
from sagan.store import reading
from sagan.store.records import NotARecord, write_json
from sagan.store.types import LogLine
from tests.made_up import evaluation_record, run_record

LAST = {"step": 800, "images": 25_600, "seconds": 80.0}
CONFIG = {"variant": {}, "image": {}, "training": {}}
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
    assert reading.read_run(RUN.key, paths) == reading.Found("missing")
    folder = written(paths)
    found = reading.read_run(RUN.key, paths, verify=True)
    assert (found.state, found.record.steps, found.record.provenance.threads) == ("there", 800, 1)
    assert found.record.content() == json.loads((folder / "run.json").read_text())


def test_a_run_that_lacks_part_of_a_file_is_torn_and_says_which(paths):
    folder = written(paths)
    (folder / "weights").write_bytes(b"1234567")
    assert reading.read_run(RUN.key, paths) == reading.Found("torn", why="weights has another size")
    (folder / "weights").write_bytes(b"87654321")
    assert reading.read_run(RUN.key, paths).state == "there"
    assert reading.read_run(RUN.key, paths, verify=True).why == "weights has other bytes"
    (folder / "weights").unlink()
    assert reading.read_run(RUN.key, paths).why == "weights is not there"


def test_a_light_copy_is_there_without_what_it_names(paths):
    (written(paths, left_behind=["weights"]) / "weights").unlink()
    assert reading.read_run(RUN.key, paths, verify=True).state == "there"


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
    reading.warn.cache_clear()
    folder = written(paths, **changes)
    assert [reading.read_run(RUN.key, paths) for _ in range(2)] == [reading.Found("spoilt", why=why)] * 2
    assert capsys.readouterr().err == (
        f"sagan: warning: {folder / 'run.json'}: no whole record ({why}), so it counts as not there\n"
    )


def test_fields_of_a_newer_version_are_kept(paths):
    written(paths, invented={"later": 1})
    assert reading.read_run(RUN.key, paths).record.content()["invented"] == {"later": 1}


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
    with pytest.raises(NotARecord, match=r"log\.jsonl: .*line 2: images is missing"):
        reading.read_log(RUN.key, paths)


def test_records_cannot_be_changed():
    line = LogLine(step=1, images=32, seconds=0.1, time=0.2)
    with pytest.raises(ValidationError):
        line.step = 2
