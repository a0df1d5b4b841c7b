"""Records are whole or absent."""

import json

import pytest

from sagan.store.records import atomic, canonical, digest, write_json


def test_equal_values_have_one_text_and_one_digest():
    assert canonical({"b": 1.0, "a": [1, None]}) == canonical({"a": [1, None], "b": 1.0})
    assert digest({"a": 1}) != digest({"a": 2}) and len(digest(1, 10)) == 10


def test_a_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"old": True})
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half of")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


def test_what_json_cannot_hold_is_refused_before_anything_is_replaced(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"old": True})
    with pytest.raises(ValueError):
        write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text()) == {"old": True}
