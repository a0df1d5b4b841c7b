"""params.yaml: inheritance, grids, and one line for each mistake."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sagan.errors import UserError
from sagan.params import params_schema
from sagan.params.inheritance import leaves
from sagan.params.loading import load_params
from tests.made_up import put

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree():
    return YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())


def test_the_committed_file_is_good_and_has_the_promised_suites():
    params = load_params(ROOT / "params.yaml")
    assert params.repro == ["quick"]
    assert len(params.suites["quick"].variants) >= 6 and len(params.suites["quick"].seed_list()) == 3
    names = {"dcgan", "sngan", "sagan", "sagan-no-attention", "sagan-sn-d-only", "sagan-ttur-1", "sagan-ttur-2"}
    for name in ("mnist", "celeba64"):
        suite, listed = params.suites[name], params.rows[name].values()
        assert names <= {known for row in listed for known in (row.name, *row.aliases)}
        assert suite.questions and len(suite.seed_list()) >= 4


def test_one_factor_variants_differ_from_sagan_in_that_factor_alone():
    variants = load_params(ROOT / "params.yaml").variants

    def difference(name):
        other, base = (dict(leaves(variants[of].model_dump(exclude={"description"}))) for of in (name, "sagan"))
        return {key for key in base if base[key] != other[key]}

    assert difference("sagan-no-attention") == {"generator.attention_at", "discriminator.attention_at"}
    assert difference("sagan-sn-d-only") == {"generator.spectral_norm"}
    assert difference("sagan-ttur-1") == difference("sagan-ttur-2") == {"optimizer.lr_ratio"}


def test_the_modern_baselines_grid_has_four_cells_that_differ_in_loss_and_penalty_alone():
    params = load_params(ROOT / "params.yaml")
    cells = {name: params.variants[name] for name in params.grids["modern-grid"]}
    assert {name: (v.objective, v.regularisers.r1, v.regularisers.r2) for name, v in cells.items()} == {
        "modern-grid-relativistic-r1-r2": ("relativistic", 2.0, 2.0),
        "modern-grid-relativistic-r1": ("relativistic", 2.0, 0.0),
        "modern-grid-non-saturating-r1-r2": ("non-saturating", 2.0, 2.0),
        "modern-grid-non-saturating-r1": ("non-saturating", 2.0, 0.0),
    }
    first, *others = (v.model_dump(exclude={"objective", "regularisers", "description"}) for v in cells.values())
    assert all(other == first for other in others)
    assert first["discriminator"]["norm"] == "none" and first["optimizer"]["betas"] == [0.0, 0.9]


def test_the_committed_schema_is_that_of_the_types():
    committed = json.loads((ROOT / "workflow/schemas/params.schema.json").read_text())
    assert committed == params_schema(), "write it anew: python -m sagan schema"
    first_line = (ROOT / "params.yaml").read_text().splitlines()[0]
    assert first_line == "# yaml-language-server: $schema=workflow/schemas/params.schema.json"


def test_the_committed_file_fits_its_schema(tree):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(tree, params_schema())
    tree["variants"]["sagan"]["optimizer"]["lr"] = 1e-4
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree, params_schema())


# Of what is accepted the key part, as a pattern.
WRONG_VALUES = [
    ("suites.quick.training.steps", "many", "integer"),
    ("suites.quick.training.steps", 0, "must be greater than 0"),
    ("suites.quick.training.steps", 10**14, r" 100000000\b"),
    ("suites.quick.training.batch_size", 10**8, " 65536"),
    ("suites.quick.training.accumulate", 5, "must divide training.batch_size = 32"),
    ("suites.quick.training.snapshots", [], "list.* 1 "),
    ("suites.quick.training.snapshots", [400, 200, 200], "must not repeat"),
    ("suites.quick.training.snapshots", [100, 720], "step 100 comes before step 180, twice ema.start = 90"),
    ("suites.quick.training.ema", 3, "must be a mapping"),
    ("variants.progressive.regularisers.feature_matching", 1.0, "no features before its head to match"),
    ("variants.sagan.discriminator.spectral_norm_over_input", True, "of transposed convolutions, which"),
    ("variants.sagan-resnet.generator.spectral_norm_over_input", True, "of transposed convolutions, which"),
    ("variants.sagan-residual.generator.attention_bias", True, "has no biases to switch on"),
    ("suites.quick.seeds", 0, "must be greater than 0.* list"),
    ("suites.quick.seeds", 1_000_000, r" 1000\b.* list"),
    ("suites.quick.baseline", "sagan-ttur-2", "no such variant of this suite"),
    ("suites.quick.dataset", "cifar", "mnist5k"),
    ("suites.quick.evaluation", [], "must be a mapping"),
    ("suites.quick.evaluation.samples", 10**11, r" 10000000\b"),
    ("suites.quick.evaluation.samples", 100, "must be at least 128, for FID with the features of 'digits'"),
    ("suites.quick.evaluation.also", ["digits"], "must not repeat a feature space"),
    ("suites.quick.evaluation.also", ["inception", "inception"], "must not repeat a feature space"),
    (
        "suites.celeba64.evaluation.curve_samples",
        2000,
        "must be at least 2048, for FID with the features of 'inception'",
    ),
    ("suites.quick.execution.device", "tpu", "must be 'auto', 'cpu' or"),
    ("suites.quick", 3, "must be a mapping"),
    ("datasets.mnist.resolution", 64, "28"),
    ("datasets.mnist.kind", "mnits", "mnist5k"),
    ("datasets.celeba64.crop", 40, "must be at least resolution = 64"),
    ("datasets.mnist.kind", None, "must be one of 'mnist5k'"),
    ("repro", ["quick", "quick"], "must not repeat an entry, and has 'quick' 2 times"),
    ("repro", "quick", "must be a.* list"),
    ("variants", None, "must be a mapping"),
    ("variants.sagan", 3, "must be a mapping"),
    ("variants.sagan.backbone", None, "must be"),
    ("variants.sagan.objective", "hing", "hinge"),
    ("variants.sagan.generator.width", 10**9, " 16384"),
    ("variants.sagan.optimizer.lr_g", -0.1, "must be greater than 0"),
    ("variants.sagan.optimizer.lr_ratio", float("inf"), "must be"),
    ("variants.sagan.optimizer.lr_ratio", float("nan"), "must be"),
    ("variants.sagan.optimizer.betas", [0.5], "list.* 2 "),
    ("variants.sagan-ttur-1.like", "sagn", "did you mean 'sagan'"),
    ("variants.sagan-ttur-1.like", ["sagan"], "must be text"),
    ("variants.sagan-grid.grid", [], "must be .*mapping"),
    ("variants.small-grid.grid", "sagan-gird", "did you mean 'sagan-grid'?"),
]


@pytest.mark.parametrize(("key_path", "value", "accepted"), WRONG_VALUES)
def test_a_wrong_value_gets_one_line_with_place_value_and_what_is_accepted(tree, refused, key_path, value, accepted):
    put(tree, key_path, value)
    told = refused(tree)
    assert f"{key_path} = {value!r}: " in told and re.search(accepted, told)
    assert len(told) < 300


LONG = {"extractor": "classifier", "also": ["inception"], "split": "train", "samples": 2000, "curve_samples": 200}
TORCHVISION = {"kind": "torchvision", "name": "KMNIST", "source": "x"}
# What is said of these stands at another place than the one that was changed, or has no value to show.
MISTAKES = [
    ("sweets", {}, "sweets: unknown key", "suites"),
    ("suites.quick.trainig", 1, "suites.quick.trainig: unknown key", "did you mean 'training'"),
    ("suites.quick.variants", ["sagan", "sgan"], "suites.quick.variants[1] = 'sgan'", "did you mean"),
    ("suites.quick.seeds", [0, -1], "suites.quick.seeds[1] = -1: must be", " 0"),
    ("suites.quick.seeds", list(range(1001)), "suites.quick.seeds = [0, 1,", "list", " 1000 "),
    ("suites.quick.training.snapshots", [900], "suites.quick", "training.steps = 720"),
    ("suites.quick.evaluation", LONG, "suites.quick.evaluation.samples = 2000: must be at least 2048"),
    ("suites.quick.evaluation.curve", {"random": 2}, "'random' is neither `extractor` nor among `also`"),
    ("suites.quick.evaluation.also", ["timm:../x"], "suites.quick.evaluation.also"),
    ("suites.quick.evaluation.extractor", "stacked-digits", "does not fit dataset 'mnist5k'; use 'digits' or"),
    ("suites.stacked.evaluation.extractor", "digits", "does not fit dataset 'stacked-mnist'; use 'stacked-digits' or"),
    ("suites.stacked.evaluation.extractor", "classifier", "'classifier' does not fit dataset 'stacked-mnist'"),
    ("suites", {1: {}}, "a name must be text; put 1 in quotes"),
    ("repro", ["quik"], "repro[0] = 'quik'", "did you mean 'quick'"),
    ("variants.sagan-grid.grid.precision", {"a": {}, "b": {"n_dis": 2}}, "grid.precision: is a column of every"),
    ("datasets", {1: 2}, "a name must be text; put 1 in quotes"),
    ("datasets.mnist", {}, "datasets.mnist.kind: is missing"),
    ("datasets.mnist", TORCHVISION | {"name": "EMNIST"}, "datasets.mnist = a mapping of kind", "is what EMNIST needs"),
    (
        "datasets.mnist",
        TORCHVISION | {"split": "letters"},
        "datasets.mnist.split = 'letters'",
        "no other dataset takes it",
    ),
    ("variants", {"a": {"like": "nope"}, "b": {}}, "variants.a.like = 'nope': no such variant (accepted: a, b)"),
    ("variants", {"a": {}, 1: {}}, "variants[1]: a name must be text; put 1 in quotes"),
    ("variants.sagan.generator.widht", 8, "variants.sagan.generator.widht: unknown key", "did you mean 'width'"),
    ("variants.sagan.generator.norm", "none", "variants.sagan-conditional.condition = 'class': a condition works"),
    ("variants.sagan.generator.attention_at", [13], "generator.attention_at = 13", "feature maps of 7, 14"),
    ("variants.sagan.generator.attention_at", ["1/3"], "attention_at[0] = '1/3'"),
    ("variants.sagan.optimizer.betas", [0.5, 1], "variants.sagan.optimizer.betas[1] = 1: must be less than 1"),
    ("variants.sagan.training", {"step": 1}, "variants.sagan.training.step: unknown key", "did you mean 'steps'"),
    ("variants.sagan.training", {"steps": 0}, "variants.sagan.training.steps = 0: must be greater than 0"),
    ("variants.dcgan-small.training", {"accumulate": 3}, "variants.dcgan-small.training.accumulate = 3: must divide"),
    ("variants.sagan-grid.grid", {"a": {1: {}}}, "variants.sagan-grid.grid.a[1]: a name must be text; put 1 in"),
    ("variants.sagan-grid.grid", {"a": {"b": 1}}, "variants.sagan-grid.grid.a.b = 1: must be a mapping"),
    ("variants.sagan-grid.grid", {}, "variants.sagan-grid.grid = an empty mapping: must be", " 1 "),
    ("variants.sagan-grid.grid", "small-grid", "circle (sagan-grid -> small-grid -> sagan-grid)"),
    ("variants.small-grid.grid", {"x": "sagan-grid"}, "variants.small-grid.grid.x = 'sagan-grid': no such factor"),
    ("variants.sagan.like", "sagan-ttur-1", "circle"),
]


@pytest.mark.parametrize(("key_path", "value", "parts"), [(place, value, parts) for place, value, *parts in MISTAKES])
def test_a_mistake_is_said_where_it_stands_with_the_way_out(tree, refused, key_path, value, parts):
    put(tree, key_path, value)
    told = refused(tree)
    assert all(part in told for part in parts), told
    assert len(told) < 300


def test_missing_keys_are_named_at_once(tree, refused):
    del tree["suites"]["quick"]["training"]["steps"]
    assert refused(tree) == "suites.quick.training.steps: is missing"
    del tree["suites"]["quick"]["seeds"], tree["suites"]["quick"]["evaluation"]
    assert refused(tree) == "suites.quick: seeds, training.steps and evaluation are missing"


@pytest.mark.parametrize("field", ["training", "generator", "optimizer"])
def test_two_mistakes_beside_each_other_are_not_mixed(tree, refused, field):
    """The second must not be told as another thing that the first could be."""
    first, second = {"training": ("steps", "batch_size"), "generator": ("width", "z_dim")}.get(field, ("lr_g", "betas"))
    place = "suites.quick" if field == "training" else "variants.sagan"
    put(tree, f"{place}.{field}.{first}", "x")
    put(tree, f"{place}.{field}.{second}", {})
    told = refused(tree)
    assert " or " not in told and f"{place}.{field}.{first} = 'x': must be a" in told


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"repro: [quick]\n# caf\xe9\n", "line 2: not UTF-8"),
        (b"\xff\xfe\x00\x01", "line 1: not UTF-8"),
        (b"repro: [quick\nvariants: {", "line 2"),
        (b"repro: \x00", "not YAML"),
        (b"a: 2026-13-45", "not YAML"),
        (b"{[a]: 1, {}: 2}", "params.yaml"),
        (b"a: *b", "not YAML"),
        (b"a: 1\na: 2", "not YAML"),
        (b"a: !!python/object:os.system x", "not YAML"),
        (b"", "must be a mapping"),
        (b"- a", "must be a mapping"),
        (b"1: x", "1: unknown key (accepted: repro"),
        (b"repro: []", "variants: is missing"),
    ],
)
def test_a_file_of_another_kind_is_told_in_one_line(tmp_path, content, expected):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_params(path)
    assert str(path) in str(caught.value) and expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("section", ["datasets", "variants", "suites"])
@pytest.mark.parametrize("name", ["../outside", "a/b", "/tmp/outside", ".hidden", "a b", "-rf", "", 151 * "x"])
def test_a_name_that_could_leave_its_folder_is_refused(tree, refused, section, name):
    tree[section][name] = next(iter(tree[section].values()))
    told = refused(tree)
    assert "names files" in told and "at most 150" in told and section in told


def test_a_level_of_a_grid_is_part_of_a_name_too(tree, refused):
    tree["variants"]["sagan-grid"]["grid"]["attention"]["../../outside"] = {"generator": {"attention_at": [7]}}
    assert "names files" in refused(tree)


def test_a_short_trial_changes_the_budget_alone(tree, load):
    """Fewer steps than the average's start or than snapshots, fewer images than on the curve: still a run."""
    put(tree, "suites.quick.training.steps", 3)
    put(tree, "suites.quick.evaluation.samples", 128)
    suite = load(tree).suites["quick"]
    assert suite.training.ema.start > 3 and suite.evaluation.curve_samples > 128
    assert suite.training.snapshot_steps() == [0, 1, 2, 3]
