"""A launch on two GPUs that are made up: batches have one each, both are busy; and a driver that is too old is told."""

import json
import sys

import pytest

pytestmark = pytest.mark.pipeline

# Every Python of the launch reads this first. Work is a while with a GPU under its lock, and leaves no result.
STUB = """
import os, sys
if {"sagan", "workflow.launch"} & set(sys.orig_argv):
    from types import SimpleNamespace
    import torch
    torch.cuda.device_count = lambda: 2
    torch.cuda.is_available = lambda: os.environ["STUB"] != "old"
    torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid="abcd"[index] * 4)
if "make" in sys.orig_argv:
    import json, time
    sys.path.insert(0, os.getcwd())  # as -m does, later on
    from pathlib import Path
    from sagan import making
    from sagan.training import devices
    devices.runtime_folder = lambda: Path("state/gpus")
    def make(self, keys):
        with devices._free_gpu() as index:
            began = time.time()
            time.sleep(3)
            told = json.dumps([devices.physical_gpus()[index], began, time.time(), list(keys)])
            with open("state/seen", "a") as file:
                file.write(told + "\\n")
        return 0
    making.Making.make = make
"""


@pytest.fixture(scope="module")
def clone(make_clone, tmp_path_factory):
    clone = make_clone()
    clone.set_params({"seeds": 4, "execution.together": 2}, under="suites.quick.")
    clone.sagan("data")
    folder = tmp_path_factory.mktemp("stub")
    (folder / "sitecustomize.py").write_text(STUB)
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho 470.1\n")
    (folder / "nvidia-smi").chmod(0o755)
    clone.environment |= {"PYTHONPATH": str(folder), "PATH": f"{folder}:{clone.environment['PATH']}"}
    return clone


def test_batches_have_a_gpu_each_and_no_gpu_waits(clone):
    print(clone.run(sys.executable, "-m", "workflow.launch", "--cores", "8", check=False, STUB="new"))
    seen = [json.loads(line) for line in (clone.folder / "state/seen").read_text().splitlines()]
    keys = [key for *_, those in seen for key in those]
    assert len(seen) == 4 and len(keys) == len(set(keys)) == 8
    busy = {gpu: sorted((began, ended) for g, began, ended, _ in seen if g == gpu) for gpu, *_ in seen}
    assert {gpu: len(those) for gpu, those in busy.items()} == {"GPU-aaaa": 2, "GPU-bbbb": 2}
    for those in busy.values():
        assert those[0][1] <= those[1][0], "two had one GPU at once"
    first, second = (those[0] for those in busy.values())
    assert max(first[0], second[0]) < min(first[1], second[1]), "one GPU waited for the other"


def test_an_old_driver_is_one_line(clone, monkeypatch):
    monkeypatch.setitem(clone.environment, "STUB", "old")
    process = clone.start(sys.executable, "-m", "workflow.launch")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2
    [line] = [line for line in output.splitlines() if line.startswith("sagan: ")]
    assert "2 GPUs are here and PyTorch can use none" in line and "driver is 470.1" in line
    assert "Traceback" not in output
