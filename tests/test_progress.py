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


def test_a_line_now_and_then_with_the_rate_of_this_process_alone(clock, capsys):
    with progress("any", 10_000, 4_000, images_per_step=32) as update:
        for clock[0], step in ((1.0, 4_001), (20.0, 4_020), (21.0, 4_021), (40.0, 4_040)):
            update(step)
    assert capsys.readouterr().err.splitlines() == [
        "any: 4,020 of 10,000, 32 images/s, 1:39:40 to go",
        "any: 4,040 of 10,000, 32 images/s, 1:39:20 to go",
    ]


def test_days_are_said(clock, capsys):
    with progress("any", 200_001, 0) as update:
        clock[0] = 20.0
        update(20)
    assert capsys.readouterr().err.endswith(", 1 images/s, 2 days, 7:33:01 to go\n")


def test_the_end_is_always_said_and_nothing_where_it_is_not_to_be_shown(clock, capsys):
    with progress("any", 3, 0) as update, progress("other", 3, 0, shown=False) as silent:
        clock[0] = 1.0
        update(3)
        silent(3)
    assert capsys.readouterr().err == "any: 3 of 3, 3 images/s, 0:00:00 to go\n"


@pytest.mark.parametrize("alone", [True, False])
def test_a_terminals_line_is_written_over_where_nothing_else_writes(clock, capsys, monkeypatch, alone):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    with progress("any", 3, 0, alone=alone) as update:
        for clock[0], step in ((1.0, 1), (2.0, 2)):
            update(step)
    said = capsys.readouterr().err
    assert (said.count("\r"), said.count("\n")) == ((2, 1) if alone else (0, 0))
