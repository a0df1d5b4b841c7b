"""Jobs share GPUs as told; tested with locks alone, so that no GPU is needed."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
import torch

from sagan.code.fingerprint import PACKAGE
from sagan.errors import UserError
from sagan.store.locks import taken
from sagan.training import devices


@pytest.fixture
def with_gpus(monkeypatch, tmp_path):
    """Makes torch tell of GPUs with these UUIDs, as a process sees them with this CUDA_VISIBLE_DEVICES."""
    monkeypatch.setattr(devices, "runtime_folder", lambda: tmp_path)

    def seen(*uuids, visible=None):
        properties = [SimpleNamespace(uuid=uuid) if uuid else SimpleNamespace() for uuid in uuids]
        monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: len(uuids))
        monkeypatch.setattr(devices.torch.cuda, "get_device_properties", properties.__getitem__)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return seen


@pytest.fixture
def two_gpus(with_gpus):
    with_gpus("aaaa", "bbbb")


@pytest.mark.parametrize(
    ("uuids", "visible", "names"),
    [
        # A GPU has one name in every process.
        (["aaaa", "bbbb"], None, ["GPU-aaaa", "GPU-bbbb"]),
        (["bbbb"], "1", ["GPU-bbbb"]),
        (["bbbb"], "GPU-bb", ["GPU-bbbb"]),
        # Slices of one are told apart by what was inherited; so are those without a UUID, or by their index.
        (["aaaa"], "MIG-1111", ["MIG-1111"]),
        ([None, None], "3, 5", ["3", "5"]),
        ([None, None], None, ["0", "1"]),
    ],
)
def test_names_of_gpus(with_gpus, uuids, visible, names):
    with_gpus(*uuids, visible=visible)
    assert devices.physical_gpus() == names


def test_jobs_spread_over_gpus_and_wait_for_one_that_comes_free(two_gpus, monkeypatch):
    waited = []
    monkeypatch.setattr(
        devices.time, "sleep", lambda seconds: waited.append(seconds) or held.pop().__exit__(None, None, None)
    )
    held = [devices._free_gpu() for _ in range(2)]
    assert [gpu.__enter__() for gpu in held] == [0, 1]
    third = devices._free_gpu()
    assert third.__enter__() == 1 and waited == [1.0]
    third.__exit__(None, None, None)
    held[0].__exit__(None, None, None)


HOLDER = """
import subprocess, sys, time
from pathlib import Path
from sagan.training import devices
devices.runtime_folder, devices.physical_gpus = lambda: Path(sys.argv[1]), lambda: ["GPU-aaaa"]
with devices._free_gpu():
    print(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, close_fds=False).pid, flush=True)
    time.sleep(60)
"""


def test_a_gpu_stays_taken_while_a_process_measures_beside_one_that_was_killed(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    beside = psutil.Process(int(holder.stdout.readline()))
    holder.kill()
    holder.wait()
    assert taken(tmp_path / "GPU-aaaa.lock") is None
    beside.kill()
    beside.wait(10)
    assert taken(tmp_path / "GPU-aaaa.lock") is not None


def test_blocks_of_one_process_share_its_gpu(two_gpus, monkeypatch):
    own, other = devices._HeldGpu(), devices._HeldGpu()
    with own.held() as first:
        with own.held() as second:
            assert first == second == 0
        with other.held() as elsewhere:
            assert elsewhere == 1
    with other.held() as freed:
        assert freed == 0


def test_the_folder_of_locks_is_the_users_own(monkeypatch, tmp_path):
    """Whoever may write there keeps others from their GPUs."""
    monkeypatch.setattr(devices, "Path", lambda place: tmp_path / place.strip("/").replace("/", "-"))
    (tmp_path / f"run-user-{os.getuid()}").mkdir()  # goes when the user logs out, and jobs may go on
    folder = devices.runtime_folder()
    assert folder == tmp_path / f"tmp-sagan-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(UserError, match="not a folder of this user's own; delete it"):
        devices.runtime_folder()
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(UserError, match="delete it"):
        devices.runtime_folder()


def test_cublas_is_told_to_be_deterministic_before_anything_asks_for_a_gpu(monkeypatch):
    """It reads the variable once, when it is first used."""
    told, variable = [], "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: told.append(os.environ.get(variable)))  # None: no
    monkeypatch.setenv(variable, "for the restoring")
    monkeypatch.delenv(variable)
    with devices.device_for({"device": "auto"}, 1):
        assert told == [":4096:8"]


def test_no_other_module_takes_a_gpu():
    """Whatever trains or measures has its device from here, with what is set before it."""
    taking = re.compile(r"cuda\.is_available|device\(\"cuda|\.cuda\(\)")
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if taking.search(p.read_text())}
    assert found == {"training/devices.py", "training/processes.py"}  # the latter chooses how processes speak


def test_cpu_is_given_with_its_threads_and_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    with devices.device_for({"device": "auto"}, 1) as device:
        assert device == torch.device("cpu") and torch.get_num_threads() == 1
    with pytest.raises(UserError, match=r"execution\.device = 'cuda'"), devices.device_for({"device": "cuda"}, 1):
        pass
