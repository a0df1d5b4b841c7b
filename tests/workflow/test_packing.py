"""What a borrowed machine packs is whole, and carries nothing away that is no result."""

import json
import shutil
import tarfile

import pytest

from sagan.plan import Evaluation, Plan
from sagan.store.paths import Paths
from sagan.store.reading import read_run
from sagan.training.loop import Data, train
from workflow.sharing import pack


@pytest.fixture
def trained(run, images, paths):
    train(run, Data(images), paths)
    return Plan({run.key: run}, {}, {}, {})


def unpacked(source, root, kind="done"):
    for path in sorted(source.glob(f"{kind}-*.tar")):
        with tarfile.open(path) as tar:
            tar.extractall(root, filter="data")
    return Paths(root)


@pytest.mark.parametrize("light", [False, True])
def test_what_is_finished_is_whole_elsewhere(trained, run, paths, tmp_path, light):
    half = paths.run(run.key) / ".generator.safetensors.123.tmp"  # left by a kill
    half.touch()
    pack(trained, paths, tmp_path / "packed", light)
    there = unpacked(tmp_path / "packed", tmp_path / "elsewhere")
    record = read_run(run.key, there, verify=True).record
    assert record.status == "finished"
    assert (there.run(run.key) / "generator.safetensors").exists() is not light
    assert bool(record.left_behind) == light and not (there.run(run.key) / half.name).exists()


def test_what_is_under_way_goes_on_elsewhere_and_not_once_it_is_finished(run, images, paths, tmp_path):
    measured = Evaluation("e", run.key, "r", {"threads": 1}, "c" * 64, run.execution)
    under_way = (paths.state(run.key) / "00000003.json", paths.run(run.key) / "log.jsonl", paths.features("e") / "part")
    for file in under_way:
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    plan = Plan({run.key: run}, {}, {"e": measured}, {})
    pack(plan, paths, tmp_path / "packed", False)
    unpacked(tmp_path / "packed", tmp_path / "elsewhere", "under-way")
    assert all((tmp_path / "elsewhere" / file.relative_to(paths.root)).exists() for file in under_way)
    for place in (paths.state(run.key), paths.run(run.key), paths.state("e")):
        shutil.rmtree(place)
    train(run, Data(images), paths)
    pack(plan, paths, tmp_path / "packed", False)
    # As `for part in packed/*.tar` does.
    there = unpacked(tmp_path / "packed", tmp_path / "new", "*")
    assert read_run(run.key, there, verify=True).record.status == "finished"


def test_a_link_out_of_the_clone_is_not_followed(trained, run, paths, tmp_path_factory, tmp_path, capsys):
    private = tmp_path_factory.mktemp("home") / "key"
    private.write_text("secret")
    (paths.run(run.key) / "notes.txt").symlink_to(private)
    pack(trained, paths, tmp_path / "packed", False)
    there = unpacked(tmp_path / "packed", tmp_path / "elsewhere")
    assert not (there.run(run.key) / "notes.txt").exists() and "is not packed" in capsys.readouterr().err
    assert json.loads((there.run(run.key) / "run.json").read_text())["key"] == run.key
