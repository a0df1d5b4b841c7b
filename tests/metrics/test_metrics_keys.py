"""What a reference and an evaluation execute is in their keys."""

import shutil

import pytest

from sagan.code import fingerprint
from sagan.code.fingerprint import PACKAGE, code_of
from sagan.metrics.evaluate import evaluate
from sagan.metrics.measures import FUNCTIONS
from sagan.metrics.reference import make_reference
from sagan.metrics.table import METRICS, applicable
from tests import edit
from tests.tracing import assert_harmless, definitions_of, executed

# Pictures of a run, which no figure depends on, and the making of records.
PICTURES = ("sagan.metrics.pictures",)
# Of a record what is no figure.
COSTS = ("generated_images", "generated_per_second", "seconds", "provenance")


def test_every_function_that_a_reference_executes_is_in_its_key_or_harmless(measured, tmp_path, monkeypatch):
    monkeypatch.setattr("sagan.training.classifier._STEPS", 3)
    paths = type(measured.paths)(tmp_path)
    ran = executed(lambda: make_reference(measured.reference, measured.dataset, paths))
    known = definitions_of(*fingerprint.REFERENCE, tokens=["classifier"])
    assert _uncovered(ran, known) == set()


def test_every_function_that_an_evaluation_executes_is_in_its_key_or_harmless(unmeasured):
    ran = executed(lambda: evaluate(unmeasured.evaluation, unmeasured.paths))
    known = definitions_of(*fingerprint.EVALUATION, tokens=["classifier"])
    known |= definitions_of(*fingerprint.RUN, tokens=unmeasured.run.typed.tokens())  # the run's key is in its own
    assert _uncovered({place for place in ran if place[0] not in PICTURES}, known) == set()


def test_a_space_keeps_its_metrics():
    """Which are measured is said by a table that no key holds: with another answer, what is measured would be stale."""
    shared = ["fid", "fid_infinity", "kid", "is", "precision", "recall", "density", "coverage"]
    stacked = [name for name in shared if name not in ("is", "coverage")] + ["modes", "mode_kl", "coverage"]
    found = {space: applicable(space) for space in ("digits", "random", "inception", "classifier", "stacked-digits")}
    assert found == dict.fromkeys(found, shared) | {"stacked-digits": stacked}


@pytest.mark.exhaustive
def test_altering_what_is_harmless_changes_no_figure(unmeasured, monkeypatch):
    """Measuring with an altered operator ends in an error or in the same figures."""
    monkeypatch.setattr("sagan.training.classifier._STEPS", 3)
    folders = [unmeasured.paths.reference(unmeasured.reference.key), unmeasured.evaluation_folder]

    def figures():
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        reference = make_reference(unmeasured.reference, unmeasured.dataset, unmeasured.paths).content()
        evaluation = evaluate(unmeasured.evaluation, unmeasured.paths).content()
        return reference, {name: value for name, value in evaluation.items() if name not in COSTS}

    assert_harmless(figures, monkeypatch)


def _uncovered(ran, known) -> set[tuple[str, str]]:
    """What is in no key: neither harmless, nor called by something harmless alone."""
    behind = set()
    for module, name in fingerprint.HARMLESS:
        uses = fingerprint.code_base(PACKAGE).definition(module, name).read(frozenset())[1]
        behind |= definitions_of(*(":".join(used.place) for used in uses if used.name != name))
    left = ran - known - behind - fingerprint.HARMLESS
    # A plan asks, and its hash is the key; records hold what was measured. Neither computes anything.
    carriers = ("sagan.plan.types", "sagan.store.types")
    return {place for place in left if place[0] not in carriers and place[1] != "<lambda>"}


BOTH = {"classifier", "inception"}


@pytest.mark.parametrize(
    ("name", "old", "new", "moves"),
    [
        ("metrics/pictures.py", "_PADDING = 2", "_PADDING = 3", set()),
        ("metrics/pictures.py", "_FILM_ROWS = 6", "_FILM_ROWS = 5", set()),
        ("metrics/table.py", '"1000 KID"', '"KID, times 1000"', set()),
        ("metrics/networks.py", "_PIECE = 20", "_PIECE = 21", {"inception"}),
        ("training/classifier.py", "_STEPS = 600", "_STEPS = 601", {"classifier"}),
        ("metrics/formulas.py", "KID_SUBSETS = 50", "KID_SUBSETS = 51", BOTH | {"an evaluation"}),
        ("metrics/reference.py", "KEPT_FEATURES = 10_000", "KEPT_FEATURES = 9_000", BOTH),
    ],
)
def test_edits_move_the_references_and_evaluations_that_use_them(package, name, old, new, moves):
    def codes(where):
        found = {kind: code_of(*fingerprint.REFERENCE, tokens=[kind], package=where) for kind in BOTH}
        return found | {"an evaluation": code_of(*fingerprint.EVALUATION, tokens=["digits"], package=where)}

    edit(package / name, old, new)
    before, after = codes(PACKAGE), codes(package)
    assert {kind for kind in before if before[kind] != after[kind]} == moves


def test_every_metric_of_the_table_has_its_function():
    assert set(METRICS) == set(FUNCTIONS)
