"""`score`: a folder of images of any model, by a suite's protocol."""

import io

import numpy as np
import pytest
from PIL import Image

from sagan.errors import UserError
from sagan.params.loading import load_params
from sagan.scoring import read_images, score
from tests.metrics.conftest import PARAMS, as_pictures, measured  # noqa: F401 (a fixture)


def test_the_real_split_itself_scores_nearly_nothing_and_noise_does_not(measured, tmp_path):  # noqa: F811
    # Weights of the suite's other spaces need not be there.
    (tmp_path / "params.yaml").write_text(
        PARAMS.replace("{extractor: classifier,", "{extractor: classifier, also: [timm:vit],")
    )
    params, count = load_params(tmp_path / "params.yaml"), measured.reference_record["real_count"]
    real = np.asarray(measured.dataset.split(measured.reference.split)[0][:count])
    noise = np.random.default_rng(0).integers(0, 256, real.shape, dtype=np.uint8)
    told = []
    for images, folder in ((real, tmp_path / "real"), (noise, tmp_path / "noise")):
        as_pictures(images, folder)
        told.append(list(score(folder, measured.run.dataset, measured.reference.extractor, params, measured.paths)))
    fids = [float(next(line for line in lines if line.startswith("FID: ")).split()[1]) for lines in told]
    assert fids[0] < 0.01 * fids[1] and f"{count} images against {count} of the" in told[0][0]


def test_nothing_is_resized_and_hidden_files_are_no_images(tmp_path):
    folder, pixels = tmp_path / "all", np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), dtype=np.uint8)
    as_pictures(pixels, tmp_path / "good")
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    for hidden in (".ipynb_checkpoints/0000-checkpoint.png", "._0000.png"):
        (folder / hidden).write_bytes(b"no image")
    (folder / "linked").symlink_to(tmp_path / "good")
    assert np.array_equal(read_images(folder, 1, 28), pixels)
    assert np.array_equal(read_images(folder, 3, 28), pixels.repeat(3, 1))
    with pytest.raises(UserError, match=r"0000\.png: 28x28; this dataset has 32x32"):
        read_images(folder, 1, 32)
    with pytest.raises(UserError, match="no such folder, or none with images"):
        read_images(tmp_path / "none", 1, 28)


def encoded(mode="L", kind="PNG", **more):
    Image.new(mode, (28, 28)).save(buffer := io.BytesIO(), kind, **more)
    return buffer.getvalue()


BAD = {
    r"no whole image \(JPEG, PNG": encoded().replace(b"\x10IDAT", b"\x05IDAT"),  # of which Pillow raises a SyntaxError
    r"no whole image \(.* AVIF\)": encoded(kind="PPM"),
    "has 2 frames": encoded(kind="TIFF", save_all=True, append_images=[Image.new("L", (28, 28))]),
    **{f"its pixels are {mode}; save it as 8-bit grey": encoded(mode) for mode in ("I;16", "RGBA", "P")},
}


@pytest.mark.parametrize("said", BAD)
def test_an_image_of_other_pixels_than_the_datasets_is_named(tmp_path, said):
    (tmp_path / "0000.png").write_bytes(BAD[said])
    with pytest.raises(UserError, match=rf"0000\.png: {said}"):
        read_images(tmp_path, 1, 28)


def test_a_dataset_or_a_space_that_no_suite_has_is_one_line(measured, tmp_path):  # noqa: F811
    params = load_params(measured.paths.params)
    with pytest.raises(UserError, match=r"--dataset nothing: no such dataset"):
        list(score(tmp_path, "nothing", "digits", params, measured.paths))
    with pytest.raises(UserError, match=r"--space nothing: no suite on .* measures in it.*name it under suites\."):
        list(score(tmp_path, measured.run.dataset, "nothing", params, measured.paths))
