"""Keys say what a result depends on, and nothing else."""

import dataclasses
from pathlib import Path

import pytest

from sagan.code import fingerprint
from sagan.errors import UserError
from sagan.generators.describing import describe_variant
from sagan.params import Params
from sagan.params.loading import load_params
from sagan.params.suites import Training
from sagan.plan import Plan, make_plan
from sagan.store.records import write_json

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params():
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def planned(paths):
    """Plans a changed params over a dataset of a given digest."""

    def plan(params: Params, digest="d" * 64, suites=None, labels=None) -> Plan:
        manifest = {"digest": digest, "channels": 1, "resolution": 28, "dataset": "mnist5k", "labels": labels}
        write_json(paths.prepared("mnist5k", 28) / "manifest.json", manifest)
        return make_plan(params, paths, suites)

    return plan


def changed(params: Params, key_path: str, value: object) -> Params:
    """A copy of validated parameters with one value replaced."""
    tree = params.model_dump() | {"grids": {}}
    *parents, last = key_path.split(".")
    node = tree
    for key in parents:
        node = node[key]
    node[last] = value
    return Params.model_validate(tree)


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


def test_one_variants_learning_rate_moves_that_variants_runs_alone(params, planned):
    before = planned(params)
    after = planned(changed(params, "variants.sagan-ttur-1.optimizer.lr_ratio", 1.5))
    assert keys(before) ^ keys(after) == keys(before, "sagan-ttur-1") ^ keys(after, "sagan-ttur-1")
    assert not keys(before, "sagan-ttur-1") & keys(after, "sagan-ttur-1")
    assert keys(planned(params)) == keys(before)


@pytest.mark.parametrize(
    ("key_path", "value"),
    [
        ("suites.quick.evaluation.samples", 2000),
        ("suites.quick.evaluation.split", "test"),
        ("suites.quick.evaluation.seed", 7),
    ],
)
def test_an_evaluation_setting_retrains_nothing_and_measures_anew(params, planned, key_path, value):
    before, after = planned(params), planned(changed(params, key_path, value))
    assert before.runs == after.runs
    assert not set(before.evaluations) & set(after.evaluations)


@pytest.mark.parametrize(
    ("key_path", "place"),
    [
        ("variants.sagan.condition", "variants.sagan.condition"),
        ("suites.quick.overrides.condition", "suites.quick.overrides.condition"),
    ],
)
def test_a_condition_that_the_dataset_lacks_is_named_with_its_place(params, planned, paths, key_path, place):
    labels = {"kind": "classes", "names": ["0", "1"]}
    with pytest.raises(UserError) as caught:
        planned(changed(params, key_path, "Smiling"), labels=labels)
    assert str(caught.value).startswith(f"{paths.params}: {place} = 'Smiling': dataset 'mnist5k' accepts class")


@pytest.mark.parametrize(
    ("key_path", "value"),
    [
        ("variants.sagan.description", "other words"),
        ("suites.quick.title", "other words"),
        ("suites.quick.execution.log_every", 3),
        ("suites.quick.execution.device", "cpu"),
        ("tracking.experiment_prefix", "x-"),
    ],
)
def test_words_devices_and_logging_move_no_key(params, planned, key_path, value):
    before, after = planned(params), planned(changed(params, key_path, value))
    assert set(before.runs) == set(after.runs) and set(before.evaluations) == set(after.evaluations)


@pytest.mark.parametrize(
    ("key_path", "value"),
    [
        ("suites.quick.training.steps", 900),
        ("suites.quick.training.batch_size", 16),
        ("suites.quick.training.ema.decay", 0.5),
        ("suites.quick.training.threads", 2),
        ("suites.quick.training.snapshots", [300]),
    ],
)
def test_the_budget_moves_every_run(params, planned, key_path, value):
    assert not keys(planned(params)) & keys(planned(changed(params, key_path, value)))


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


def test_a_placement_as_a_fraction_is_that_placement_in_pixels(params, planned):
    fraction = planned(params)
    pixels = planned(changed(params, "variants.sagan.generator.attention_at", [14]))
    assert keys(fraction, "sagan") == keys(pixels, "sagan")
    run = next(run for run in fraction.runs.values() if run.variant == "sagan")
    assert run.config["variant"]["generator"]["attention_at"] == [14]


def test_two_suites_share_a_run(params, planned):
    tree = params.model_dump() | {"grids": {}}
    tree["suites"]["again"] = tree["suites"]["quick"] | {"variants": ["sagan"], "seeds": [1, 5]}
    plan = planned(Params.model_validate(tree), suites=["quick", "again"])
    assert len(plan.runs) == len(plan.suites["quick"]) + 1


def test_a_plan_survives_its_file(params, planned, tmp_path):
    plan = planned(params)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan
    assert dataclasses.asdict(Plan.load(tmp_path / "plan.json")) == dataclasses.asdict(plan)


def test_a_dataset_that_is_not_prepared_is_named_with_the_way_out(params, paths):
    with pytest.raises(UserError, match=r"mnist5k-28.manifest\.json.*python -m sagan data"):
        make_plan(params, paths)


def test_snapshots_always_hold_the_first_and_the_last():
    def steps(snapshots):
        ema = {"decay": 0.9}
        return Training(steps=100, batch_size=1, ema=ema, snapshots=snapshots).snapshot_steps()

    assert steps(3) == [0, 25, 50, 100]
    assert steps(20) == [0, 1, 2, 3, 6, 12, 25, 50, 100]
    assert steps([10, 30]) == [0, 10, 30, 100]


@pytest.fixture
def inception(paths):
    """Bytes where Inception's weights lie: to plan, their digest is enough."""
    file = paths.weights_file("inception", paths.root)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    return file


def test_further_feature_spaces_are_evaluations_of_their_own_and_move_nothing(params, planned, inception):
    before, after = planned(params), planned(changed(params, "suites.quick.evaluation.also", ["inception"]))
    assert before.runs == after.runs and before.references.items() <= after.references.items()
    assert before.evaluations.items() <= after.evaluations.items()
    assert len(after.references) == 2 and len(after.evaluations) == 2 * len(before.evaluations)
    for old, new in zip(before.suites["quick"], after.suites["quick"], strict=True):
        assert (old.run, old.evaluation, old.also) == (new.run, new.evaluation, {})
        further = after.evaluations[new.also["inception"]]
        assert further.run == new.run and further.settings["extractor"] == "inception"
        assert after.references[further.reference].extractor == "inception"


def test_what_is_measured_in_a_space_is_found_there_whichever_space_comes_first(params, planned, inception):
    """A list that is turned round, or a space that becomes the first one, asks for the same evaluations."""
    params = changed(params, "suites.quick.evaluation.curve_samples", 2048)
    first = planned(changed(params, "suites.quick.evaluation.also", ["inception"]))
    second = changed(changed(params, "suites.quick.evaluation.extractor", "inception"), "suites.quick.title", "x")
    turned = planned(changed(second, "suites.quick.evaluation.also", ["digits"]))
    assert set(first.evaluations) == set(turned.evaluations) and set(first.references) == set(turned.references)
    alone = planned(second)
    assert set(alone.evaluations) < set(first.evaluations)


def test_a_plan_with_further_spaces_survives_its_file(params, planned, inception, tmp_path):
    plan = planned(changed(params, "suites.quick.evaluation.also", ["inception"]))
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


def test_weights_that_are_not_there_are_one_line(params, planned):
    with pytest.raises(UserError, match=r"inception-2015-12-05\.pth.*python -m sagan weights") as raised:
        planned(changed(params, "suites.quick.evaluation.also", ["inception"]))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("also", [["digits"], ["inception", "inception"]])
def test_a_feature_space_is_named_once(params, also):
    with pytest.raises(ValueError, match="must not repeat a feature space"):
        changed(params, "suites.quick.evaluation.also", also)


def test_nothing_asked_for_is_said(params, planned):
    with pytest.raises(UserError, match=r"params\.yaml: repro = \[\]: names no suite to build; there are: quick, "):
        planned(changed(params, "repro", []))


def test_one_recipe_is_one_run_under_however_many_names(params, planned):
    """After the suite's overrides, `sngan` is a cell of the grid: one row, that shows its other name."""
    tree = params.model_dump() | {"grids": {}}
    tree["variants"]["twin"] = tree["variants"]["sagan"] | {"description": "the same by another name"}
    tree["suites"]["quick"] |= {"variants": ["twin", "dcgan", "sagan"], "questions": []}
    plan = planned(Params.model_validate(tree))
    rows = {cell.variant: cell for cell in plan.suites["quick"]}
    assert list(rows) == ["dcgan", "sagan"] and rows["sagan"].other_names == ["twin"]
    assert len(plan.runs) == len(plan.suites["quick"]) == 2 * 3


def test_a_run_made_under_another_name_is_used_where_it_lies(params, planned, paths):
    first = next(cell for cell in planned(params).suites["quick"] if cell.variant == "dcgan")
    elsewhere = first.run.replace("dcgan-s0", "my.old-name-s0")
    paths.run(elsewhere).mkdir(parents=True)
    cell = next(cell for cell in planned(params).suites["quick"] if cell.variant == "dcgan")
    assert (cell.variant, cell.run) == ("dcgan", elsewhere) and cell.evaluation.startswith(f"{elsewhere}.")
    assert cell.evaluation.rpartition(".")[2] == first.evaluation.rpartition(".")[2]


def test_a_switch_that_is_off_is_not_in_the_key(params, planned):
    """Also where what belongs to it differs: the form of an attention that is nowhere, iterations of no norm."""
    before = planned(params)
    for key_path, value in [
        ("variants.dcgan.generator.attention", "unpooled"),
        ("variants.dcgan.generator.attention_bias", True),
        ("variants.dcgan.discriminator.power_iterations", 5),
    ]:
        assert keys(planned(changed(params, key_path, value))) == keys(before)
    on = planned(changed(params, "variants.sagan.generator.attention_bias", True))
    assert keys(on) ^ keys(before) == keys(on, "sagan") ^ keys(before, "sagan")


def test_whether_a_variant_is_ranked_moves_no_key(params, planned):
    assert keys(planned(changed(params, "variants.dcgan.ranked", False))) == keys(planned(params))


def test_a_gradient_penalty_with_spectral_norm_is_allowed_with_a_warning(params, planned):
    """The common PyTorch port's default is just that."""
    params = changed(params, "variants.sagan.regularisers.gradient_penalty", 10.0)
    with pytest.warns(UserWarning, match="^variants.sagan: the gradient penalty pulls"):
        planned(params)
    told = describe_variant(params, "sagan", None)
    assert any(line.startswith("Warning: the gradient penalty pulls") for line in told)
