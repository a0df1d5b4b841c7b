"""Preparation on several processes: the same bytes however it went."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from sagan.cores import usable_cores
from sagan.data import photographs, prepare
from sagan.params.datasets import ImageFolder

SPEC = ImageFolder(kind="folder", source="source", resolution=32)
FILES = ("images.npy", "labels.npy", "manifest.json")

KILLED = """
import sys
from pathlib import Path
from sagan.data import photographs, prepare
from sagan.params.datasets import ImageFolder

if __name__ == "__main__":
    photographs.AT_ONCE = 8
    root = Path(sys.argv[1])
    spec = ImageFolder(kind="folder", source="source", resolution=32)
    prepare("any", spec, root / "out", root=root, workers=2)
"""


@pytest.fixture
def write_source(write):
    """A function that writes so many images."""
    return lambda count, side=100: write(*(f"{i:04d}.jpg" for i in range(count)), size=(side, side))


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def test_the_number_of_workers_does_not_change_a_byte(tmp_path, write_source, monkeypatch):
    (write_source(60) / "bad.jpg").write_bytes(b"no image")
    monkeypatch.setattr(photographs, "AT_ONCE", 16)
    spec = SPEC.model_copy(update={"on_bad_image": "skip"})
    for workers in (1, 2, 3):
        prepare("any", spec, tmp_path / str(workers), root=tmp_path, workers=workers)
    one, two, three = (bytes_of(tmp_path / str(workers)) for workers in (1, 2, 3))
    assert one == two == three
    monkeypatch.setattr(photographs, "AT_ONCE", 7)
    prepare("any", spec, tmp_path / "other", root=tmp_path, workers=1)
    assert bytes_of(tmp_path / "other") == one


def test_a_killed_preparation_leaves_no_worker_and_no_dataset(tmp_path, write_source):
    write_source(400, side=400)
    (tmp_path / "killed.py").write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while len(workers := psutil.Process(process.pid).children()) < 3:  # two, and one that tracks their resources
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
    (tmp_path / "out" / ".images.npy.1.tmp").write_bytes(b"of one that was killed later")
    prepare("any", SPEC, tmp_path / "out", root=tmp_path, workers=1)
    prepare("any", SPEC, tmp_path / "clean", root=tmp_path, workers=1)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "clean")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)


def test_a_kill_between_old_and_new_leaves_no_manifest_that_lies(tmp_path, write_source, monkeypatch):
    write_source(60)
    prepare("any", SPEC, tmp_path / "out", root=tmp_path, workers=1)
    monkeypatch.setattr("sagan.data.prepared.atomic", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        prepare("any", SPEC.model_copy(update={"resolution": 64}), tmp_path / "out", root=tmp_path, workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_two_at_once_make_it_once(tmp_path, write_source, monkeypatch):
    write_source(60)
    made, batch = [], photographs._batch
    monkeypatch.setattr(photographs, "_batch", lambda *call: made.append(1) or batch(*call))
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(prepare, "any", SPEC, tmp_path / "out", root=tmp_path, workers=1) for _ in range(2)]
    assert calls[0].result() == calls[1].result() and len(made) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)


@pytest.mark.parametrize(("share", "cores"), [("50000 100000", 1), ("max 100000", len(os.sched_getaffinity(0)))])
def test_a_container_s_share_of_cpu_time_bounds_the_workers(tmp_path, monkeypatch, share, cores):
    (tmp_path / "cpu.max").write_text(share)
    monkeypatch.setattr("sagan.cores._CGROUP_2", tmp_path / "cpu.max")
    assert usable_cores() == cores
