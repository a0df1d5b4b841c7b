"""Class by class: intra-class FID, the labels that are asked for, and a row of samples for each class."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from sagan.errors import UserError
from sagan.metrics import formulas
from sagan.metrics.classes import class_file, class_tensors, load_classes
from sagan.metrics.evaluate import evaluate
from sagan.metrics.extractors import Extractor
from sagan.metrics.features import (
    Sampled,
    features_of_images,
    generated_images,
    labels_of,
    sample_features,
    to_uint8,
)
from sagan.metrics.latents import GRID, latents
from sagan.metrics.measures import measures
from sagan.metrics.pictures import save_grid
from sagan.metrics.real_side import RealSide, load_reference
from sagan.metrics.reference import make_reference, with_classes
from sagan.nn.files import load_generator
from sagan.store.paths import Paths
from sagan.store.tensors import save_tensors
from sagan.training import classifier

CPU = torch.device("cpu")
NAMES = ["across", "down", "square"]


def intra_class_fid(features, labels, classes):
    """As a run's evaluation asks for it, of a real side that is its classes alone."""
    real = RealSide({}, {}, features, features, labels, {}, classes)
    return measures(["intra_fid"], Sampled({"features": features}, labels), real)["intra_fid"]


def extractor_of(world):
    return Extractor("classifier", world.paths.reference(world.reference.key), world.paths, CPU)


def test_intra_class_fid_is_the_mean_of_each_classs_own_fid(conditional):
    """By hand: each class's images asked of the generator, against the training images of that class."""
    generator = load_generator(conditional.paths.run(conditional.run.key))
    z, labels = latents(8, 600, 0, "final"), generator.shares(600)
    extractor, (images, kinds) = extractor_of(conditional), conditional.dataset.split("train")
    expected = {}
    for index, name in enumerate(NAMES):
        with torch.no_grad():
            mine = to_uint8(generator(z[labels == index], labels[labels == index])).numpy()
        sets = [features_of_images(extractor, part, CPU)["features"] for part in (mine, images[kinds == index])]
        expected[name] = formulas.fid(*map(formulas.statistics, sets))
    record = conditional.record
    assert {name: entry["fid"] for name, entry in record["classes"].items()} == pytest.approx(expected, rel=1e-3)
    entry = record["metrics"]["intra_fid"]
    assert entry["value"] == pytest.approx(np.mean(list(expected.values())), rel=1e-3)
    assert (entry["status"], entry["name"]) == ("measured", "intra_fid600_train.classifier")
    assert [entry["real_count"] for entry in record["classes"].values()] == np.bincount(kinds).tolist()
    assert [entry["generated_count"] for entry in record["classes"].values()] == np.bincount(labels).tolist()


def test_only_what_is_told_of_classes_has_it(measured):
    assert "intra_fid" not in measured.record["metrics"] and measured.record["classes"] == {}
    assert not (measured.evaluation_folder / "samples-by-class.png").exists()


def test_swapped_classes_are_noticed_by_intra_class_fid_alone(conditional):
    """The same features under the wrong labels: FID cannot see it."""
    images, kinds = conditional.dataset.split("train")
    features = features_of_images(extractor_of(conditional), images, CPU)["features"]
    real = load_classes(class_file(conditional.paths.reference(conditional.reference.key), "class"), NAMES)
    labels = torch.from_numpy(kinds.copy())
    right = intra_class_fid(features, labels, real)
    swapped = intra_class_fid(features, (labels + 1) % 3, real)
    assert right.value == pytest.approx(0, abs=1e-3) and swapped.value > 1


def test_a_class_with_too_few_images_has_a_status_for_a_figure(tmp_path):
    features = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    labels = np.repeat([0, 1, 2], [200, 95, 5])
    path = class_file(tmp_path, "class")
    save_tensors(path, class_tensors(features, labels, 3))
    real = load_classes(path, NAMES)
    assert real.counts == [200, 95, 5] and real.statistics[2] is None
    measure = intra_class_fid(features, torch.from_numpy(labels), real)
    assert measure.value is None
    assert measure.status == "class 'square' has too few images: 5, and 8 features need 8"
    assert measure.each["down"]["fid"] == pytest.approx(0, abs=1e-6) and measure.each["square"]["fid"] is None
    generated = torch.from_numpy(np.repeat([0, 1, 2], [293, 4, 3]))
    assert intra_class_fid(features, generated, real).status.startswith("class 'down' has too few images: 4")
    features[3] = torch.nan
    assert intra_class_fid(features, torch.from_numpy(labels), real).status.startswith("not finite")


def test_the_row_of_a_class_shows_that_class_at_the_grids_z(conditional, tmp_path):
    generator = load_generator(conditional.paths.run(conditional.run.key))
    z = latents(8, GRID * GRID, 0)[:GRID]
    with torch.no_grad():
        rows = [generator(z, torch.full((GRID,), index)) for index in range(3)]
    save_grid(to_uint8(torch.cat(rows)).numpy(), GRID, tmp_path / "expected.png")
    found = np.asarray(Image.open(conditional.evaluation_folder / "samples-by-class.png")).astype(int)
    expected = np.asarray(Image.open(tmp_path / "expected.png")).astype(int)
    assert found.shape == expected.shape == (3 * 30 + 2, 8 * 30 + 2)
    assert np.abs(found - expected).max() <= 1
    assert (np.asarray(Image.open(conditional.evaluation_folder / "samples.png")) != 255).any()


def test_labels_are_in_the_training_sets_shares_whatever_the_batches(conditional):
    generator = load_generator(conditional.paths.run(conditional.run.key))
    generator.shares.shares.copy_(torch.tensor([0.7, 0.2, 0.1]))
    sampled = sample_features(extractor_of(conditional), generator, latents(8, 450, 0, "final"), CPU)
    assert torch.equal(sampled.labels, labels_of(generator, 450))
    assert torch.bincount(sampled.labels).tolist() == pytest.approx([315, 90, 45], abs=2)
    # The images are of these labels: those of one batch are not those of the next.
    images = generated_images(generator, latents(8, 450, 0, "final"), CPU)
    with torch.no_grad():
        late = to_uint8(generator(latents(8, 450, 0, "final")[400:], sampled.labels[400:]))
    assert (images[400:].int() - late.int()).abs().max() <= 1


def test_walks_stay_in_their_class(conditional):
    """Each row's first and last image are the grid's z under the label of the row's first z."""
    generator = load_generator(conditional.paths.run(conditional.run.key))
    z, labels = latents(8, GRID * GRID, 0), generator.shares(GRID * GRID)
    with torch.no_grad():
        ends = to_uint8(generator(z[4:8], labels[:4]))[:, 0].int()
    sheet = torch.from_numpy(np.array(Image.open(conditional.evaluation_folder / "interpolation.png"))).int()
    for row in range(4):
        shown = sheet[row * 30 + 2 : row * 30 + 30, 7 * 30 + 2 : 7 * 30 + 30]
        assert (shown - ends[row]).abs().max() <= 1


def test_a_reference_makes_the_classes_that_its_suites_ask_for(conditional, measured, tmp_path, monkeypatch):
    assert conditional.reference.conditions == ["class"] and measured.reference.conditions == []
    assert conditional.reference.key == measured.reference.key
    monkeypatch.setattr(classifier, "_STEPS", 5)
    paths = Paths(tmp_path)
    make_reference(conditional.reference, conditional.dataset, paths)
    made = class_file(paths.reference(conditional.reference.key), "class")
    assert load_classes(made, NAMES).counts == [234, 233, 233]
    make_reference(dataclasses.replace(measured.reference, key="other-train-0123456789"), measured.dataset, paths)
    assert not class_file(paths.reference("other-train-0123456789"), "class").exists()


def test_classes_that_come_later_are_added_to_a_reference(conditional, tmp_path):
    """And are the same; another dataset under that name is refused, and one with a flipped bit."""
    shutil.copytree(conditional.paths.root, tmp_path / "copy")
    paths = Paths(tmp_path / "copy")
    folder = paths.reference(conditional.reference.key)
    real, kept = load_reference(folder), load_classes(class_file(folder, "class"), NAMES)
    class_file(folder, "class").unlink()
    again = with_classes(folder, "class", NAMES, real, extractor_of(conditional), paths, CPU).classes
    assert again.counts == kept.counts
    assert all(np.allclose(a["sigma"], b["sigma"]) for a, b in zip(again.statistics, kept.statistics, strict=True))
    class_file(folder, "class").unlink()
    other = dataclasses.replace(real, record=real.record | {"dataset_digest": "another"})
    with pytest.raises(UserError, match="not the dataset"):
        with_classes(folder, "class", NAMES, other, extractor_of(conditional), paths, CPU)
    images = paths.prepared("strokes", 28) / "images.npy"
    content = images.read_bytes()
    images.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match="the arrays have changed since they were prepared"):
        with_classes(folder, "class", NAMES, real, extractor_of(conditional), paths, CPU)


def test_a_conditional_run_measures_the_same_again(conditional, tmp_path):
    shutil.copytree(conditional.paths.root, tmp_path / "copy")
    paths = Paths(tmp_path / "copy")
    shutil.rmtree(paths.evaluation(conditional.evaluation.key))
    again = evaluate(conditional.evaluation, paths).content()
    for key in ("metrics", "classes", "curve", "collapse"):
        assert again[key] == conditional.record[key], key
