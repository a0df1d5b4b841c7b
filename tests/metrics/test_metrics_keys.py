"""What a reference and an evaluation execute is in their keys."""

import shutil
from pathlib import Path

import pytest

from sagan.code import fingerprint
from sagan.code.fingerprint import PACKAGE, code_of, definitions_of
from sagan.metrics.evaluate import evaluate
from sagan.metrics.measures import FUNCTIONS
from sagan.metrics.reference import make_reference
from sagan.metrics.table import METRICS
from tests.tracing import altered_one_by_one, executed

# Pictures of a run, which no figure depends on, and the making of records.
PICTURES = ("sagan.metrics.gallery", "sagan.metrics.pictures")
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

    expected, tried = figures(), 0
    for name in altered_one_by_one(fingerprint.HARMLESS, monkeypatch):
        tried += 1
        try:
            found = figures()
        except Exception:
            continue
        assert found == expected, name
    assert tried > 5


def _uncovered(ran, known) -> set[tuple[str, str]]:
    """What is in no key: neither harmless, nor called by something harmless alone."""
    behind = {place for harmless in fingerprint.HARMLESS for place in _behind(*harmless)}
    left = ran - known - behind - fingerprint.HARMLESS
    # A plan asks, and its hash is the key; records hold what was measured. Neither computes anything.
    carriers = ("sagan.plan.types", "sagan.store.types")
    return {place for place in left if place[0] not in carriers and place[1] != "<lambda>"}


def _behind(module: str, name: str) -> set[tuple[str, str]]:
    """All that a harmless definition uses, but for harmless ones."""
    uses = fingerprint.code_base(PACKAGE).definition(module, name).read(frozenset())[1]
    return definitions_of(*(":".join(used.place) for used in uses if used.name != name))


@pytest.fixture
def package(tmp_path):
    target = tmp_path / "sagan"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def edit(package: Path, name: str, old: str, new: str) -> None:
    text = (package / name).read_text()
    assert old in text, f"{old!r} is not in {name}"
    (package / name).write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "moves"),
    [
        ("metrics/pictures.py", "_PADDING = 2", "_PADDING = 3", set()),
        ("metrics/gallery.py", "_FILM_ROWS = 6", "_FILM_ROWS = 5", set()),
        ("metrics/inception.py", "_PIECE = 20", "_PIECE = 21", {"inception"}),
        ("training/classifier.py", "_STEPS = 600", "_STEPS = 601", {"classifier"}),
        ("metrics/formulas.py", "KID_SUBSETS = 50", "KID_SUBSETS = 51", {"classifier", "inception"}),
        ("metrics/reference.py", "KEPT_FEATURES = 10_000", "KEPT_FEATURES = 9_000", {"classifier", "inception"}),
    ],
)
def test_edits_move_the_references_that_use_them(package, name, old, new, moves):
    edit(package, name, old, new)
    kinds = ("classifier", "inception")
    before = {kind: code_of(*fingerprint.REFERENCE, tokens=[kind]) for kind in kinds}
    after = {kind: code_of(*fingerprint.REFERENCE, tokens=[kind], package=package) for kind in kinds}
    assert {kind for kind in kinds if before[kind] != after[kind]} == moves


def test_a_metrics_code_is_in_the_key_and_how_it_is_shown_is_not(package):
    def key():
        fingerprint.code_base.cache_clear()
        return code_of(*fingerprint.EVALUATION, tokens=["digits"], package=package)

    before = key()
    edit(package, "metrics/table.py", '"1000 KID"', '"KID, times 1000"')
    assert key() == before
    edit(package, "metrics/formulas.py", "KID_SUBSETS = 50", "KID_SUBSETS = 51")
    assert key() != before


def test_every_metric_of_the_table_has_its_function():
    assert set(METRICS) == set(FUNCTIONS)
