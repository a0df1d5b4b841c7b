"""The discriminator's scores of training and held-out images, from a log as training writes it."""

import json

import torch

from sagan.analysis.build import analyse
from sagan.analysis.curves import score_gaps
from sagan.store.types import LogLine
from sagan.training.log import RunLog


def test_the_gap_is_read_from_the_lines_of_snapshots(tmp_path):
    log = RunLog(tmp_path / "log.jsonl", 0)
    seconds = {"wall": 1.0, "step": 0.5}
    scores = {0: (0.5, 0.25), 10: None, 20: (2.0, -1.0), 30: (float("nan"), 1.0), 40: (1.0, 1.5)}
    for step, pair in scores.items():
        scalars = {"loss_d": torch.tensor(1.0)}
        if pair:
            scalars |= {"score_train": torch.tensor(pair[0]), "score_held_out": torch.tensor(pair[1])}
        log.add(step, 8 * step, seconds, scalars)
    log.close()
    lines = [LogLine.model_validate_json(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert score_gaps(lines) == [(0, 0.25), (20, 3.0), (40, -0.5)]


def test_a_report_draws_the_gap_of_each_run(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    for cell in library.plan.suites["few"]:
        log = library.paths.run(cell.run) / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        lines[-1] |= {"score_train": 1.5, "score_held_out": 0.5 + cell.seed}
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    panel = analyse("few", library.plan, library.params, library.paths).dynamics.losses[-1]
    assert [line.values for line in panel.runs["sagan"]] == [[1.0], [0.0]] and panel.means["sagan"].values == [0.5]


def test_a_log_without_scores_has_no_gaps():
    place = {"images": 8, "seconds": 1.0, "time": 1.0}
    assert score_gaps([LogLine(step=1, loss_d=1.0, **place), LogLine(step=2, score_train=1.0, **place)]) == []
