"""`score`: a folder of images of any model, by a suite's protocol."""

import numpy as np
import pytest
from PIL import Image

from sagan.data import load
from sagan.errors import UserError
from sagan.params.loading import load_params
from sagan.scoring import read_images, score
from sagan.store.records import read_json
from tests.metrics.conftest import World, _measured, measured  # noqa: F401 (fixtures)


def save(images, folder):
    folder.mkdir()
    for number, image in enumerate(images):
        pixels = image.transpose(1, 2, 0)
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(folder / f"{number:04d}.png")


def test_the_real_split_itself_scores_nearly_nothing_and_noise_does_not(measured, tmp_path):  # noqa: F811
    world = measured
    name = world.run.dataset
    space = world.plan.references[world.evaluation.reference].extractor
    dataset = load(world.paths.prepared(name, world.run.resolution))
    reference = read_json(world.paths.reference(world.evaluation.reference) / "reference.json")
    count = reference["real_count"]
    real = dataset.split(world.plan.references[world.evaluation.reference].split)[0][:count]
    save(np.asarray(real), tmp_path / "real")
    noise = np.random.default_rng(0).integers(0, 256, (count, *real.shape[1:]), dtype=np.uint8)
    save(noise, tmp_path / "noise")
    same, other = (
        list(score(tmp_path / of, name, space, load_params(world.paths.params), world.paths))
        for of in ("real", "noise")
    )
    fids = [float(next(line for line in told if line.startswith("FID: ")).split()[1]) for told in (same, other)]
    assert fids[0] < 0.01 * fids[1] and f"{count} images against {count} of the" in same[0]


def test_nothing_is_resized_and_what_is_no_image_is_named(tmp_path):
    save(np.zeros((2, 1, 28, 28), dtype=np.uint8), tmp_path / "good")
    assert read_images(tmp_path / "good", 1, 28).shape == (2, 1, 28, 28)
    assert read_images(tmp_path / "good", 3, 28).shape == (2, 3, 28, 28)
    with pytest.raises(UserError, match=r"0000\.png: 28x28; this dataset has 32x32"):
        read_images(tmp_path / "good", 1, 32)
    (tmp_path / "good" / "0000.png").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match=r"0000\.png: no whole image"):
        read_images(tmp_path / "good", 1, 28)
    with pytest.raises(UserError, match="no such folder, or none with images"):
        read_images(tmp_path / "none", 1, 28)


def test_a_dataset_or_a_space_that_no_suite_has_is_one_line(measured, tmp_path):  # noqa: F811
    world = measured
    name = world.run.dataset
    with pytest.raises(UserError, match=r"--dataset nothing: no such dataset"):
        list(score(tmp_path, "nothing", "digits", load_params(world.paths.params), world.paths))
    with pytest.raises(UserError, match=r"--space nothing: no suite on .* measures in it.*name it under suites\."):
        list(score(tmp_path, name, "nothing", load_params(world.paths.params), world.paths))
