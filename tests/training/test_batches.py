"""Real images and noise are functions of the seed and the step."""

import numpy as np
import pytest
import torch

from sagan.training.batches import Noise, RealBatches

CPU = torch.device("cpu")


@pytest.fixture
def numbered():
    """Ten images, each of one value, so that a batch tells which ones it holds."""
    return np.repeat(np.arange(10, dtype=np.uint8), 4).reshape(10, 1, 2, 2)


def numbers(batch):
    return ((batch[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_each_epoch_holds_each_image_once_and_drops_none(numbered):
    batches = RealBatches(numbered, 4, seed=3, horizontal_flip=False, device=CPU)
    seen = [n for index in range(5) for n in numbers(batches[index])]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_a_batch_larger_than_the_dataset_wraps_round(numbered):
    batch = numbers(RealBatches(numbered, 25, seed=0, horizontal_flip=False, device=CPU)[0])
    assert sorted(batch[:10]) == sorted(batch[10:20]) == list(range(10))


def test_batches_depend_on_seed_and_index_alone(numbered):
    forward = RealBatches(numbered, 4, 0, False, CPU)
    backward = RealBatches(numbered, 4, 0, False, CPU)
    expected = [numbers(forward[i]) for i in range(6)]
    assert [numbers(backward[i]) for i in reversed(range(6))] == expected[::-1]
    assert [numbers(RealBatches(numbered, 4, 1, False, CPU)[i]) for i in range(6)] != expected


def test_values_span_minus_one_to_one():
    images = np.array([0, 255], np.uint8).reshape(1, 1, 1, 2)
    assert RealBatches(images, 1, 0, False, CPU)[0].flatten().tolist() == [-1.0, 1.0]


def test_flips_mirror_about_half_of_the_images():
    images = np.tile(np.array([0, 255], np.uint8), (1000, 1)).reshape(1000, 1, 1, 2)
    flipped = RealBatches(images, 1000, 0, True, CPU)[0][:, 0, 0, 0].eq(1.0).float().mean()
    assert 0.4 < flipped < 0.6


def test_noise_is_normal_and_depends_on_seed_purpose_and_index():
    def noise(seed, purpose):
        return Noise(1000, 16, seed, purpose, CPU)

    z = noise(0, "z")[5]
    assert z.mean().abs() < 0.05 and (z.std() - 1).abs() < 0.05
    assert torch.equal(z, noise(0, "z")[5])
    for other in (noise(0, "z")[6], noise(1, "z")[5], noise(0, "other")[5]):
        assert not torch.equal(z, other)


@pytest.mark.parametrize("flips", [False, True])
def test_batches_read_from_disk_are_those_from_memory(tmp_path, flips):
    """In order, as training takes them, and from the middle, as a resumed run does; over the ends of epochs."""
    images = np.random.default_rng(0).integers(0, 256, (10, 1, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    labels = np.arange(10)
    stored = np.load(tmp_path / "images.npy", mmap_mode="r")
    resident, plain, mapped = (RealBatches(array, 4, 0, flips, CPU, labels) for array in (images, images, stored))
    resident.images, resident.resides = torch.from_numpy(images), True  # as on a GPU
    streamed = RealBatches(stored, 4, 0, flips, CPU, labels, streams=True)
    assert streamed.streams and not mapped.streams
    for other in (plain, mapped, streamed):
        for index in (0, 1, 2, 3, 9, 10, 4):
            assert torch.equal(other[index], resident[index])
            assert torch.equal(other.labels_of(index), resident.labels_of(index))
            assert torch.equal(other.drawn_labels(index), resident.drawn_labels(index))


def test_on_a_cpu_the_array_is_used_where_it_lies(tmp_path, numbered):
    """However many jobs train on it, it is in memory once: in the system's cache of the file."""
    np.save(tmp_path / "images.npy", numbered)
    stored = np.load(tmp_path / "images.npy", mmap_mode="r")
    real = RealBatches(stored, 4, 0, False, CPU)
    real[0]
    assert np.shares_memory(real.images, stored) and not real.streams


def test_an_array_that_takes_more_than_half_of_a_gpus_free_memory_stays_on_disk(numbered, monkeypatch):
    free = {"bytes": 2 * numbered.nbytes}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free["bytes"], 10 * numbered.nbytes))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    gpu = torch.device("cuda")
    real = RealBatches(numbered, 4, 0, False, gpu)
    assert not real.streams and isinstance(real.images, torch.Tensor)
    free["bytes"] -= 1
    real = RealBatches(numbered, 4, 0, False, gpu)
    assert real.streams and real.images is numbered


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_streamed_batches_are_pinned_and_the_same(numbered):
    device = torch.device("cuda")
    resident, streamed = (RealBatches(numbered, 4, 0, True, device, streams=streams) for streams in (False, True))
    assert all(torch.equal(streamed[index], resident[index]) for index in range(6))
    assert streamed._ahead[6].result().is_pinned()
