"""params.yaml: inheritance, grids, and one line for each mistake."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sagan.errors import UserError
from sagan.loading import load_params, merge, suite_variant
from sagan.schema import params_schema

ROOT = Path(__file__).parent.parent


@pytest.fixture
def tree():
    return YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())


@pytest.fixture
def load(tmp_path):
    """Writes a tree as params.yaml and loads it."""

    def loaded(tree):
        path = tmp_path / "params.yaml"
        yaml = YAML(typ="safe", pure=True)
        yaml.sort_base_mapping_type_on_output = False
        with path.open("w") as file:
            yaml.dump(tree, file)
        return load_params(path)

    return loaded


def put(tree, key_path, value):
    *parents, last = key_path.split(".")
    for key in parents:
        tree = tree[key]
    tree[last] = value


def test_the_committed_file_is_good_and_has_the_promised_suites():
    params = load_params(ROOT / "params.yaml")
    assert params.repro == ["quick"]
    assert len(params.suites["quick"].variants) >= 6 and len(params.suites["quick"].seed_list()) == 2
    names = {"dcgan", "sngan", "sagan", "sagan-no-attention", "sagan-sn-d-only", "sagan-ttur-1", "sagan-ttur-2"}
    assert names <= set(params.suites["mnist"].variants) and len(params.suites["mnist"].seed_list()) == 5
    assert names <= set(params.suites["celeba64"].variants) and len(params.suites["celeba64"].seed_list()) == 3


def test_one_factor_variants_differ_from_sagan_in_that_factor_alone():
    variants = load_params(ROOT / "params.yaml").variants

    def difference(name):
        def flat(tree, prefix=""):
            for key, value in tree.items():
                if isinstance(value, dict):
                    yield from flat(value, f"{prefix}{key}.")
                else:
                    yield f"{prefix}{key}", value

        other, base = dict(flat(variants[name].model_dump())), dict(flat(variants["sagan"].model_dump()))
        return {key for key in base if key != "description" and base[key] != other[key]}

    assert difference("sagan-no-attention") == {"generator.attention_at", "discriminator.attention_at"}
    assert difference("sagan-sn-d-only") == {"generator.spectral_norm"}
    assert difference("sagan-ttur-1") == difference("sagan-ttur-2") == {"optimizer.lr_ratio"}


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


@pytest.mark.parametrize(
    ("key_path", "value", "expected"),
    [
        ("suites.quick.trainig", 1, ["suites.quick.trainig", "unknown key", "did you mean 'training'"]),
        ("variants.sagan.generator.widht", 8, ["variants.sagan.generator.widht", "did you mean 'width'"]),
        ("sweets", {}, ["sweets", "unknown key", "suites"]),
        ("suites.quick.training.steps", "many", ["suites.quick.training.steps = 'many'", "integer"]),
        ("suites.quick.training.steps", 0, ["suites.quick.training.steps = 0", "greater than 0"]),
        ("variants.sagan.optimizer.lr_g", -0.1, ["variants.sagan.optimizer.lr_g = -0.1", "greater than 0"]),
        ("variants.sagan.objective", "hing", ["variants.sagan.objective = 'hing'", "hinge"]),
        ("variants.sagan-ttur-1.like", "sagn", ["variants.sagan-ttur-1.like = 'sagn'", "did you mean 'sagan'"]),
        ("suites.quick.variants", ["sagan", "sgan"], ["suites.quick.variants[1] = 'sgan'", "did you mean"]),
        ("suites.quick.baseline", "sagan-ttur-2", ["suites.quick.baseline", "variant of this suite"]),
        ("suites.quick.dataset", "cifar", ["suites.quick.dataset = 'cifar'", "mnist5k"]),
        ("repro", ["quik"], ["repro[0] = 'quik'", "did you mean 'quick'"]),
        (
            "variants.sagan.generator.attention_at",
            [13],
            ["variants.sagan.generator.attention_at = 13", "feature maps of 7, 14"],
        ),
        ("variants.sagan.generator.attention_at", ["1/3"], ["attention_at[0] = '1/3'"]),
        ("suites.quick.overrides", {"generator": {"wide": 1}}, ["suites.quick.overrides.generator.wide", "width"]),
        ("datasets.mnist.resolution", 64, ["datasets.mnist.resolution = 64", "28"]),
        ("datasets.mnist.kind", "mnits", ["datasets.mnist", "mnits", "mnist5k"]),
        ("suites.quick.training.snapshots", [900], ["suites.quick", "training.steps = 800"]),
        ("variants.sagan.backbone", None, ["variants.sagan.backbone = None"]),
    ],
)
def test_a_mistake_gets_one_line_with_place_value_and_what_is_accepted(tree, load, key_path, value, expected):
    put(tree, key_path, value)
    with pytest.raises(UserError) as caught:
        load(tree)
    message = str(caught.value)
    assert "\n" not in message and "params.yaml" in message
    for part in expected:
        assert part in message


def test_a_missing_key_is_named(tree, load):
    del tree["suites"]["quick"]["training"]["steps"]
    with pytest.raises(UserError, match=r"suites\.quick\.training\.steps: is missing"):
        load(tree)


def test_circles_are_refused(tree, load):
    tree["variants"]["sagan"]["like"] = "sagan-ttur-1"
    with pytest.raises(UserError, match="circle"):
        load(tree)


def test_text_that_is_not_yaml_is_named_by_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("repro: [quick\nvariants: {")
    with pytest.raises(UserError, match="line 2"):
        load_params(path)


def test_a_grid_gives_all_combinations_and_reuses_named_variants(tree, load):
    tree["suites"]["quick"]["variants"] = ["sagan", "sagan-grid"]
    params = load(tree)
    cells = params.grids["sagan-grid"]
    assert len(cells) == 8
    assert cells["sagan"] == {"attention": "on", "spectral_norm": "both", "ratio": "ttur-4"}
    assert {"sagan", "sagan-no-attention", "sagan-sn-d-only", "sagan-ttur-1"} < set(cells)
    assert set(params.suites["quick"].variants) == set(cells)
    other = params.variants["sagan-grid-off-d-only-ttur-1"]
    assert (other.generator.attention_at, other.generator.spectral_norm, other.optimizer.lr_ratio) == ([], False, 1.0)


def test_overrides_lie_over_every_variant_of_the_suite_alone(tree, load):
    params = load(tree)
    assert params.variants["sagan"].generator.width == 64
    assert suite_variant(params, "quick", "sagan").generator.width == 16
    assert suite_variant(params, "quick", "sagan").generator.spectral_norm is True


def test_merge_replaces_lists_and_keeps_what_is_not_named():
    assert merge({"a": {"b": [1], "c": 2}}, {"a": {"b": []}}) == {"a": {"b": [], "c": 2}}


@pytest.mark.parametrize("section", ["datasets", "variants", "suites"])
@pytest.mark.parametrize("name", ["../outside", "a/b", "/tmp/outside", ".hidden", "a b", "-rf", ""])
def test_a_name_that_could_leave_its_folder_is_refused(tree, load, section, name):
    tree[section][name] = next(iter(tree[section].values()))
    with pytest.raises(UserError, match="names files") as caught:
        load(tree)
    assert section in str(caught.value) and "\n" not in str(caught.value)


def test_a_level_of_a_grid_is_part_of_a_name_too(tree, load):
    tree["variants"]["sagan-grid"]["grid"]["attention"]["../../outside"] = {"generator": {"attention_at": [7]}}
    with pytest.raises(UserError, match="names files"):
        load(tree)
