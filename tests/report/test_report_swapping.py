"""A report that is interrupted leaves the former one whole."""

import pytest

from sagan.report import document, render
from sagan.report.swapping import swapped
from tests.report.outcomes import contents


def test_an_interrupted_report_leaves_the_former_one_whole(make_library, tmp_path, monkeypatch):
    library = make_library(tmp_path, ["few"])
    folder = render("few", library.plan, library.params, library.paths).parent
    before = contents(folder)
    assert any(name.startswith("figures/") for name in before)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(document, "readme", killed)
        with pytest.raises(KeyboardInterrupt):
            render("few", library.plan, library.params, library.paths)
    assert contents(folder) == before
    render("few", library.plan, library.params, library.paths)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["few"]


def test_what_was_not_written_again_goes_and_a_users_file_stays(tmp_path):
    folder = tmp_path / "few"
    (folder / "figures").mkdir(parents=True)
    for name in ("figures/old.png", "figures/kept.png", "results-inception.csv", "report.html", "notes.txt"):
        (folder / name).write_text("before")
    with swapped(folder) as fresh:
        (fresh / "figures").mkdir()
        (fresh / "figures/kept.png").write_text("now")
    assert contents(folder) == {"figures/kept.png": b"now", "notes.txt": b"before"}
