"""Jobs share GPUs as told; tested with locks alone, so that no GPU is needed."""

import pytest
import torch

from sagan.errors import UserError
from sagan.training import devices


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5f2a")


def test_the_inherited_list_names_the_physical_gpus(two_gpus):
    assert devices.physical_gpus() == ["3", "GPU-5f2a"]


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


def test_cpu_is_given_with_its_threads_and_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    with devices.device_for({"device": "auto", "threads": 1, "jobs_per_gpu": 1}) as device:
        assert device == torch.device("cpu") and torch.get_num_threads() == 1
    with (
        pytest.raises(UserError, match=r"execution\.device = 'cuda'"),
        devices.device_for({"device": "cuda", "threads": 1, "jobs_per_gpu": 1}),
    ):
        pass
