"""A report that is interrupted leaves the former one whole."""

import ctypes

import pytest

from sagan.report import document
from sagan.report.swapping import swapped
from tests.report.conftest import report
from tests.report.outcomes import contents


def test_an_interrupted_report_leaves_the_former_one_whole(make_library, tmp_path, monkeypatch):
    library = make_library(tmp_path, ["few"])
    folder = report(library)
    before = contents(folder)
    assert any(name.startswith("figures/") for name in before)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(document, "readme", killed)
        with pytest.raises(KeyboardInterrupt):
            report(library)
    assert contents(folder) == before
    report(library)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["few"]


def test_what_was_not_written_again_goes_and_a_users_file_stays(tmp_path):
    folder = tmp_path / "few"
    (folder / "figures").mkdir(parents=True)
    for name in (
        "figures/old.png",
        "figures/kept.png",
        "results-inception.csv",
        "report.html",
        "notes.txt",
        "costs.csv",
    ):
        (folder / name).write_text("before")
    with swapped(folder) as fresh:
        (fresh / "figures").mkdir()
        (fresh / "figures/kept.png").write_text("now")
    assert contents(folder) == {"figures/kept.png": b"now", "notes.txt": b"before", "costs.csv": b"before"}


def test_killed_between_the_renames_of_a_disk_that_cannot_exchange(tmp_path, monkeypatch):
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "README.md").write_text("before")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())

    def swap(text):
        with swapped(folder) as fresh:
            (fresh / "README.md").write_text(text)

    swap("now")
    assert contents(tmp_path) == {"few/README.md": b"now"}
    with monkeypatch.context() as patched:
        rename = type(folder).rename

        def killed(path, target):
            if path.name == ".few.new":
                raise KeyboardInterrupt
            return rename(path, target)

        patched.setattr(type(folder), "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            swap("never")
    assert not folder.exists()
    with pytest.raises(ZeroDivisionError), swapped(folder):
        assert (folder / "README.md").read_text() == "now"
        raise ZeroDivisionError
    assert (folder / "README.md").read_text() == "now"
