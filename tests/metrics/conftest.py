"""A small world measured end to end: three kinds of pictures, a run of a few steps, its reference and evaluation."""

import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics

from sagan.data import load
from sagan.data.prepared import Content, store
from sagan.metrics.evaluate import evaluate
from sagan.metrics.reference import make_reference
from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.store.paths import Paths
from sagan.training import classifier
from sagan.training.loop import train

PARAMS = """
repro: [small]
datasets:
  strokes: {kind: mnist, resolution: 28, source: nowhere}
variants:
  sagan:
    backbone: dcgan
    generator: {z_dim: 8, width: 8, norm: batch, spectral_norm: true, attention_at: [1/2]}
    discriminator: {width: 8, norm: none, spectral_norm: true, attention_at: [1/2]}
    init: xavier
    objective: hinge
    optimizer: {lr_g: 1.0e-3, lr_ratio: 2, betas: [0.0, 0.9]}
suites:
  small:
    dataset: strokes
    variants: [sagan]
    baseline: sagan
    seeds: 1
    training: {steps: 6, batch_size: 8, ema: {decay: 0.5, start: 1}, snapshots: 2}
    evaluation: {extractor: classifier, split: train, samples: 600, curve_samples: 300}
    execution: {device: cpu}
"""


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, 1, 28, 28] of three kinds (a bar across, a bar down, a square) at random places, and the kinds."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(count) % 3
    images = rng.integers(0, 40, (count, 1, 28, 28), dtype=np.uint8)
    for image, kind in zip(images, kinds, strict=True):
        top, left, bright = rng.integers(2, 14), rng.integers(2, 14), rng.integers(150, 255)
        height, width = ((3, 12), (12, 3), (7, 7))[kind]
        image[0, top : top + height, left : left + width] = bright
    return images, kinds.astype(np.int64)


class World:
    """A root folder with everything of one suite in it."""

    def __init__(self, root, text: str = PARAMS) -> None:
        self.paths = Paths(root)
        (root / "params.yaml").write_text(text)
        folder = self.paths.prepared("strokes", 28)
        if not folder.exists():
            images, labels = pictures(900, seed=0)
            head = {"dataset": "strokes", "kind": "mnist", "resolution": 28, "settings": {}}
            facts, splits = {"crop": None, "resize": None}, np.repeat([0, 2], [700, 200])
            store(folder, head, Content(images, labels, ["across", "down", "square"], splits, facts))
        self.dataset = load(folder)
        self.plan = make_plan(load_params(self.paths.params), self.paths)
        [self.run], [self.reference], [self.evaluation] = (
            list(specs.values()) for specs in (self.plan.runs, self.plan.references, self.plan.evaluations)
        )

    @property
    def evaluation_folder(self):
        return self.paths.evaluation(self.evaluation.key)


@pytest.fixture(scope="session")
def _measured(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "_STEPS", 80)
        world = World(tmp_path_factory.mktemp("measured"))
        train(world.run, world.dataset.split("train")[0], world.paths)
        world.reference_record = make_reference(world.reference, world.dataset, world.paths).content()
        world.record = evaluate(world.evaluation, world.paths).content()
    return world


@pytest.fixture
def measured(_measured) -> World:
    """The small suite, trained and measured; not to be changed."""
    return _measured


@pytest.fixture
def unmeasured(_measured, tmp_path) -> World:
    """A copy of the small suite, trained and with its reference but not measured, to be spoilt."""
    shutil.copytree(_measured.paths.root, tmp_path / "copy")
    world = World(tmp_path / "copy")
    shutil.rmtree(world.evaluation_folder)
    return world


@pytest.fixture(scope="session")
def _conditional(_measured, tmp_path_factory):
    root = tmp_path_factory.mktemp("conditional")
    shutil.copytree(_measured.paths.root / "data", root / "data")
    reference = _measured.paths.reference(_measured.reference.key).relative_to(_measured.paths.root)
    shutil.copytree(_measured.paths.root / reference, root / reference)
    world = World(root, PARAMS.replace("    objective: hinge", "    condition: class\n    objective: hinge"))
    images, labels = world.dataset.split("train")
    train(world.run, images, world.paths, labels)
    world.record = evaluate(world.evaluation, world.paths).content()
    return world


@pytest.fixture
def conditional(_conditional) -> World:
    """The small suite with a generator that is told of the class, trained and measured; not to be changed."""
    return _conditional


@pytest.fixture
def make_pictures():
    return pictures


class _Images(Dataset):
    def __init__(self, images):
        self.images = torch.from_numpy(images)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


@pytest.fixture
def fid_of_torch_fidelity():
    """FID of uint8 [N, 3, R, R] against others by torch-fidelity itself, with a registered extractor's weights."""

    def fid(extractor, weights, feature, generated, real):
        found = calculate_metrics(
            input1=_Images(generated),
            input2=_Images(real),
            feature_extractor=extractor,
            feature_extractor_weights_path=str(weights),
            feature_layer_fid=feature,
            fid=True,
            batch_size=20,
            num_workers=0,
            cuda=False,
            cache=False,
            verbose=False,
        )
        return found["frechet_inception_distance"]

    return fid
