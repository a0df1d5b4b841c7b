"""`score`: a folder of images of any model, by a suite's protocol."""

import numpy as np
import pytest

from sagan.errors import UserError
from sagan.params.loading import load_params
from sagan.scoring import read_images, score
from tests.metrics.conftest import as_pictures, measured  # noqa: F401 (a fixture)


def test_the_real_split_itself_scores_nearly_nothing_and_noise_does_not(measured, tmp_path):  # noqa: F811
    params, count = load_params(measured.paths.params), measured.reference_record["real_count"]
    real = np.asarray(measured.dataset.split(measured.reference.split)[0][:count])
    noise = np.random.default_rng(0).integers(0, 256, real.shape, dtype=np.uint8)
    told = []
    for images, folder in ((real, tmp_path / "real"), (noise, tmp_path / "noise")):
        as_pictures(images, folder)
        told.append(list(score(folder, measured.run.dataset, measured.reference.extractor, params, measured.paths)))
    fids = [float(next(line for line in lines if line.startswith("FID: ")).split()[1]) for lines in told]
    assert fids[0] < 0.01 * fids[1] and f"{count} images against {count} of the" in told[0][0]


def test_nothing_is_resized_and_what_is_no_image_is_named(tmp_path):
    as_pictures(np.zeros((2, 1, 28, 28), dtype=np.uint8), tmp_path / "good")
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
    params = load_params(measured.paths.params)
    with pytest.raises(UserError, match=r"--dataset nothing: no such dataset"):
        list(score(tmp_path, "nothing", "digits", params, measured.paths))
    with pytest.raises(UserError, match=r"--space nothing: no suite on .* measures in it.*name it under suites\."):
        list(score(tmp_path, measured.run.dataset, "nothing", params, measured.paths))
