"""A portion on a borrowed machine: stopped by its time, gone on with, packed, and believed where it is unpacked."""

import json
import shutil
import sys
import tarfile

import pytest

pytestmark = pytest.mark.pipeline


def unpack(source, clone):
    for path in sorted(source.glob("done-*.tar")):
        with tarfile.open(path) as tar:
            tar.extractall(clone.folder, filter="data")


def test_light_copies_give_the_report_without_training_anything(make_clone, tmp_path):
    borrowed, home = make_clone(), make_clone()
    borrowed.sagan("data")
    portion = (sys.executable, "-m", "workflow.portion", "--suite", "quick", "--jobs", "2", "--without-weights")
    output = borrowed.run(*portion, "--minutes", "8", "--out", str(tmp_path / "packed"))
    assert "2 of 2 runs trained, 2 measured, 0 failed" in output
    packed = [path.stat().st_size for path in (tmp_path / "packed").glob("done-*.tar")]
    assert packed and max(packed) < 16 * 2**20

    unpack(tmp_path / "packed", home)
    assert set(home.runs()) == set(borrowed.runs())
    assert not list((home.folder / "results/runs").rglob("*.safetensors"))
    home.repro()
    assert set(home.runs()) == set(borrowed.runs()), "nothing was trained"
    assert "sagan.fid" in json.loads((home.folder / "reports/quick/summary.json").read_text())
    evaluation = next(iter(home.evaluations()))
    shutil.rmtree(home.folder / "results/evaluations" / evaluation)
    assert "a light copy without weights" in home.sagan("evaluate", evaluation, check=False)
