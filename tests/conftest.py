"""What tests of several rooms share: a tiny run that trains in a second."""

import os
import shutil
import signal
import sys
import tempfile

import numpy as np
import pytest
import torch

from sagan.code.fingerprint import PACKAGE
from sagan.params.run import RunConfig
from sagan.plan import Run
from sagan.store.paths import Paths

torch.set_num_threads(1)
# What a test trusts is trusted nowhere else. Processes that tests start inherit it.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp()
if "%" in sys.prefix:
    import sagan.tracking  # noqa: F401  from where MLflow is found by a path that it can use


@pytest.fixture
def hears_hangup():
    """What the test starts hears a closed terminal, also where `nohup` started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 1, 28, 28), dtype=np.uint8)


@pytest.fixture
def paths(tmp_path) -> Paths:
    return Paths(tmp_path)


@pytest.fixture
def run() -> Run:
    """A narrow SAGAN on 28x28 grey images."""
    network = {"width": 8, "spectral_norm": True, "attention_at": [14]}
    config = {
        "variant": {
            "backbone": "dcgan",
            "generator": {"z_dim": 8, "norm": "batch", **network},
            "discriminator": {"norm": "none", **network},
            "init": "xavier",
            "objective": "hinge",
            "optimizer": {"lr_g": 1e-3, "lr_ratio": 2.0, "betas": [0.0, 0.9]},
        },
        "training": {"steps": 8, "batch_size": 4, "ema": {"decay": 0.9, "start": 2}, "snapshots": [0, 4, 8]},
        "seed": 0,
        "image": {"channels": 1, "resolution": 28},
    }
    config = RunConfig.model_validate(config).model_dump()
    execution = {"device": "cpu", "together": "auto", "cuda_graph": True}
    execution |= {"log_every": 1, "checkpoint_every": 3, "checkpoint_seconds": 60}
    return Run("tiny-s0-0123456789", "tiny", 0, "noise", "d" * 64, "c" * 64, config, execution)


@pytest.fixture
def package(tmp_path):
    """A copy of the package whose files a test may edit."""
    return shutil.copytree(PACKAGE, tmp_path / "sagan", ignore=shutil.ignore_patterns("__pycache__"))
