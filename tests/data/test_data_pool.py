"""Preparation on several processes: the same bytes however it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sagan.data import pool, prepare
from sagan.errors import UserError
from sagan.params.datasets import ImageFolder

SPEC = ImageFolder(kind="folder", source="source", resolution=32)
FILES = ("images.npy", "labels.npy", "manifest.json")

KILLED = """
import sys
from pathlib import Path
from sagan.data import pool, prepare
from sagan.params.datasets import ImageFolder

if __name__ == "__main__":
    pool.PART = 8
    root = Path(sys.argv[1])
    spec = ImageFolder(kind="folder", source="source", resolution=32)
    prepare("any", spec, root / "out", root=root, workers=2)
"""


@pytest.fixture
def write_source(tmp_path, jpeg):
    """A function that writes so many images: 8 different ones under many names."""

    def write(count: int, side: int = 100) -> Path:
        folder = tmp_path / "source"
        folder.mkdir()
        for i in range(8):
            (folder / f"{i:04d}.jpg").write_bytes(jpeg(i, size=(side, side)))
        for i in range(8, count):
            os.link(folder / f"{i % 8:04d}.jpg", folder / f"{i:04d}.jpg")
        return folder

    return write


def bytes_of(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in FILES]


def test_the_number_of_workers_does_not_change_a_byte(tmp_path, write_source, monkeypatch):
    (write_source(60) / "bad.jpg").write_bytes(b"no image")
    monkeypatch.setattr(pool, "PART", 16)
    spec = SPEC.model_copy(update={"on_bad_image": "skip"})
    for workers in (1, 2, 3):
        prepare("any", spec, tmp_path / str(workers), root=tmp_path, workers=workers)
    one, two, three = (bytes_of(tmp_path / str(workers)) for workers in (1, 2, 3))
    assert one == two == three
    monkeypatch.setattr(pool, "PART", 7)
    prepare("any", spec, tmp_path / "other", root=tmp_path, workers=1)
    assert bytes_of(tmp_path / "other") == one


def test_a_killed_preparation_goes_on_where_it_was_and_leaves_no_worker(tmp_path, write_source, monkeypatch):
    write_source(400, side=400)
    (tmp_path / "killed.py").write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(tmp_path / "killed.py"), str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.glob("out/.preparing/*.json"))) >= 3)
    workers = children_of(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / "manifest.json").exists()
    wait_for(lambda: not any(is_running(pid) for pid in workers))

    monkeypatch.setattr(pool, "PART", 8)
    ready = len(list(tmp_path.glob("out/.preparing/*.json")))
    made = []
    make_part = pool._make_part
    monkeypatch.setattr(pool, "_make_part", lambda *call: made.append(call[0]) or make_part(*call))
    prepare("any", SPEC, tmp_path / "out", root=tmp_path, workers=1)
    assert 3 <= ready < 50 and len(made) == 50 - ready
    prepare("any", SPEC, tmp_path / "clean", root=tmp_path, workers=1)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "clean")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)


def test_parts_of_other_settings_are_not_used(tmp_path, write_source, monkeypatch):
    write_source(60)
    monkeypatch.setattr(pool, "PART", 16)
    interrupted("any", SPEC, tmp_path / "out", tmp_path, monkeypatch)
    other = SPEC.model_copy(update={"resize": "bilinear"})
    prepare("any", other, tmp_path / "out", root=tmp_path, workers=1)
    prepare("any", other, tmp_path / "clean", root=tmp_path, workers=1)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "clean")


def interrupted(name, spec, folder, root, monkeypatch):
    """A preparation that ends once all images are read."""
    with monkeypatch.context() as patch:
        patch.setattr("sagan.data.store", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(name, spec, folder, root=root, workers=1)


def replace(path: Path, data: bytes) -> None:
    """Another file under the name, as old as the one before, as `cp --preserve` and archives leave it."""
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=times)


@pytest.mark.parametrize("kind", ["jpg", "bmp", "zip"])
def test_images_replaced_after_an_interruption_are_read_again(tmp_path, jpeg, monkeypatch, kind):
    """Bitmaps of one side have one size in bytes; the zip has one too where it stores bitmaps."""
    monkeypatch.setattr(pool, "PART", 8)
    spec = SPEC.model_copy(update={"source": "source.zip"}) if kind == "zip" else SPEC

    def images(seed: int) -> dict[str, bytes]:
        form = "JPEG" if kind == "jpg" else "BMP"
        return {f"{i:04d}.{form.lower()}": jpeg(seed + i, size=(40, 40), kind=form) for i in range(40)}

    (tmp_path / "source").mkdir()
    for seed in (0, 100):
        if kind == "zip":
            with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
                for name, data in images(seed).items():
                    archive.writestr(zipfile.ZipInfo(name), data)
            packed = (tmp_path / "new.zip").read_bytes()
            replace(tmp_path / spec.source, packed) if seed else (tmp_path / spec.source).write_bytes(packed)
        else:
            for name, data in images(seed).items():
                path = tmp_path / "source" / name
                replace(path, data) if seed else path.write_bytes(data)
        if seed == 0:
            interrupted("any", spec, tmp_path / "out", tmp_path, monkeypatch)
            old = prepare("any", spec, tmp_path / "old", root=tmp_path, workers=1)
    new = prepare("any", spec, tmp_path / "out", root=tmp_path, workers=1)
    assert new["digest"] != old["digest"]
    prepare("any", spec, tmp_path / "clean", root=tmp_path, workers=1)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "clean")


def test_a_mended_image_is_taken_and_only_its_part_is_made_again(tmp_path, write_source, jpeg, monkeypatch):
    bad = write_source(60) / "0020a.jpg"
    bad.write_bytes(jpeg(99)[:2000])
    monkeypatch.setattr(pool, "PART", 16)
    with pytest.raises(UserError, match=r"1 of 61 images cannot be used .* 0020a\.jpg: damaged"):
        prepare("any", SPEC, tmp_path / "out", root=tmp_path, workers=1)
    bad.write_bytes(jpeg(99))
    made = []
    make_part = pool._make_part
    monkeypatch.setattr(pool, "_make_part", lambda *call: made.append(call[0]) or make_part(*call))
    assert prepare("any", SPEC, tmp_path / "out", root=tmp_path, workers=1)["count"] == 61
    assert len(made) == 1
    prepare("any", SPEC, tmp_path / "clean", root=tmp_path, workers=1)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "clean")


def test_parts_of_other_code_or_of_another_pillow_are_not_used(tmp_path, write_source, monkeypatch):
    write_source(60)
    monkeypatch.setattr(pool, "PART", 16)
    interrupted("any", SPEC, tmp_path / "out", tmp_path, monkeypatch)
    before = set((tmp_path / "out" / ".preparing").iterdir())
    for name, value in (("sagan.data.pool.PREPARATION", -1), ("PIL.__version__", "0")):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            interrupted("any", SPEC, tmp_path / "out", tmp_path, monkeypatch)
        after = set((tmp_path / "out" / ".preparing").iterdir())
        assert len(after) == len(before) and not after & before


def test_a_kill_between_old_and_new_leaves_no_manifest_that_lies(tmp_path, write_source, monkeypatch):
    write_source(60)
    prepare("any", SPEC, tmp_path / "out", root=tmp_path, workers=1)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sagan.data.prepared.np.lib.format.write_array_header_1_0", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare("any", SPEC.model_copy(update={"resolution": 64}), tmp_path / "out", root=tmp_path, workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_two_at_once_make_it_once(tmp_path, write_source, monkeypatch):
    write_source(60)
    monkeypatch.setattr(pool, "PART", 16)
    made = []
    make_part = pool._make_part
    monkeypatch.setattr(pool, "_make_part", lambda *call: made.append(call[0]) or make_part(*call))
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(prepare, "any", SPEC, tmp_path / "out", root=tmp_path, workers=1) for _ in range(2)]
    assert calls[0].result() == calls[1].result() and sorted(made) == sorted(set(made)) and len(made) == 4
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)


def test_progress_is_plain_lines_where_there_is_no_terminal(tmp_path, write_source, capsys):
    write_source(60)
    prepare("any", SPEC, tmp_path / "out", root=tmp_path, workers=1)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("60 images to 32x32: 60 of 60, ") and "images/s" in last


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
