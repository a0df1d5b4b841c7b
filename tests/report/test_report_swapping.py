"""A report that is interrupted leaves the former one whole."""

import pytest

from sagan.report import document
from sagan.report.document import put_in_place
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
    folder, fresh = tmp_path / "few", tmp_path / ".few.new"
    theirs = ("notes.txt", "costs.csv")
    for name in ("figures/old.png", "figures/kept.png", "results-inception.csv", "report.html", *theirs):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("before")
    (fresh / "figures").mkdir(parents=True)
    (fresh / "figures/kept.png").write_text("now")
    put_in_place(fresh, folder)
    assert contents(tmp_path) == {f"few/{name}": b"before" for name in theirs} | {"few/figures/kept.png": b"now"}
