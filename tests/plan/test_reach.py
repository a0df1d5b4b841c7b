"""Whatever is changed in params.yaml moves a key, or it is said why it does not."""

import copy
from pathlib import Path

import pytest

from sagan.errors import UserError
from sagan.params import params_schema
from sagan.params.inheritance import leaves
from sagan.params.loading import params_of, read_yaml
from sagan.plan import make_plan
from sagan.plan.reach import changes_without_effect, unreached
from tests import commit
from tests.made_up import put, write_manifest

ROOT = Path(__file__).parents[2]
FILE = read_yaml(ROOT / "params.yaml")
SCHEMA = params_schema()


def changed(*changes):
    tree = copy.deepcopy(FILE)
    for key_path, value in changes:
        put(tree, key_path, value)
    return tree


def told(*changes, suites=("quick",), before=FILE):
    tree = changed(*changes)
    return list(changes_without_effect(before, tree, params_of(tree), list(suites)))


# --- every leaf -----------------------------------------------------------------------------------


def schema_leaves(node, path=()):
    """(key path, schema) of every value that the schema knows below a node."""
    if "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]
    if "properties" in node:
        for name, part in node["properties"].items():
            yield from schema_leaves(part, (*path, name))
    else:
        yield path, node


def others(schema, present):
    """Values other than the present one that the schema allows, one of each kind."""
    for kind in schema.get("anyOf", [schema]):
        if "$ref" in kind:
            continue
        if "enum" in kind:
            found = next(value for value in reversed(kind["enum"]) if value != present)
        elif kind.get("type") == "boolean":
            found = not present
        elif kind.get("type") in ("integer", "number"):
            least = kind.get("minimum", kind.get("exclusiveMinimum", 0))
            most = kind.get("maximum", kind.get("exclusiveMaximum", 1e9))
            tried = [3, 5, 0.25, 0.125] if kind["type"] == "number" else [3, 5, 2]
            found = next(value for value in tried if least < value < most and value != present)
        elif kind.get("type") == "array":
            items = kind.get("items", {})
            found = items["enum"][:1] if "enum" in items else ["1/4"] if "anyOf" in items else [0.125, 0.75]
        else:
            continue
        yield found


LEAVES = {
    "variant": [
        (path, schema)
        for path, schema in schema_leaves(SCHEMA["$defs"]["Variant"])
        if path[0] not in ("description", "like", "grid", "extension", "condition", "ranked")
    ],
    "training": list(schema_leaves(SCHEMA["$defs"]["Training"])),
    "evaluation": list(schema_leaves(SCHEMA["$defs"]["EvaluationSettings"])),
}
assert len(LEAVES["variant"]) > 40 and len(LEAVES["training"]) > 10
PLACES = {
    **{f"variants.{name}": "variant" for name in ("sagan", "sagan-small", "small-grid", "dcgan", "dcgan-small")},
    "variants.sagan-grid.grid.attention.off": "variant",
    "variants.sngan": "variant",
    "suites.quick.training": "training",
    "suites.quick.evaluation": "evaluation",
}


@pytest.fixture
def keys(paths):
    write_manifest(paths)

    def found(tree):
        plan = make_plan(params_of(tree), paths, ["quick"])
        return {*plan.runs, *plan.evaluations}

    return found


@pytest.mark.parametrize("place", PLACES)
def test_every_leaf_moves_a_key_or_it_is_said_why_not(place, keys):
    before, silent = keys(FILE), []
    node = FILE
    for key in place.split("."):
        node = node[key]
    written = dict(leaves(node))
    for path, schema in LEAVES[PLACES[place]]:
        for value in others(schema, written.get(".".join(path), schema.get("default"))):
            tree = changed((".".join([place, *path]), value))
            try:
                moved = keys(tree) != before
            except UserError as refused:
                assert "\n" not in str(refused)
                continue
            lines = list(changes_without_effect(FILE, tree, params_of(tree), ["quick"]))
            if moved == bool(lines):
                silent.append((path, value, lines))
    assert not silent


# --- reasons --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key_path", "value", "reason"),
    [
        ("variants.sagan.optimizer.lr_g", 1e-3, "what runs is said by variants.sagan-small.optimizer.lr_g"),
        ("variants.dcgan.generator.power_iterations", 4, "what it belongs to is off"),
        ("variants.mine", {"like": "sagan", "n_dis": 3}, "none of their variants is it, or is like it"),
        ("suites.mnist.seeds", 2, "it is not under `repro:`"),
        ("datasets.mnist.source", "elsewhere", "no such suite has it"),
    ],
)
def test_a_value_that_reaches_no_run_is_named_with_the_reason(key_path, value, reason):
    [found] = told((key_path, value))
    place, _, why = found.partition(" reaches no run of quick: ")
    whole = ".".join(key_path.split(".")[:2])
    assert place == (f"{key_path} = {value}" if "variants." in key_path and key_path != whole else whole)
    assert why.startswith(reason) and "\n" not in found


def test_a_training_that_every_variant_says_itself_is_named():
    own = [(f"variants.{name}.training.batch_size", 8) for name in ("sagan-small", "dcgan-small")]
    lines = told(*own, ("suites.quick.training.batch_size", 64), before=changed(*own))
    assert lines == [
        "suites.quick.training.batch_size = 64 reaches no run of quick: what runs is said by "
        "variants.sagan-small.training.batch_size and variants.dcgan-small.training.batch_size"
    ]


def test_a_default_of_a_dataset_that_is_said_is_named():
    [line] = told(("datasets.mnist5k.held_out", 1000))
    assert line.startswith("datasets.mnist5k.held_out = 1000 reaches no run of quick: what it belongs to is off there")


def test_a_level_with_a_dot_in_its_name_is_a_place_too():
    level = ["variants", "small-rates-grid", "grid", "rate", "0.001"]
    tree, former = copy.deepcopy(FILE), copy.deepcopy(FILE)
    for of, rate in ((tree, 1.0e-3), (former, 1.1e-3)):
        node = of
        for key in level:
            node = node[key]
        node["optimizer"] = {"lr_g": rate}
    assert list(changes_without_effect(former, tree, params_of(tree), ["quick-rates"])) == []


def test_what_reaches_a_run_is_not_named():
    alias = {"like": "sagan-small", "n_dis": 1}
    listed = [*FILE["suites"]["quick"]["variants"], "twin"]
    assert told(("variants.twin", alias), ("suites.quick.variants", listed)) == []
    assert told(("variants.sagan.init", "normal"), ("suites.quick.seeds", 4), ("variants.sagan.description", "x")) == []
    assert told(("variants.sagan-grid.grid.ratio.ttur-1.optimizer.lr_ratio", 2)) == []


def test_the_committed_file_is_what_a_change_is_told_from(paths):
    text = (ROOT / "params.yaml").read_text()
    paths.params.write_text(text)
    assert list(unreached(params_of(FILE), paths)) == []  # no commit to tell it from
    for before in ("variants:", "suites: [quick]", "datasets: {mnist5k: 3}", text):
        paths.params.write_text(before)
        commit(paths.root)
        paths.params.write_text(text)
        assert list(unreached(params_of(FILE), paths)) == []
    paths.params.write_text(text.replace("lr_g: 1.0e-4, lr_ratio: 4, betas", "lr_g: 1.0e-3, lr_ratio: 4, betas", 1))
    [line] = unreached(params_of(read_yaml(paths.params)), paths)
    assert line.startswith("variants.sagan.optimizer.lr_g = 0.001 reaches no run of quick: ")
