"""DINOv2's feature space against the same network written once more from the formulas, and torch-fidelity's class."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

from sagan.errors import UserError
from sagan.metrics import formulas
from sagan.metrics.dinov2 import read_vision_transformer
from sagan.metrics.evaluate import evaluate
from sagan.metrics.extractors import DINOV2_NAME, Extractor
from sagan.metrics.features import features_of_images
from sagan.metrics.reference import make_reference

DINOV2 = "dinov2-vit-b-14"
CPU = torch.device("cpu")
PATCH = 14


def made_up_weights(width=128, depth=2, grid=5):
    """Tensors with the names and shapes of the published file, which are listed here from that file."""
    rng = np.random.default_rng(0)

    def draw(*shape, around=0.0):
        return around + rng.normal(size=shape) / math.sqrt(math.prod(shape[1:]) or 1) * (1 if len(shape) > 1 else 0.3)

    weights = {
        "cls_token": rng.normal(size=(1, 1, width)),
        "pos_embed": rng.normal(size=(1, 1 + grid * grid, width)),
        "mask_token": rng.normal(size=(1, width)),
        "patch_embed.proj.weight": draw(width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": draw(width),
        "norm.weight": draw(width, around=1.0),
        "norm.bias": draw(width),
    }
    for index in range(depth):
        shapes = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        shapes |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, shape in shapes.items():
            weights[f"blocks.{index}.{name}.weight"] = draw(*shape)
            weights[f"blocks.{index}.{name}.bias"] = draw(shape[0])
        for name in ("norm1", "norm2"):
            weights[f"blocks.{index}.{name}.weight"] = draw(width, around=1.0)
            weights[f"blocks.{index}.{name}.bias"] = draw(width)
        for name in ("ls1", "ls2"):
            weights[f"blocks.{index}.{name}.gamma"] = draw(width, around=0.5)
    return weights


def write_weights(paths, weights):
    path = paths.weights_file(DINOV2, paths.root)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}, path)
    return path


def cubic(distance):
    """Keys' kernel with a = -0.75, as torch's bicubic interpolation has it."""
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def resize_rows(table, side):
    """table [grid, ...] sampled at `side` places; the step between them is grid / (side + 0.1), as published."""
    grid = len(table)
    rows = []
    for place in range(side):
        at = (place + 0.5) * grid / (side + 0.1) - 0.5
        near = range(math.floor(at) - 1, math.floor(at) + 3)
        rows.append(sum(cubic(at - there) * table[min(max(there, 0), grid - 1)] for there in near))
    return np.stack(rows)


class ByHand:
    """The network in float64, from the papers' formulas, one image and one head at a time."""

    def __init__(self, weights):
        self.weights = weights
        self.width = weights["cls_token"].shape[-1]

    def __call__(self, image):
        """[3, H, W], normalised -> [width]."""
        w = self.weights
        side = image.shape[-1] // PATCH
        grid = math.isqrt(w["pos_embed"].shape[1] - 1)
        positions = w["pos_embed"][0, 1:].reshape(grid, grid, self.width)
        if side != grid:
            positions = resize_rows(resize_rows(positions, side).swapaxes(0, 1), side).swapaxes(0, 1)
        tokens = [w["cls_token"][0, 0] + w["pos_embed"][0, 0]]
        for row, column in itertools.product(range(side), repeat=2):
            patch = image[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
            filters = w["patch_embed.proj.weight"].reshape(self.width, -1)
            tokens.append(filters @ patch.ravel() + w["patch_embed.proj.bias"] + positions[row, column])
        tokens = np.stack(tokens)
        for index in range(len([name for name in w if name.endswith("ls1.gamma")])):
            at = f"blocks.{index}."
            tokens = tokens + w[at + "ls1.gamma"] * self.attend(self.norm(tokens, at + "norm1"), at + "attn.")
            hidden = self.linear(self.norm(tokens, at + "norm2"), at + "mlp.fc1")
            hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
            tokens = tokens + w[at + "ls2.gamma"] * self.linear(hidden, at + "mlp.fc2")
        return self.norm(tokens, "norm")[0]

    def linear(self, tokens, name):
        return tokens @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, tokens, name):
        centred = tokens - tokens.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attend(self, tokens, at):
        together = self.linear(tokens, at + "qkv")
        queries, keys, found = np.split(together, 3, axis=-1)
        heads = []
        for head in range(self.width // 64):
            part = slice(64 * head, 64 * (head + 1))
            energy = queries[:, part] @ keys[:, part].T / 8
            shares = np.exp(energy - energy.max(-1, keepdims=True))
            heads.append(shares / shares.sum(-1, keepdims=True) @ found[:, part])
        return self.linear(np.concatenate(heads, axis=-1), at + "proj")


@pytest.mark.parametrize("side", [3, 5, 16])
def test_features_are_those_of_the_formulas(paths, side):
    weights = made_up_weights()
    network = read_vision_transformer(write_weights(paths, weights))
    images = np.random.default_rng(1).normal(size=(2, 3, PATCH * side, PATCH * side))
    found = network(torch.tensor(images, dtype=torch.float32)).detach().numpy()
    expected = np.stack([ByHand(weights)(image) for image in images])
    assert np.abs(expected).mean() > 0.1 and np.abs(expected[0] - expected[1]).mean() > 0.02
    assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [28, 64, 224, 256])
def test_images_go_in_as_torch_fidelity_has_it(paths, monkeypatch, size):
    """torch-fidelity's own class, with our network where it would fetch the published one."""
    path = write_weights(paths, made_up_weights())
    asked = []

    def load(*names):
        asked.append(names)
        return read_vision_transformer(path)

    monkeypatch.setattr(torch.hub, "load", load)
    theirs = FeatureExtractorDinoV2(DINOV2, ["dinov2"])
    assert asked == [("facebookresearch/dinov2", "dinov2_vitb14")]
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    ours = Extractor(DINOV2, paths.root, paths, CPU)
    assert torch.allclose(ours(images)["features"], theirs(images)[0], atol=1e-5)
    assert torch.equal(ours(images[:, :1])["features"], ours(images[:, :1].expand(-1, 3, -1, -1))["features"])


def test_fid_is_that_of_torch_fidelity_over_the_registered_extractor(paths, fid_of_torch_fidelity):
    path = write_weights(paths, made_up_weights(width=64, depth=1))
    rng = np.random.default_rng(0)
    generated, real = (rng.integers(0, top, (80, 3, 32, 32), dtype=np.uint8) for top in (200, 256))
    theirs = fid_of_torch_fidelity(DINOV2_NAME, path, "dinov2", generated, real)
    extractor = Extractor(DINOV2, paths.root, paths, CPU)
    ours = [features_of_images(extractor, images, CPU) for images in (generated, real)]
    assert [set(found) for found in ours] == [{"features"}] * 2
    fid = formulas.fid(*(formulas.statistics(found["features"]) for found in ours))
    assert fid == pytest.approx(theirs, rel=1e-4) and fid > 0


def test_numbers_at_random_are_left_alone(paths):
    """A network is read, not drawn: evaluations must not depend on which spaces were loaded before."""
    path = write_weights(paths, made_up_weights())
    before = torch.get_rng_state()
    read_vision_transformer(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_is_measured_in_this_space(unmeasured):
    """Every figure but IS, for which the network has no classes; the key knows the weights."""
    root, paths = unmeasured.paths.root, unmeasured.paths
    write_weights(paths, made_up_weights(width=64, depth=1))
    text = paths.params.read_text().replace("extractor: classifier", f"extractor: {DINOV2}")
    world = type(unmeasured)(root, text.replace("samples: 600, curve_samples: 300", "samples: 768, curve_samples: 768"))
    make_reference(world.reference, world.dataset, paths)
    metrics = evaluate(world.evaluation, paths).content()["metrics"]
    assert metrics["is"]["value"] is None and "no class" in metrics["is"]["status"]
    for name in ("fid", "kid", "precision", "recall", "density", "coverage"):
        assert metrics[name]["status"] == "measured" and np.isfinite(metrics[name]["value"]), name
    assert metrics["fid"]["name"] == f"fid768_train.{DINOV2}"
    write_weights(paths, made_up_weights(width=64, depth=2))
    assert type(unmeasured)(root, paths.params.read_text()).evaluation.key != world.evaluation.key


def without_a_gamma(weights):
    del weights["blocks.1.ls2.gamma"]


def with_registers(weights):
    weights["register_tokens"] = np.zeros((1, 4, 128))


def with_gated_perceptrons(weights):
    weights["blocks.0.mlp.w12.weight"] = weights.pop("blocks.0.mlp.fc1.weight")


@pytest.mark.parametrize("spoil", [without_a_gamma, with_registers, with_gated_perceptrons, dict.clear])
def test_another_network_is_one_line(paths, spoil):
    weights = made_up_weights()
    spoil(weights)
    write_weights(paths, weights)
    with pytest.raises(
        UserError, match=r"not the file of 'dinov2-vit-b-14' as it is published .*sagan weights"
    ) as raised:
        Extractor(DINOV2, paths.root, paths, CPU)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", b"PK\3\4"])
def test_another_file_in_its_place_is_one_line(paths, content):
    path = paths.weights_file(DINOV2, paths.root)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"not the file of 'dinov2-vit-b-14' as it is published") as raised:
        Extractor(DINOV2, paths.root, paths, CPU)
    assert "\n" not in str(raised.value)
