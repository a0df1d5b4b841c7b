"""A metric that is new, or whose code has changed: not measured for readers, until it is added and nothing else."""

import shutil
import subprocess
import sys

import pytest

from sagan.errors import UserError
from sagan.metrics import codes
from sagan.metrics.codes import NAMES, OF_CLASSES, applicable, lacking
from sagan.metrics.evaluate import add_metrics, evaluate
from sagan.metrics.measures import METRICS
from sagan.metrics.reference import add_to_reference
from sagan.store.records import read_json, write_json


@pytest.fixture
def evaluated(unmeasured):
    """The small suite with its record, to be spoilt."""
    evaluate(unmeasured.evaluation, unmeasured.paths)
    return unmeasured


@pytest.fixture
def edited(monkeypatch):
    """As if the code of KID had been edited."""
    before = codes.entry_code
    monkeypatch.setattr(codes, "entry_code", lambda table, name: "f" * 16 if name == "kid" else before(table, name))


def test_readers_know_the_metrics_without_torch():
    assert set(NAMES) == set(METRICS) and set(OF_CLASSES) < set(NAMES)
    program = "import sys, sagan.metrics.codes; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"


def test_what_is_measured_by_the_present_code_lacks_nothing(measured, conditional):
    assert set(measured.record["metrics"]) == set(applicable(None))
    assert set(conditional.record["metrics"]) == set(applicable("class")) == {*applicable(None), *OF_CLASSES}
    for record in (measured.record, conditional.record, measured.reference_record["other_split"]):
        assert lacking(record) == []
    assert lacking({"status": "diverged", "metrics": {}}) == []


def test_a_metric_of_other_code_counts_as_not_measured(measured, edited):
    assert lacking(measured.record) == ["kid"]
    without = {name: entry for name, entry in measured.record["metrics"].items() if name != "recall"}
    assert lacking(measured.record | {"metrics": without}) == ["kid", "recall"]


def test_adding_brings_what_lacks_and_touches_nothing_else(evaluated, edited):
    path = evaluated.evaluation_folder / "metrics.json"
    before = read_json(path)
    del before["metrics"]["recall"]
    before["metrics"]["kid"]["value"] = 123.0
    write_json(path, before)
    assert add_metrics(evaluated.evaluation, evaluated.paths) == ["kid", "recall"]
    after = read_json(path)
    assert lacking(after) == [] and after["metrics"]["kid"]["code"] == "f" * 16
    assert after["added"][0]["metrics"] == ["kid", "recall"] and "provenance" in after["added"][0]
    assert set(after) == {*before, "added"}
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"metrics", "matched"}
    for name, entry in before["metrics"].items():
        assert name == "kid" or after["metrics"][name] == entry
    assert add_metrics(evaluated.evaluation, evaluated.paths) == [] and read_json(path) == after
    assert not evaluated.paths.features(evaluated.evaluation.key).exists()


def test_added_figures_are_those_of_measuring_it_all(measured, evaluated):
    path = evaluated.evaluation_folder / "metrics.json"
    record = read_json(path)
    for name in ("kid", "recall", "is"):
        del record["metrics"][name], record["matched"]["generated"][name], record["matched"]["real"][name]
    write_json(path, record)
    add_metrics(evaluated.evaluation, evaluated.paths)
    after = read_json(path)
    assert after["metrics"] == measured.record["metrics"] and after["matched"] == measured.record["matched"]


def test_classes_are_added_with_their_metric(conditional, tmp_path):
    shutil.copytree(conditional.paths.root, tmp_path / "copy")
    paths = type(conditional.paths)(tmp_path / "copy")
    path = paths.evaluation(conditional.evaluation.key) / "metrics.json"
    record = read_json(path)
    del record["metrics"]["intra_fid"]
    write_json(path, record | {"classes": {}})
    assert add_metrics(conditional.evaluation, paths) == ["intra_fid"]
    assert read_json(path)["classes"] == conditional.record["classes"]


def test_a_reference_gets_what_it_lacks(evaluated, measured, edited):
    path = evaluated.paths.reference(evaluated.reference.key) / "reference.json"
    record = read_json(path)
    del record["other_split"]["metrics"]["coverage"]
    write_json(path, record)
    assert add_to_reference(evaluated.reference, evaluated.paths) == ["kid", "coverage"]
    after = read_json(path)
    assert after["other_split"]["metrics"].pop("kid")["code"] == "f" * 16
    before = dict(measured.reference_record["other_split"]["metrics"])
    del before["kid"]
    assert after["other_split"]["metrics"] == before
    assert add_to_reference(evaluated.reference, evaluated.paths) == []


def test_nothing_is_added_without_weights_or_reference(evaluated, edited):
    paths, spec = evaluated.paths, evaluated.evaluation
    before = (evaluated.evaluation_folder / "metrics.json").read_bytes()
    features = paths.reference(spec.reference) / "features.safetensors"
    features.rename(features.with_suffix(".away"))
    with pytest.raises(UserError, match=r"features.safetensors: no such file; delete .*sagan reference"):
        add_metrics(spec, paths)
    features.with_suffix(".away").rename(features)
    (paths.run(evaluated.run.key) / "generator.safetensors").unlink()
    with pytest.raises(UserError, match="no finished run"):
        add_metrics(spec, paths)
    assert (evaluated.evaluation_folder / "metrics.json").read_bytes() == before
    shutil.rmtree(evaluated.evaluation_folder)
    with pytest.raises(UserError, match="not measured yet"):
        add_metrics(spec, paths)
