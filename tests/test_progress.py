"""Progress in lines, as it is written where there is no terminal, and on one."""

import pytest

from sagan import progress as module
from sagan.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed; a test sets them."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


HOURS = ["4,020 of 10,000, 32 images/s, 1:39:40 to go", "4,040 of 10,000, 32 images/s, 1:39:20 to go"]


@pytest.mark.parametrize(
    ("total", "done", "images", "steps", "said"),
    [
        # Now and then, with the rate of this process alone; the end always.
        (10_000, 4_000, 32, [(1.0, 4_001), (20.0, 4_020), (21.0, 4_021), (40.0, 4_040)], HOURS),
        (200_001, 0, 1, [(20.0, 20)], ["20 of 200,001, 1 images/s, 2 days, 7:33:01 to go"]),
        (3, 0, 1, [(1.0, 3)], ["3 of 3, 3 images/s, 0:00:00 to go"]),
    ],
)
@pytest.mark.parametrize("shown", [True, False])
def test_lines_where_there_is_no_terminal(clock, capsys, total, done, images, steps, said, shown):
    with progress("any", total, done, images_per_step=images, shown=shown) as update:
        for clock[0], step in steps:
            update(step)
    assert capsys.readouterr().err.splitlines() == ([f"any: {line}" for line in said] if shown else [])


@pytest.mark.parametrize("alone", [True, False])
def test_a_terminals_line_is_written_over_where_nothing_else_writes(clock, capsys, monkeypatch, alone):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    with progress("any", 3, 0, alone=alone) as update:
        for clock[0], step in ((1.0, 1), (2.0, 2)):
            update(step)
    said = capsys.readouterr().err
    assert (said.count("\r"), said.count("\n")) == ((2, 1) if alone else (0, 0))
