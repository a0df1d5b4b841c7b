"""What every kind has in common: what is said, when a dataset is made again, what is on disk, what importing costs."""

import errno
import hashlib
import json
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from dvc.repo import Repo

from sagan.data import load, outdated, prepare, summary
from sagan.errors import UserError
from sagan.params.datasets import CelebA, ImageFolder, Mnist
from tests import flip_a_bit, sagan

ROOT = Path(__file__).parent.parent.parent
DIGITS = Mnist(kind="mnist", source="source")
FACES = CelebA(kind="celeba", source="source", resolution=32)


@pytest.fixture
def made(tmp_path, write_idx):
    """The folder of a dataset that was prepared from MNIST's stand-ins."""
    write_idx(tmp_path / "source")
    prepare("mnist", DIGITS, tmp_path / "out", root=tmp_path)
    return tmp_path / "out"


def test_the_same_dataset_is_not_made_twice_and_stands_without_its_originals(tmp_path, made):
    assert sorted(path.name for path in made.iterdir()) == ["images.npy", "labels.npy", "manifest.json"]
    manifest, before = load(made).manifest, (made / "images.npy").stat().st_mtime_ns
    for _ in range(2):
        assert prepare("mnist", DIGITS, made, root=tmp_path) == manifest
        shutil.rmtree(tmp_path / "source", ignore_errors=True)
    assert (made / "images.npy").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="missing"):
        prepare("mnist", DIGITS, tmp_path / "new", root=tmp_path)


def test_other_settings_and_other_originals_make_it_again(tmp_path, made, write_idx):
    first = load(made).manifest["digest"]
    wider = prepare("mnist", DIGITS.model_copy(update={"resolution": 32}), made, root=tmp_path)
    assert wider["resolution"] == 32 and load(made).images.shape[-1] == 32 and wider["digest"] != first
    write_idx(tmp_path / "source", train=60)
    assert prepare("mnist", DIGITS, made, root=tmp_path)["count"] == 70


def test_arrays_that_do_not_fit_are_told_with_the_systems_reason(tmp_path, made, write_idx):
    write_idx(tmp_path / "source", train=3000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    try:
        with pytest.raises(OSError) as raised:
            prepare("mnist", DIGITS, made, root=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG  # of a full disk ENOSPC, which the command line explains


@pytest.mark.parametrize("name", ["data/prepared/.a-28.lock", "data/prepared/a-28/.images.npy.7.tmp"])
def test_dvc_does_not_see_what_a_killed_process_leaves(name):
    assert Repo(ROOT).dvcignore.is_ignored_file(str(ROOT / name))


def test_load_maps_the_images_and_names_the_splits_and_the_digest_is_over_all(made):
    data = load(made)
    splits = json.dumps({"test": [30, 40], "train": [0, 30]}, separators=(",", ":"))
    expected = hashlib.sha256(data.images.tobytes() + data.labels.tobytes() + splits.encode()).hexdigest()
    assert data.manifest["digest"] == expected
    assert isinstance(data.images, np.memmap) and not data.images.flags.writeable
    with pytest.raises(UserError, match=r"'mnist' has no split 'valid' \(there are: train, test\)"):
        data.split("valid")


def test_load_refuses_a_folder_without_manifest_and_one_that_was_cut_short(tmp_path, made):
    with pytest.raises(UserError, match="holds no prepared dataset"):
        load(tmp_path)
    images = made / "images.npy"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged"):
        load(made)
    images.write_bytes(b"")
    with pytest.raises(UserError, match="damaged"):
        load(made)
    np.save(images, np.zeros((39, 1, 28, 28), np.uint8))
    with pytest.raises(UserError, match=r"the arrays do not match manifest\.json"):
        load(made)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_a_flipped_bit_is_refused_by_whoever_reads_and_prepared_anew(tmp_path, made, name, capsys):
    manifest = load(made).manifest
    flip_a_bit(made / name)
    with pytest.raises(UserError, match=r"out: the arrays have changed .*run `python -m sagan data`"):
        load(made)
    assert outdated("mnist", DIGITS, made, root=tmp_path).startswith("the arrays have")
    (tmp_path / "source").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"the arrays have changed .* missing"):
        prepare("mnist", DIGITS, made, root=tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "source")
    capsys.readouterr()
    assert prepare("mnist", DIGITS, made, root=tmp_path) == manifest
    assert "out: prepared anew, since the arrays have changed" in capsys.readouterr().err
    load(made)


def replaced(path: Path) -> None:
    """Another content of the same size and age."""
    status = path.stat()
    shutil.copy(path, path.with_name("another"))
    path.with_name("another").replace(path)
    flip_a_bit(path, status.st_size // 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("kind", ["folder", "zip", "mnist", "celeba list"])
def test_originals_that_were_replaced_by_others_of_their_size_are_noticed(
    tmp_path, write, write_idx, write_celeba, kind
):
    spec = ImageFolder(kind="folder", source="source", resolution=32)
    if kind in ("folder", "zip"):
        victim = write("0.jpg", "1.jpg") / "0.jpg"
    if kind == "zip":
        shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "source")
        spec = spec.model_copy(update={"source": "packed.zip"})
    if kind == "mnist":
        write_idx(tmp_path / "source", gzipped=False)
        victim, spec = tmp_path / "source" / "t10k-images-idx3-ubyte", DIGITS
    if kind == "celeba list":
        victim, spec = write_celeba(tmp_path / "source") / "list_eval_partition.txt", FACES
    prepare("any", spec, tmp_path / "out", root=tmp_path)
    assert outdated("any", spec, tmp_path / "out", root=tmp_path) is None
    if kind == "zip":  # one image in it, so that its checksum is another
        victim.write_bytes(victim.with_name("1.jpg").read_bytes())
        shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "source")
    else:
        replaced(victim)
    assert "originals have changed" in outdated("any", spec, tmp_path / "out", root=tmp_path)


def test_the_command_says_what_was_read_each_time(tmp_path, write):
    write("train/cats/0.jpg", "train/dogs/1.jpg", "train/dogs/2.jpg", "test/dogs/3.jpg", "train/dogs/4.gif")
    params = (ROOT / "params.yaml").read_text()
    pets = "datasets:\n  pets: {kind: folder, source: source, resolution: 32, labels: folders}\n"
    (tmp_path / "params.yaml").write_text(params.replace("datasets:\n", pets, 1))
    for _ in range(2):
        done = sagan("data", "--dataset", "pets", "--workers", 1, folder=tmp_path)
        assert done.stdout.splitlines()[:-1] == [
            "pets: train: 3 images; classes: cats 1, dogs 2",
            "pets: test: 1 images; classes: cats 0, dogs 1",
            "pets: test lacks the classes cats",
            "pets: splits: the folders of the source",
            "pets: passed over: 1 .gif",
        ]
        assert "data/prepared/pets-32: 4 images, digest" in done.stdout.splitlines()[-1]


def test_many_classes_and_attributes_are_summed_up(tmp_path, write_celeba):
    write_celeba(tmp_path / "source")
    said = summary(prepare("faces", FACES, tmp_path / "out", root=tmp_path), tmp_path / "out")
    assert said[0] == "train: 6 images; attributes: 40, from Attribute_1 0 to Attribute_0 3"
