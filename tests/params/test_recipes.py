"""What a variant says is what runs: rows of suites, their names, and recipes as tables."""

import pytest
from ruamel.yaml import YAML

from sagan.errors import UserError
from sagan.params.inheritance import leaves
from sagan.params.run import suite_training
from tests.made_up import put

FILE = """
repro: [s]
datasets: {digits: {kind: mnist5k, resolution: 28}}
variants:
  v:
    description: Adam at a tenth of a thousandth
    generator: {width: 8, attention_at: [1/2]}
    discriminator: {width: 8, spectral_norm: true}
    objective: hinge
    optimizer: {lr_g: 1.0e-4, betas: [0.0, 0.9]}
  w: {like: v, objective: non-saturating}
  g:
    description: both
    like: v
    grid:
      attention: {on: {}, off: {generator: {attention_at: []}}}
      rate: {slow: {}, fast: {optimizer: {lr_g: 2.0e-4}}, faster: {optimizer: {lr_g: 4.0e-4}}}
suites:
  s:
    dataset: digits
    variants: [g, w]
    baseline: v
    seeds: 1
    training: {steps: 10, batch_size: 4, ema: {decay: 0.9, start: 3}, snapshots: 1}
    evaluation: {extractor: classifier, split: train, samples: 128, curve_samples: 128}
"""


@pytest.fixture
def load(load):
    """Loads FILE after `change` was called with its tree."""

    def loaded(change=lambda tree: None):
        tree = YAML(typ="safe", pure=True).load(FILE)
        change(tree)
        return load(tree)

    return loaded


def variant(name, **said):
    return lambda tree: tree["variants"].update({name: said})


def listed(*names, baseline=None, **variants):
    def change(tree):
        tree["variants"].update(variants)
        tree["suites"]["s"].update(variants=list(names), baseline=baseline or names[0])

    return change


# --- names ----------------------------------------------------------------------------------------


def test_a_combination_is_named_by_its_levels_whatever_else_is_named(load):
    names = [f"g-{attention}-{rate}" for attention in ("on", "off") for rate in ("slow", "fast", "faster")]
    for change in (
        lambda tree: None,
        variant("twin", like="w"),
        variant("quick-one", like="v", optimizer={"lr_g": 4e-4}),
    ):
        params = load(change)
        assert list(params.rows["s"]) == [*names, "w"] and set(params.suites["s"].variants) == {*names, "v", "w"}
        assert [row.levels for row in params.rows["s"].values()][:2] == [
            {"attention": "on", "rate": "slow"},
            {"attention": "on", "rate": "fast"},
        ]
    assert load(listed("g-on-fast", "w")).rows["s"]["g-on-fast"].levels == {"attention": "on", "rate": "fast"}


def test_a_variant_that_equals_a_combination_is_an_alias_beside_it(load):
    params = load()
    assert params.suites["s"].baseline == "g-on-slow"
    assert {name: row.aliases for name, row in params.rows["s"].items() if row.aliases} == {"g-on-slow": ["v"]}
    assert params.rows["s"] == load(listed("v", "g", "w", baseline="v")).rows["s"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (listed("v", "twin", twin={"like": "v"}), ["'v' and 'twin' are one recipe;", "list one alone"]),
        (
            listed("v", "twin", twin={"like": "v", "generator": {"power_iterations": 5}}),
            ["'v' and 'twin' are one recipe, since generator.power_iterations counts for nothing in it;"],
        ),
        (
            listed("v", "twin", twin={"like": "v", "training": {"snapshots": [10]}}),
            ["'v' and 'twin' are one recipe"],
        ),
        (
            listed(
                "h",
                baseline="v",
                h={"like": "v", "grid": {"norm": {"a": {}, "b": {"generator": {"attention_at": [14]}}}}},
            ),
            ["'h-a' and 'h-b' are one recipe, since generator.attention_at counts for nothing in it;"],
        ),
        (
            listed("g", "h", baseline="v", h={"like": "v", "grid": "g"}),
            ["'g-on-slow' and 'h-on-slow' are one recipe; let one of them say something else"],
        ),
    ],
)
def test_two_that_are_one_recipe_are_refused_with_both_names(load, change, expected):
    with pytest.raises(UserError) as caught:
        load(change)
    assert str(caught.value).partition(": ")[2].startswith("suites.s.variants: ") and "\n" not in str(caught.value)
    for part in expected:
        assert part in str(caught.value)


def test_two_names_for_one_combination_are_refused(load):
    grid = {"a": {"x-y": {}, "x": {"n_dis": 2}}, "b": {"z": {}, "y-z": {"n_dis": 3}}}
    with pytest.raises(UserError, match="two variants would be named 'h-x-y-z'"):
        load(variant("h", like="v", grid=grid))


# --- grids ----------------------------------------------------------------------------------------


def test_a_grid_or_one_of_its_factors_is_written_once(load):
    def change(tree):
        tree["variants"]["wide"] = {"like": "v", "generator": {"width": 16}}
        tree["variants"]["same"] = {"like": "wide", "grid": "g"}
        tree["variants"]["part"] = {"like": "wide", "grid": {"rate": "g", "d": {"one": {}, "two": {"n_dis": 2}}}}
        tree["variants"]["again"] = {"like": "wide", "grid": {"rate": "part"}}

    params = load(change)
    assert [*params.grids["same"].values()] == [*params.grids["g"].values()]
    assert params.grids["part"]["part-fast-two"] == {"rate": "fast", "d": "two"}
    assert params.variants["part-fast-two"].optimizer.lr_g == params.variants["again-fast"].optimizer.lr_g == 2e-4
    assert params.variants["part-fast-two"].generator.width == 16


def test_questions_are_of_one_grid_that_has_two_levels_of_each(load):
    def asked(levels):
        h, k = ({"like": "v", "grid": {"n": of, "rate": "g"}} for of in ({"one": {}}, levels))
        change = listed("h", "k", baseline="h-one-slow", h=h, k={**k, "objective": "minimax"})
        return load(lambda tree: (change(tree), put(tree, "suites.s.questions", ["n", "rate"]))).asked_grid("s")[0]

    assert asked({"one": {}, "two": {"n_dis": 2}}) == "k"
    with pytest.raises(UserError, match=r"suites\.s\.questions: no single grid .* of n, rate"):
        asked({"two": {"n_dis": 2}})


def test_a_description_is_of_the_recipe_that_it_stands_beside(load):
    params = load()
    assert params.variants["v"].description and not params.variants["w"].description
    assert not params.variants["g-on-slow"].description


# --- training -------------------------------------------------------------------------------------


def test_a_variants_training_lies_over_the_suites(load):
    said = {"batch_size": 8, "ema": {"decay": 0.5}, "horizontal_flip": True}
    params = load(listed("v", "w", "x", x={"like": "w", "training": said}, y={"like": "x", "training": {"steps": 5}}))
    suite = params.suites["s"]
    found = {name: suite_training(suite, name, params.variants[name]) for name in ("w", "x", "y")}
    assert found["w"] == suite.training and (found["x"].batch_size, found["x"].steps, found["y"].steps) == (8, 10, 5)
    assert (found["y"].ema.decay, found["y"].ema.start, found["y"].horizontal_flip) == (0.5, 3, True)


def test_training_can_be_a_factor(load):
    grid = {"batch": {"four": {}, "eight": {"training": {"batch_size": 8}}, "two": {"training": {"batch_size": 2}}}}
    params = load(listed("h", baseline="v", h={"like": "v", "grid": grid}))
    sizes = [suite_training(params.suites["s"], n, params.variants[n]).batch_size for n in params.rows["s"]]
    assert sizes == [4, 8, 2] and params.rows["s"]["h-four"].aliases == ["v"]


# --- where a value is said ------------------------------------------------------------------------


def test_each_value_knows_where_it_is_said(load):
    params = load(lambda tree: tree["variants"].update(h={"like": "w", "grid": {"rate": "g"}}))
    said = params.said["h-fast"]
    assert said["generator.width"] == "variants.v.generator.width"
    assert said["objective"] == "variants.w.objective"
    assert said["optimizer.lr_g"] == "variants.g.grid.rate.fast.optimizer.lr_g"
    for name, places in params.said.items():
        written = {path for path, _ in leaves(params.variants[name].model_dump())}
        assert places.keys() <= written | {"description"}, name
