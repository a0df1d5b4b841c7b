"""Originals that changed are named before DVC, which does not know them, says that all is up to date."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from sagan.code.fingerprint import PACKAGE
from sagan.data import prepare
from sagan.params.loading import load_params
from workflow import around

# A git that says what is wrong in the language of its user.
GIT = '#!/bin/sh\n[ "$LC_ALL" = C ] && PATH=${PATH#*:} exec git "$@"\nexit 128'


@pytest.fixture(autouse=True)
def repository(paths):
    subprocess.run(["git", "init", "--quiet", paths.root], check=True)


@pytest.fixture
def add_image(paths):
    def add(seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        (paths.root / "pets").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(paths.root / "pets" / f"{seed}.png")

    return add


@pytest.fixture
def prepare_pets(paths, add_image):
    """A function that prepares the dataset of the suite under `repro`: a folder of 4 images."""
    tree = YAML().load(PACKAGE.parent / "params.yaml")
    tree["datasets"]["pets"] = {"kind": "folder", "source": "pets", "resolution": 32}
    tree["suites"]["quick"]["dataset"] = "pets"
    tree["suites"]["quick"]["evaluation"]["extractor"] = "random"
    YAML().dump(tree, paths.params)
    for seed in range(4):
        add_image(seed)

    def prepared() -> None:
        spec = load_params(paths.params).datasets["pets"]
        prepare("pets", spec, paths.prepared("pets", 32), root=paths.root, workers=1)

    return prepared


def test_a_changed_original_is_said_until_it_is_prepared(paths, prepare_pets, add_image, capsys):
    around.before(paths)
    assert capsys.readouterr().out == "", "not prepared yet"
    prepare_pets()
    capsys.readouterr()
    around.before(paths)
    assert capsys.readouterr().out == ""
    add_image(4)
    around.before(paths)
    said = capsys.readouterr().out
    assert said.startswith("pets: its originals have changed") and said.count("\n") == 1
    prepare_pets()
    around.before(paths)
    assert capsys.readouterr().out == ""


def test_a_dataset_stands_without_its_originals_and_those_that_broke_are_named(paths, prepare_pets, capsys):
    prepare_pets()
    shutil.rmtree(paths.root / "pets")
    around.before(paths)
    assert capsys.readouterr().out == ""
    (paths.root / "pets").write_bytes(b"no zip")
    around.before(paths)
    said = capsys.readouterr().out
    assert said.startswith("pets: its originals cannot be read any more: ") and "not a zip file" in said


@pytest.mark.parametrize(("unreadable", "said"), [(False, "repr"), (True, "is a folder, not a file")])
def test_bad_parameters_stop_it_with_one_line(paths, capsys, unreadable, said):
    paths.params.mkdir() if unreadable else paths.params.write_text("repr: 3\n")
    (paths.root / ".dvc").mkdir()
    assert around.before(paths) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and f"{paths.params}: " in told.err and said in told.err


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("a ZIP of the code", "git init"),
        ("of another user", "safe.directory"),
        ("not to be written", ".dvc"),  # root may write anywhere: a file is in the way
        ("results on another disk", "cache.type symlink"),
    ],
)
def test_where_dvc_cannot_work_one_line_says_why(paths, tmp_path_factory, monkeypatch, capsys, place, said):
    if place == "a ZIP of the code":
        shutil.rmtree(paths.root / ".git")
    elif place == "of another user":
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
        (git := tmp_path_factory.mktemp("bin") / "git").write_text(GIT)
        git.chmod(0o755)
        monkeypatch.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
    elif place == "not to be written":
        (paths.root / ".dvc").write_text("")
    else:
        (paths.root / "results").symlink_to(tmp_path_factory.mktemp("disk"))
    assert around.before(paths) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and said in errors
