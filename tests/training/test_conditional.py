"""Conditional variants: labels belong to their images, and a run goes from labels to a generator file."""

import numpy as np
import pytest
import torch

from sagan.data.prepared import PreparedDataset, class_labels, class_names
from sagan.errors import UserError
from sagan.nn.files import load_generator
from sagan.store.paths import Paths
from sagan.training.batches import RealBatches
from sagan.training.loop import Data, train
from tests import varied
from tests.training.conftest import weights

CPU = torch.device("cpu")
LABELS = np.array([0, 2, 2, 1, 2, 0, 2, 2, 2, 1])


def test_labels_are_those_of_the_batchs_images(images):
    marked = images.copy()
    marked[:, 0, 0, 0] = 10 * LABELS
    real = RealBatches(marked, 4, 0, False, CPU, LABELS)
    for index in range(6):
        mark = (real[index][:, 0, 0, 0] + 1) * 127.5
        torch.testing.assert_close(mark, 10.0 * real.labels_of(index), atol=1e-3, rtol=0)


def test_drawn_labels_follow_the_training_set_and_depend_on_seed_and_index_alone(images):
    real, again = (RealBatches(images, 4, 0, False, CPU, LABELS) for _ in range(2))
    again.drawn_labels(5)
    drawn = [real.drawn_labels(index) for index in range(500)]
    assert all(torch.equal(batch, again.drawn_labels(index)) for index, batch in enumerate(drawn[:5]))
    shares = torch.bincount(torch.cat(drawn), minlength=3) / 2000
    torch.testing.assert_close(shares, torch.tensor([0.2, 0.2, 0.6]), atol=0.05, rtol=0)
    assert RealBatches(images, 4, 0, False, CPU).drawn_labels(0) is None


@pytest.fixture
def conditional(run):
    return varied(run, image={"classes": ["a", "b", "c"]}, condition="class")


def test_a_conditional_run_ends_in_a_generator_that_knows_its_classes(conditional, images, paths):
    record = train(conditional, Data(images, LABELS), paths).content()
    assert record["status"] == "finished"
    generator = load_generator(paths.run(conditional.key))
    torch.testing.assert_close(generator.shares.shares, torch.tensor([0.2, 0.2, 0.6]))
    z = torch.randn(1, 8).expand(3, -1)
    a, b, c = generator(z, torch.arange(3))
    assert not torch.equal(a, b) and not torch.equal(b, c)
    assert generator.config["image"]["classes"] == ["a", "b", "c"]


def test_other_labels_give_another_generator(conditional, images, tmp_path, paths):
    other = Paths(tmp_path / "other")
    train(conditional, Data(images, LABELS), paths)
    train(conditional, Data(images, LABELS[::-1].copy()), other)
    first, second = (load_generator(place.run(conditional.key)) for place in (paths, other))
    assert not torch.equal(first.stem.weight, second.stem.weight)


CLASSES = {"dataset": "digits", "labels": {"kind": "classes", "names": ["0", "1"]}}
ATTRIBUTES = {"dataset": "faces", "labels": {"kind": "attributes", "names": ["Male", "Smiling"]}}
NONE = {"dataset": "plain", "labels": {"kind": "classes", "names": []}}


def test_classes_come_from_the_datasets_labels():
    assert class_names(CLASSES, "class") == ["0", "1"]
    assert class_names(ATTRIBUTES, "Smiling") == ["not Smiling", "Smiling"]
    assert class_labels(np.array([1, 0]), CLASSES, "class").tolist() == [1, 0]
    rows = np.array([[1, 0], [1, 1]], np.uint8)
    assert class_labels(rows, ATTRIBUTES, "Smiling").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("manifest", "condition", "accepted"),
    [(CLASSES, "Smiling", "accepts class"), (ATTRIBUTES, "class", "Male, Smiling"), (NONE, "class", "has no labels")],
)
def test_a_condition_that_the_dataset_cannot_meet_is_said_in_one_line(manifest, condition, accepted):
    with pytest.raises(UserError, match=accepted):
        class_names(manifest, condition)


def test_a_prepared_dataset_gives_the_labels_that_the_variant_asks_for(conditional, images, paths):
    """The discriminator's held-out images go along."""
    manifest = {"dataset": "digits", "labels": {"kind": "classes", "names": ["a", "b", "c"]}}
    dataset = PreparedDataset(images, LABELS, {"train": slice(0, 8), "test": slice(8, 10)}, manifest)
    by_hand = Paths(paths.root / "by-hand")
    train(conditional, Data.of(conditional, dataset), paths)
    train(conditional, Data(images[:8], LABELS[:8], held_out=images[8:]), by_hand)
    assert weights(conditional, paths) == weights(conditional, by_hand)
    assert "score_held_out" in (paths.run(conditional.key) / "log.jsonl").read_text()
