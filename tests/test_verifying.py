"""`verify`: what a report says of a run is held against the run made anew."""

import csv
import hashlib
import shutil

import pytest

from sagan.errors import UserError
from sagan.verifying import Reported, judged, verify
from tests.metrics.conftest import World, _measured, measured  # noqa: F401 (fixtures)

TOLD = Reported("a-s0-0123456789", "a-s0-0123456789.0123456789", 10.0, "0" * 64, 1.0, "cpu (A)")


@pytest.mark.parametrize(
    ("same_bytes", "fid", "device", "same", "begins"),
    [
        (True, 10.0, "cpu (A)", True, "same bytes: a-s0-0123456789, FID 10.0000 in the report, 10.0000 here"),
        (False, 10.005, "cpu (B)", True, "same figures within rounding, other bytes"),
        (True, 10.5, "cpu (A)", False, "different: a-s0-0123456789 has the same weights, and is measured otherwise"),
        (False, 11.0, "cpu (A)", False, "different: a-s0-0123456789 has other weights: FID 10.0000"),
        (False, 11.0, "cpu (B)", False, "different: a-s0-0123456789 has other weights: FID 10.0000"),
        (
            False,
            None,
            "cpu (A)",
            False,
            "different: a-s0-0123456789 has other weights: FID 10.0000 in the report, none",
        ),
    ],
)
def test_a_verdict_says_what_is_the_same(same_bytes, fid, device, same, begins):
    verdict = judged(TOLD, same_bytes, fid, device)
    assert verdict.same == same and verdict.text.startswith(begins)
    assert ("repeated on cpu (B)" in verdict.text) == (not same and device == "cpu (B)")


def write_report(world: World, **changes: object) -> None:
    """The report's row of the world's one run."""
    record = world.record
    files = (world.paths.run(world.run.key) / "generator.safetensors").read_bytes()
    row = {
        "run": world.run.key,
        "evaluation": world.evaluation.key,
        "fid": record["metrics"]["fid"]["value"],
        "generator_sha256": hashlib.sha256(files).hexdigest(),
        "seconds": 1.0,
        "device": record["provenance"]["device"],
    } | changes
    path = world.paths.report("small") / "results.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)


@pytest.fixture
def reported(measured, tmp_path):  # noqa: F811
    """A copy of the small suite without its run, and with the report of it."""
    shutil.copytree(measured.paths.root, tmp_path / "copy")
    world = World(tmp_path / "copy")
    world.record = measured.record
    write_report(world)
    shutil.rmtree(world.paths.run(world.run.key))
    return world


def test_the_same_run_has_the_same_bytes_and_figure(reported):
    verdict = verify("small", reported.plan, reported.paths)
    assert verdict.same and verdict.text.startswith(f"same bytes: {reported.run.key}, FID ")
    assert not reported.paths.run(reported.run.key).exists(), "the workspace's results are left alone"


def test_another_digest_is_noticed(reported):
    path = reported.paths.report("small") / "results.csv"
    head, row = path.read_text().splitlines()
    cells = dict(zip(head.split(","), row.split(","), strict=True)) | {"generator_sha256": "f" * 64, "fid": "1.0"}
    path.write_text(f"{head}\n{','.join(cells.values())}\n")
    verdict = verify("small", reported.plan, reported.paths)
    assert not verdict.same and verdict.text.startswith("different: ")


def test_what_cannot_be_verified_is_one_line(reported):
    with pytest.raises(UserError, match=r"nothing.*: no run of .*small"):
        verify("small", reported.plan, reported.paths, "nothing")
    with pytest.raises(UserError, match=r"reports.other.results\.csv: no such report"):
        verify("other", reported.plan, reported.paths)
    reported.plan.runs.clear()
    with pytest.raises(UserError, match="check out the commit that made the report"):
        verify("small", reported.plan, reported.paths)
