"""Stacked digits: each channel is a digit of its split, and the label is the number that they make."""

import numpy as np
import pytest

from sagan.data import load, prepare
from sagan.params.datasets import Mnist5k, StackedMnist

SPEC = StackedMnist(kind="stacked-mnist", stacks=1200, held_out=300)


def rows_by_image(images, labels):
    return {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("stacked")
    prepare("stacks", SPEC, root / "stacks")
    prepare("digits", Mnist5k(kind="mnist5k"), root / "digits")
    return root


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_stack_is_three_digits_of_its_split_and_its_label_their_number(folders, split):
    known = rows_by_image(*load(folders / "digits").split(split))
    images, labels = load(folders / "stacks").split(split)
    assert images.shape == ({"train": 1200, "test": 300}[split], 3, 28, 28)
    for stack, label in zip(images, labels, strict=True):
        red, green, blue = (known[channel.tobytes()] for channel in stack)
        assert label == 100 * red + 10 * green + blue


def test_digits_are_drawn_evenly_and_independently(folders):
    data = load(folders / "stacks")
    labels = data.split("train")[1]
    digits = np.stack([labels // 100, labels // 10 % 10, labels % 10])
    for channel in digits:
        assert np.bincount(channel, minlength=10).min() > 80 and np.bincount(channel).max() < 160
    assert np.abs(np.corrcoef(digits) - np.eye(3)).max() < 0.1
    assert data.manifest["labels"]["names"][7] == "007" and len(data.manifest["labels"]["names"]) == 1000


def test_the_stacks_are_the_same_every_time_and_stand_written_down(folders, tmp_path):
    manifest = prepare("stacks", SPEC, tmp_path)
    assert manifest == load(folders / "stacks").manifest
    assert load(tmp_path).labels[:5].tolist() == [590, 377, 582, 450, 941]


def test_more_stacks_begin_with_the_same(folders, tmp_path):
    prepare("stacks", SPEC.model_copy(update={"stacks": 1500}), tmp_path)
    more, fewer = load(tmp_path).split("train")[0], load(folders / "stacks").split("train")[0]
    assert np.array_equal(more[:1200], fewer)


def test_mnists_files_are_stacked_too(tmp_path, write_idx):
    images, labels = write_idx(tmp_path / "source")
    spec = SPEC.model_copy(update={"source": "source", "resolution": 32})
    manifest = prepare("stacks", spec, tmp_path / "out", root=tmp_path)
    assert manifest["original"] is False and manifest["source"] == "source"
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    known = rows_by_image(padded[:30], labels[:30])
    stack, label = (rows[0] for rows in load(tmp_path / "out").split("train"))
    assert [known[channel.tobytes()] for channel in stack] == [label // 100, label // 10 % 10, label % 10]
