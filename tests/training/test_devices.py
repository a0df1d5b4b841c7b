"""Jobs share GPUs as told; tested with locks alone, so that no GPU is needed."""

import re
from types import SimpleNamespace

import pytest
import torch

from sagan.code.fingerprint import PACKAGE
from sagan.errors import UserError
from sagan.training import devices


@pytest.fixture
def with_gpus(monkeypatch, tmp_path):
    """Makes torch tell of GPUs with these UUIDs, as a process sees them with this CUDA_VISIBLE_DEVICES."""
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))

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


def test_a_gpu_has_one_name_in_every_process(with_gpus):
    with_gpus("aaaa", "bbbb")
    assert devices.physical_gpus() == ["GPU-aaaa", "GPU-bbbb"]
    with_gpus("bbbb", visible="1")
    assert devices.physical_gpus() == ["GPU-bbbb"]
    with_gpus("bbbb", visible="GPU-bb")
    assert devices.physical_gpus() == ["GPU-bbbb"]


def test_slices_of_a_gpu_are_told_apart_by_what_was_inherited(with_gpus):
    with_gpus("aaaa", visible="MIG-1111")
    assert devices.physical_gpus() == ["MIG-1111"]


def test_gpus_without_a_uuid_go_by_the_inherited_list_or_their_index(with_gpus):
    with_gpus(None, None, visible="3, 5")
    assert devices.physical_gpus() == ["3", "5"]
    with_gpus(None, None)
    assert devices.physical_gpus() == ["0", "1"]


def test_jobs_that_a_scheduler_confined_to_their_own_gpus_do_not_wait_for_each_other(with_gpus, monkeypatch):
    monkeypatch.setattr(devices.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with_gpus("aaaa", visible="0")
    with devices._gpu_slot(1) as first:
        with_gpus("bbbb", visible="0")
        with devices._gpu_slot(1) as second:
            assert first == second == 0


def test_jobs_spread_over_gpus_before_they_share_one(two_gpus, monkeypatch):
    waited = []
    monkeypatch.setattr(
        devices.time, "sleep", lambda seconds: waited.append(seconds) or held.pop().__exit__(None, None, None)
    )
    held = [devices._gpu_slot(2) for _ in range(4)]
    assert [slot.__enter__() for slot in held] == [0, 1, 0, 1]
    fifth = devices._gpu_slot(2)
    assert fifth.__enter__() == 1 and waited == [1.0], "all shares were taken: it waited for the one that came free"
    fifth.__exit__(None, None, None)
    for slot in held:
        slot.__exit__(None, None, None)


def test_cublas_is_told_to_be_deterministic_before_anything_asks_for_a_gpu(monkeypatch):
    """It reads the variable once, when it is first used."""
    told = []

    def is_available():
        told.append(devices.os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
        return False

    monkeypatch.setattr(devices.torch.cuda, "is_available", is_available)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "for the restoring")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with devices.device_for({"device": "auto", "jobs_per_gpu": 1}, 1):
        assert told == [":4096:8"]


def test_no_other_module_takes_a_gpu():
    """Whatever trains or measures has its device from here, with what is set before it."""
    taking = re.compile(r"cuda\.is_available|device\(\"cuda|\.cuda\(\)")
    found = {p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if taking.search(p.read_text())}
    assert found == {"training/devices.py", "training/processes.py"}  # the latter chooses how processes speak


def test_cpu_is_given_with_its_threads_and_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    with devices.device_for({"device": "auto", "jobs_per_gpu": 1}, 1) as device:
        assert device == torch.device("cpu") and torch.get_num_threads() == 1
    with (
        pytest.raises(UserError, match=r"execution\.device = 'cuda'"),
        devices.device_for({"device": "cuda", "jobs_per_gpu": 1}, 1),
    ):
        pass
