"""Precision, layout, compilation and determinism are settings: what each may change, and what not."""

import dataclasses
import shutil

import pytest
import torch

from sagan.nn.spectral import normalised_layers
from sagan.training.devices import set_numerics
from sagan.training.loop import Data, train
from tests import varied
from tests.training.conftest import prepared, weights


def losses(run, images, steps=5, **training):
    """loss_d and loss_g of the first steps, [steps, 2], at a small rate; and the trainer."""
    run = varied(run, training, optimizer={"lr_g": 1e-5, "lr_ratio": 1.0, "betas": [0.9, 0.999]})
    trainer, *feed = prepared(run, images)
    found = [trainer.step(step, *feed) for step in range(1, steps + 1)]
    return torch.tensor([[s["loss_d"], s["loss_g"]] for s in found]), trainer


def test_bfloat16_rounds_products_and_nothing_that_is_kept(run, images):
    exact, _ = losses(run, images)
    rounded, trainer = losses(run, images, precision="bfloat16")
    difference = (rounded - exact).abs().max()
    # 8 bits: rounding shows, and is small beside losses of about 1.
    assert 1e-5 < difference < 0.05
    assert all(value.dtype in (torch.float32, torch.int64) for value in trainer.state().values())


def test_spectral_norm_is_computed_in_float32_whatever_the_precision(run, images):
    """Only on GPUs does mixed precision round products of a matrix and a vector."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    _, trainer = losses(run, images, precision="bfloat16")
    layers = list(normalised_layers(trainer.discriminator.to(device)))
    assert layers
    for _, norm, weight in layers:
        expected = weight / (norm.u @ norm.matrix(weight) @ norm.v)
        seen = []
        sigma = norm.sigma
        norm.sigma = lambda w, s=sigma, seen=seen: seen.append(torch.is_autocast_enabled(device)) or s(w)
        with torch.autocast(device, torch.bfloat16):
            torch.testing.assert_close(norm(weight), expected)
        assert seen == [False]


def test_the_layout_changes_no_more_than_the_order_of_sums(run, images):
    rows, trainer = losses(run, images, memory_format="channels_last")
    planes, other = losses(run, images, memory_format="contiguous")
    torch.testing.assert_close(planes, rows, rtol=1e-4, atol=1e-5)
    weights = [next(p for p in t.generator.parameters() if p.dim() == 4) for t in (trainer, other)]
    assert [w.is_contiguous(memory_format=torch.channels_last) for w in weights] == [True, False]


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_networks_train_as_the_plain_ones(run, images):
    plain, _ = losses(run, images)
    compiled, trainer = losses(run, images, compile=True)
    assert trainer.generator._compiled_call_impl is not None
    torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-4)


def test_determinism_and_tf32_follow_the_run(run):
    before = torch.are_deterministic_algorithms_enabled()
    try:
        for deterministic, precision in ((False, "tf32"), (True, "float32")):
            set_numerics(deterministic, precision)
            assert torch.are_deterministic_algorithms_enabled() is deterministic
            assert torch.backends.cudnn.benchmark is not deterministic
            # NaN in every new tensor would be a kernel each, and no byte of a run depends on it.
            assert not torch.utils.deterministic.fill_uninitialized_memory
            assert torch.backends.cuda.matmul.allow_tf32 is (precision == "tf32")
            assert torch.backends.cudnn.allow_tf32 is (precision == "tf32")
    finally:
        torch.use_deterministic_algorithms(before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_on_a_gpu_the_same_run_gives_the_same_bytes(run, images, paths, tmp_path, precision):
    run = varied(run, {"steps": 10, "snapshots": [0, 10], "precision": precision})
    run = dataclasses.replace(run, execution={**run.execution, "device": "cuda"})
    places = [dataclasses.replace(paths, root=tmp_path / name) for name in ("first", "second")]
    for where in places:
        train(run, Data(images), where)
    assert weights(run, places[0]) == weights(run, places[1])
