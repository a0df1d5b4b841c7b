"""A small world measured end to end: three kinds of pictures, a run of a few steps, its reference and evaluation."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sagan.data import load, prepare
from sagan.data.prepared import Content, store
from sagan.metrics import formulas
from sagan.metrics.evaluate import evaluate
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import features_of_images, sample_features
from sagan.metrics.reference import load_reference, make_reference
from sagan.nn.files import load_generator
from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.store.paths import Paths
from sagan.training import classifier
from sagan.training.loop import Data, train

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
FETCHED = Paths(ROOT).weights_file("inception", ROOT)
needs_weights = pytest.mark.skipif(
    not FETCHED.exists(), reason="no Inception weights; `python -m sagan weights` fetches them"
)

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
        self.paths.params.write_text(text)
        params = load_params(self.paths.params)
        [(name, spec)] = params.datasets.items()
        folder = self.paths.prepared(name, 28)
        if not folder.exists() and name == "strokes":
            images, labels = pictures(900, seed=0)
            head = {"dataset": "strokes", "kind": "mnist", "resolution": 28, "settings": {}}
            facts, splits = {"crop": None, "resize": None}, np.repeat([0, 2], [700, 200])
            store(folder, head, Content(images, labels, ["across", "down", "square"], splits, facts))
        elif not folder.exists():
            prepare(name, spec, folder)
        self.dataset = load(folder)
        self.plan = make_plan(params, self.paths)
        [self.run], [self.reference], [self.evaluation] = (
            list(specs.values()) for specs in (self.plan.runs, self.plan.references, self.plan.evaluations)
        )
        self.evaluation_folder = self.paths.evaluation(self.evaluation.key)
        self.run_folder = self.paths.run(self.run.key)

    def make(self) -> "World":
        """Train and measure; what the records say."""
        train(self.run, Data(self.dataset.split("train")[0]), self.paths)
        self.reference_record = make_reference(self.reference, self.dataset, self.paths).content()
        self.record = self.evaluate()
        return self

    def evaluate(self, **settings) -> dict:
        """The record of the evaluation, with some of its settings replaced."""
        evaluation = dataclasses.replace(self.evaluation, settings=self.evaluation.settings | settings)
        return evaluate(evaluation, self.paths).content()

    def extractor(self) -> Extractor:
        return Extractor(self.reference.extractor, self.paths.reference(self.reference.key), self.paths, CPU)

    def features(self, images: np.ndarray) -> dict[str, torch.Tensor]:
        return features_of_images(self.extractor(), images, CPU)

    def real(self):
        return load_reference(self.reference.key, self.paths)

    def fid(self, generator, z: torch.Tensor) -> float:
        """FID of the images that the generator in a file makes of some z, by hand."""
        features = sample_features(self.extractor(), load_generator(generator), z, CPU).features["features"]
        return formulas.fid(formulas.statistics(features), self.real().statistics)


def as_pictures(images: np.ndarray, folder: Path) -> str:
    """Images [N, C, R, R] as files of a folder, which is returned."""
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(folder / f"{index:04}.png")
    return str(folder)


def change_tensors(path, change) -> None:
    """Change a network's tensors in place; its file's size stays, so its run is still whole."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    change(state)
    save_file(state, path, metadata)


def make_constant(state) -> None:
    for name, value in state.items():
        if "weight" in name:
            value.zero_()


def make_nan(state) -> None:
    for value in state.values():
        if value.is_floating_point():
            value.fill_(torch.nan)


@pytest.fixture(scope="session")
def measured(tmp_path_factory) -> World:
    """The small suite, trained and measured; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "_STEPS", 80)
        return World(tmp_path_factory.mktemp("measured")).make()


@pytest.fixture
def unmeasured(measured, tmp_path) -> World:
    """A copy of the small suite, trained and with its reference but not measured, to be spoilt."""
    shutil.copytree(measured.paths.root, tmp_path / "copy")
    world = World(tmp_path / "copy")
    shutil.rmtree(world.evaluation_folder)
    return world


@pytest.fixture(scope="session")
def conditional(measured, tmp_path_factory) -> World:
    """The small suite with a generator that is told of the class, trained and measured; not to be changed."""
    root = tmp_path_factory.mktemp("conditional")
    shutil.copytree(measured.paths.root / "data", root / "data")
    reference = measured.paths.reference(measured.reference.key).relative_to(measured.paths.root)
    shutil.copytree(measured.paths.root / reference, root / reference)
    world = World(root, PARAMS.replace("    objective: hinge", "    condition: class\n    objective: hinge"))
    images, labels = world.dataset.split("train")
    train(world.run, Data(images, labels), world.paths)
    world.record = world.evaluate()
    return world
