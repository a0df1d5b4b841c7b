"""Suites on stacked digits say who reaches most modes."""

import pytest

from sagan.analysis.build import analyse
from sagan.analysis.wording import modes_sentence
from sagan.report.document import readme
from tests.report.outcomes import edited


@pytest.fixture
def stacked(make_library, tmp_path):
    """Means of modes and of mode KL by variant -> the analysis of a suite of two variants with eight seeds each."""

    def analysed(modes, mode_kl):
        library = make_library(tmp_path, ["eight"], pictures=False)
        for cell in library.plan.suites["eight"]:
            with edited(library.paths.evaluation(cell.evaluation) / "metrics.json") as record:
                for name, means in (("modes", modes), ("mode_kl", mode_kl)):
                    value = means.get(cell.variant, 100.0) * (1 + cell.seed / 1000)
                    protocol = {**record["metrics"]["fid"]["protocol"], "modes": 1000, "floor": 0.0192}
                    record["metrics"][name] = {**record["metrics"]["fid"], "value": value, "protocol": protocol}
        return analyse("eight", library.plan, library.params, library.paths)

    return analysed


def test_most_modes_and_the_least_divergence_are_told_with_what_chance_gives(stacked):
    found = stacked({"sagan": 900.0, "no-attention": 950.0}, {"sagan": 0.4, "no-attention": 0.4})
    assert (found.modes.most.name, found.modes.total) == ("no-attention", 1000)
    sentence = modes_sentence(found.modes)
    assert sentence.startswith("**no-attention reaches the most modes**, 953.3 ± 2.3 of 1000, clear of every other; ")
    assert "mode KL 0.401 ± 0.001, not clear of every other (by chance alone 0.0192)" in sentence
    assert f"- {sentence}\n" in readme(found, {})


def test_data_without_modes_have_no_such_line(library):
    found = analyse("eight", library.plan, library.params, library.paths)
    assert found.modes is None and "modes" not in readme(found, {})
