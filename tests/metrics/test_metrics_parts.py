"""References and evaluations that were killed, or whose kept parts are damaged: the same record in the end."""

import pickle
import shutil
import signal
import subprocess
import sys
import time

import pytest

from sagan.metrics import parts
from sagan.metrics.evaluate import evaluate
from sagan.metrics.reference import make_reference
from sagan.store.records import file_digest
from sagan.training import classifier
from tests import wait_for

# What differs from one time to another.
TIMES = ("seconds", "generated_per_second", "provenance")

# A process of its own that measures, in small parts, and waits after each.
SLOWLY = """
import pickle, sys, time
from sagan.metrics import parts
from sagan.training import classifier

work, *arguments = pickle.load(sys.stdin.buffer)
classifier._STEPS = 80
parts.PART = 100
write = parts.FeatureParts._write

def written(*arguments):
    write(*arguments)
    time.sleep(1)

parts.FeatureParts._write = written
work(*arguments)
"""


def left_by(number, least, work, spec, *arguments):
    """Stop a process by a signal once it has left so many parts; its exit code, and the parts."""
    process = subprocess.Popen([sys.executable, "-c", SLOWLY], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdin.write(pickle.dumps((work, spec, *arguments)))
    process.stdin.close()
    folder = arguments[-1].features(spec.key)
    wait_for(lambda: len(list(folder.rglob("*.safetensors"))) >= least, process)
    found = list(folder.rglob("*.safetensors"))
    process.send_signal(number)
    began = time.monotonic()
    code = process.wait(timeout=60)
    assert time.monotonic() - began < 10
    return code, found


@pytest.fixture
def computed(monkeypatch):
    """In small parts; how many were computed."""
    monkeypatch.setattr(parts, "PART", 100)
    monkeypatch.setattr(classifier, "_STEPS", 80)
    written, write = [], parts.FeatureParts._write

    def noting(*arguments):
        written.append(arguments)
        write(*arguments)

    monkeypatch.setattr(parts.FeatureParts, "_write", noting)
    return written


def figures(record):
    return {name: value for name, value in record.items() if name not in TIMES}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_an_evaluation_goes_on_behind_its_last_part(measured, unmeasured, computed, number, code):
    paths, spec = unmeasured.paths, unmeasured.evaluation
    left, found = left_by(number, 4, evaluate, spec, paths)
    assert left == code and not unmeasured.evaluation_folder.exists()
    record = evaluate(spec, paths).content()
    assert len(computed) <= 12 - len(found)  # 6 parts of the final images, 3 of each snapshot before the last
    assert figures(record) == figures(measured.record)
    assert not paths.features(spec.key).exists()


def test_a_damaged_part_is_made_anew(measured, unmeasured, computed, capsys):
    paths, spec = unmeasured.paths, unmeasured.evaluation
    _, found = left_by(signal.SIGKILL, 4, evaluate, spec, paths)
    content = bytearray(found[0].read_bytes())
    content[-8:] = bytes(8)
    found[0].write_bytes(content)
    found[1].write_bytes(found[1].read_bytes()[:-100])
    record = evaluate(spec, paths).content()
    assert "damaged, so it is made anew" in capsys.readouterr().err
    assert figures(record) == figures(measured.record)


def test_parts_of_other_weights_are_not_taken(measured, unmeasured, computed):
    """A run that was trained anew under its key: what is left of the old one does not count."""
    paths, spec = unmeasured.paths, unmeasured.evaluation
    run, snapshots = paths.run(unmeasured.run.key), paths.run(unmeasured.run.key) / "snapshots"
    shutil.copyfile(snapshots / "000000.safetensors", run / "generator.safetensors")
    left_by(signal.SIGKILL, 4, evaluate, spec, paths)
    shutil.copyfile(snapshots / "000006.safetensors", run / "generator.safetensors")
    assert figures(evaluate(spec, paths).content()) == figures(measured.record)


def test_a_reference_goes_on_behind_its_last_part(measured, computed, paths):
    spec = measured.reference
    left_by(signal.SIGKILL, 3, make_reference, spec, measured.dataset, paths)
    assert not (paths.reference(spec.key) / "reference.json").exists()
    record = make_reference(spec, measured.dataset, paths).content()
    assert len(computed) <= 9 - 3
    assert record == measured.reference_record and not paths.features(spec.key).exists()
    for name in ("features.safetensors", "statistics.safetensors"):
        kept = (folder / name for folder in (paths.reference(spec.key), measured.paths.reference(spec.key)))
        assert len({file_digest(path) for path in kept}) == 1, name


def test_progress_is_shown(unmeasured, computed, capfd):
    evaluate(unmeasured.evaluation, unmeasured.paths)
    shown = capfd.readouterr().err
    key = unmeasured.evaluation.key
    for line in (f"{key}: final: 300 of 300", f"{key}: step 0: 300 of 300", f"{key}: step 3: 300 of 300"):
        assert line in shown
    assert "step 6" not in shown  # its images are the final generator's
