"""Keys say what a result depends on, and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from ruamel.yaml import YAML

from sagan.code import fingerprint
from sagan.errors import UserError
from sagan.generators.describing import describe_variant
from sagan.params import Params
from sagan.params.loading import load_params
from sagan.params.suites import Training
from sagan.plan import Plan, make_plan, reference_of
from sagan.store.paths import Paths
from sagan.store.reading import warn_once
from tests.made_up import put, write_manifest

ROOT = Path(__file__).parents[2]
# Of no grid, so that a change of `sagan` moves its runs alone.
SUITE = ["sagan", "dcgan", "sagan-ttur-1"]


@pytest.fixture
def change(paths):
    """Loads the committed params.yaml, with some values replaced. `quick` has a few variants of their own."""

    def changed(values: Mapping[str, object] = MappingProxyType({})) -> Params:
        yaml = YAML(typ="safe", pure=True)
        yaml.sort_base_mapping_type_on_output = False
        tree = yaml.load(ROOT / "params.yaml")
        tree["suites"]["quick"] |= {"variants": SUITE, "baseline": "sagan", "questions": []}
        tree["suites"] = {"quick": tree["suites"]["quick"]}
        for key_path, value in values.items():
            put(tree, key_path, value)
        with paths.params.open("w") as file:
            yaml.dump(tree, file)
        return load_params(paths.params)

    return changed


@pytest.fixture
def params(change):
    return change()


@pytest.fixture
def planned(paths):
    """Plans a changed params over a dataset of a given digest."""

    def plan(params: Params, digest="d" * 64, suites=None) -> Plan:
        write_manifest(paths, digest=digest)
        return make_plan(params, paths, suites)

    return plan


def keys(plan, variant=None):
    return {cell.run for cell in plan.suites["quick"] if variant in (None, cell.variant)}


def test_a_cell_for_each_variant_and_seed(params, planned):
    plan = planned(params)
    suite = params.suites["quick"]
    assert [(c.variant, c.seed) for c in plan.suites["quick"]] == [(v, s) for v in suite.variants for s in (0, 1, 2)]
    assert set(plan.runs) == keys(plan) and len(plan.references) == 1
    assert {e.run for e in plan.evaluations.values()} == set(plan.runs)
    for cell in plan.suites["quick"]:
        assert cell.run.startswith(f"{cell.variant}-s{cell.seed}-") and cell.evaluation.startswith(f"{cell.run}.")


NONE, ONE, EVERY = set(), {"sagan-ttur-1"}, set(SUITE)
# The variants that a change trains anew, and those that it measures anew.
CHANGES = [
    ("variants.sagan-ttur-1.optimizer.lr_ratio", 1.5, ONE, ONE),
    ("variants.sagan-ttur-1.training.batch_size", 16, ONE, ONE),
    ("variants.sagan-ttur-1.generator.attention_bias", True, ONE, ONE),
    ("suites.quick.evaluation.samples", 2000, NONE, EVERY),
    ("suites.quick.evaluation.split", "test", NONE, EVERY),
    ("suites.quick.evaluation.seed", 7, NONE, EVERY),
    # Words, devices, logging.
    ("variants.sagan.description", "other words", NONE, NONE),
    ("suites.quick.title", "other words", NONE, NONE),
    ("suites.quick.execution.log_every", 3, NONE, NONE),
    ("suites.quick.execution.device", "cpu", NONE, NONE),
    ("tracking.experiment_prefix", "x-", NONE, NONE),
    ("variants.dcgan.ranked", False, NONE, NONE),
    # What is off: the form of an attention that is nowhere, iterations of no norm.
    ("variants.dcgan.generator.attention", "unpooled", NONE, NONE),
    ("variants.dcgan.generator.attention_bias", True, NONE, NONE),
    ("variants.dcgan.discriminator.power_iterations", 5, NONE, NONE),
    # The budget.
    ("suites.quick.training.steps", 900, EVERY, EVERY),
    ("suites.quick.training.batch_size", 16, EVERY, EVERY),
    ("suites.quick.training.ema.decay", 0.5, EVERY, EVERY),
    ("suites.quick.training.threads", 2, EVERY, EVERY),
    ("suites.quick.training.snapshots", [300], EVERY, EVERY),
]


@pytest.mark.parametrize(("key_path", "value", "trained", "measured"), CHANGES)
def test_a_change_moves_the_keys_that_depend_on_it_and_no_others(
    params, change, planned, key_path, value, trained, measured
):
    before, after = planned(params), planned(change({key_path: value}))
    for old, new in zip(before.suites["quick"], after.suites["quick"], strict=True):
        assert (old.run != new.run) == (old.variant in trained), old
        assert (old.evaluation != new.evaluation) == (old.variant in measured), old
    assert planned(params) == before


def test_a_condition_that_the_dataset_lacks_is_named_with_its_place(change, planned, paths):
    with pytest.raises(UserError) as caught:
        planned(change({"variants.sagan.condition": "Smiling"}))
    assert str(caught.value).startswith(
        f"{paths.params}: variants.sagan.condition = 'Smiling': dataset 'mnist5k' accepts class"
    )


def test_the_datasets_bytes_move_every_key(params, planned):
    before, after = planned(params), planned(params, digest="e" * 64)
    for kind in ("runs", "references", "evaluations"):
        assert not set(getattr(before, kind)) & set(getattr(after, kind))


@pytest.mark.parametrize(("kind", "moved"), [(fingerprint.RUN, True), (fingerprint.EVALUATION, False)])
def test_code_moves_the_keys_that_depend_on_it(params, planned, monkeypatch, kind, moved):
    before = planned(params)
    real = fingerprint.code_of
    monkeypatch.setattr(
        fingerprint, "code_of", lambda *places, **more: real(*places, **more) if places != kind else "0" * 64
    )
    after = planned(params)
    assert (set(before.runs) != set(after.runs)) == moved
    assert not set(before.evaluations) & set(after.evaluations)


def test_a_placement_as_a_fraction_is_that_placement_in_pixels(params, change, planned):
    fraction = planned(params)
    pixels = planned(change({"variants.sagan.generator.attention_at": [14]}))
    assert keys(fraction, "sagan") == keys(pixels, "sagan")
    run = next(run for run in fraction.runs.values() if run.variant == "sagan")
    assert run.config["variant"]["generator"]["attention_at"] == [14]


def test_two_suites_share_a_run(params, change, planned):
    again = {**params.suites["quick"].model_dump(), "variants": ["sagan"], "seeds": [1, 5]}
    plan = planned(change({"suites.again": again}), suites=["quick", "again"])
    assert len(plan.runs) == len(plan.suites["quick"]) + 1


def test_snapshots_always_hold_the_first_and_the_last():
    def steps(snapshots):
        ema = {"decay": 0.9}
        return Training(steps=100, batch_size=1, ema=ema, snapshots=snapshots).snapshot_steps()

    assert steps(3) == [0, 25, 50, 100]
    assert steps(20) == [0, 1, 2, 3, 6, 12, 25, 50, 100]
    assert steps([10, 30]) == [0, 10, 30, 100]


def test_further_feature_spaces_are_evaluations_of_their_own_and_move_nothing(params, change, planned, inception):
    before, after = planned(params), planned(change({"suites.quick.evaluation.also": ["inception"]}))
    assert before.runs == after.runs and before.references.items() <= after.references.items()
    assert before.evaluations.items() <= after.evaluations.items()
    assert len(after.references) == 2 and len(after.evaluations) == 2 * len(before.evaluations)
    for old, new in zip(before.suites["quick"], after.suites["quick"], strict=True):
        assert (old.run, old.evaluation, old.also) == (new.run, new.evaluation, {})
        further = after.evaluations[new.also["inception"]]
        assert further.run == new.run and further.settings["extractor"] == "inception"
        assert after.references[further.reference].extractor == "inception"


def test_what_is_measured_in_a_space_is_found_there_whichever_space_comes_first(change, planned, inception):
    """A list that is turned round, or a space that becomes the first one, asks for the same evaluations."""
    curve = {"suites.quick.evaluation.curve_samples": 2048}
    first = planned(change(curve | {"suites.quick.evaluation.also": ["inception"]}))
    second = curve | {"suites.quick.evaluation.extractor": "inception"}
    turned = planned(change(second | {"suites.quick.evaluation.also": ["digits"]}))
    assert set(first.evaluations) == set(turned.evaluations) and set(first.references) == set(turned.references)
    alone = planned(change(second))
    assert set(alone.evaluations) < set(first.evaluations)


def test_a_plan_survives_its_file(change, planned, inception, tmp_path):
    plan = planned(change({"suites.quick.evaluation.also": ["inception"]}))
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


def test_weights_that_are_not_there_are_one_line(change, planned):
    with pytest.raises(UserError, match=r"inception-2015-12-05\.pth.*python -m sagan weights") as raised:
        planned(change({"suites.quick.evaluation.also": ["inception"]}))
    assert "\n" not in str(raised.value)


def test_one_reference_is_that_of_the_plan_and_wants_no_other_weights(params, change, planned, paths):
    [reference] = planned(params).references.values()
    assert reference_of(change({"suites.quick.evaluation.also": ["inception"]}), "quick", "digits", paths) == reference


def test_nothing_asked_for_is_said(params, change, planned):
    with pytest.raises(UserError, match=r"params\.yaml: repro = \[\]: names no suite to build; there are: quick"):
        planned(change({"repro": []}))


def test_one_recipe_is_one_row_with_its_other_names(change, planned):
    listed = {"suites.quick.variants": ["sagan-ttur-1", "sagan-grid", "dcgan"]}
    plan = planned(change(listed))
    cells = {cell.variant: cell for cell in plan.suites["quick"]}
    assert len(plan.runs) == len(plan.suites["quick"]) == (8 + 1) * 3
    assert cells["sagan-grid-on-both-ttur-4"].aliases == ["sagan"] and not cells["dcgan"].levels
    assert cells["sagan-grid-on-both-ttur-1"].aliases == ["sagan-ttur-1"]
    assert cells["sagan-grid-on-both-ttur-1"].levels == {"attention": "on", "spectral_norm": "both", "ratio": "ttur-1"}


@pytest.mark.parametrize("place", [".", "state/shared"])
def test_a_run_made_under_another_name_is_used_where_it_lies(params, planned, paths, place):
    first = next(cell for cell in planned(params).suites["quick"] if cell.variant == "dcgan")
    elsewhere = first.run.replace("dcgan-s0", "my.old-name-s0")
    Paths(paths.root / place).run(elsewhere).mkdir(parents=True)
    cell = next(cell for cell in planned(params).suites["quick"] if cell.variant == "dcgan")
    assert (cell.variant, cell.run) == ("dcgan", elsewhere) and cell.evaluation.startswith(f"{elsewhere}.")
    assert cell.evaluation.rpartition(".")[2] == first.evaluation.rpartition(".")[2]


def test_a_gradient_penalty_with_spectral_norm_is_allowed_with_a_warning(change, planned, capsys):
    """The common PyTorch port's default is just that."""
    params = change({"variants.sagan.regularisers.gradient_penalty": 10.0})
    warn_once.cache_clear()
    planned(params)
    assert "sagan: warning: variants.sagan: the gradient penalty pulls" in capsys.readouterr().err
    told = describe_variant(params, "sagan", None)
    assert any(line.startswith("Warning: the gradient penalty pulls") for line in told)


def test_describe_says_what_asks_for_images_that_a_variant_cannot_make(change):
    params = change({"variants.sagan-pytorch-port.generator.attention_at": [6]})
    asked = {(None, None): "without --resolution or --suite", ("quick", None): "in suite 'quick'"}
    for (suite, resolution), told in {**asked, ("quick", 32): "with --resolution 32"}.items():
        with pytest.raises(UserError, match=f": {told} the images are"):
            describe_variant(params, "sagan-pytorch-port", suite, resolution)
