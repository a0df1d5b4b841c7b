import json
import math

import pytest

from sagan.analysis import effects
from sagan.analysis.ingredients import differing, level_of
from sagan.analysis.rows import collect


@pytest.fixture(scope="module")
def records(library):
    return lambda suite: collect(suite, library.plan, library.params, library.paths)


def by_name(found):
    return {(e.ingredient, e.level, e.other): e for e in found}


def test_pairs_that_differ_in_one_ingredient_are_found_and_oriented(records):
    found = by_name(effects.ingredient_effects(records("made-up")))
    assert set(found) == {
        ("attention", "at 14", "off"),
        ("spectral norm in the generator", "on", "off"),
        ("learning-rate ratio", "4", "1"),
        ("discriminator steps per generator step", "2", "1"),
        ("init", "normal", "xavier"),
    }
    attention = found["attention", "at 14", "off"]
    assert (attention.treated, attention.control) == (("sagan",), ("no-attention",))
    assert attention.difference.estimate.mean < 0
    assert attention.judgement == "better"


def test_a_variant_that_is_told_of_the_class_is_compared_with_one_that_is_not(make_library, tmp_path):
    library = make_library(tmp_path, ["few"], pictures=False)
    for seed in (0, 1):
        told, not_told = (library.plan.runs[library.cell("few", name, seed).run] for name in ("no-attention", "sagan"))
        told.config["variant"] = not_told.config["variant"] | {"condition": "class"}
    found = effects.ingredient_effects(collect("few", library.plan, library.params, library.paths))
    assert [(e.treated, e.control) for e in found] == [(("no-attention",), ("sagan",))]
    assert (found[0].level, found[0].other) == ("class", "none")


def test_equal_results_are_identical(records):
    found = effects.baseline_effects(records("made-up"))
    assert found["same-again"].judgement == "same"
    assert found["two-d-steps"].judgement == "not decided"
    assert found["ttur-1"].judgement == "too few seeds"


def test_equal_seeds_of_two_variants_have_nothing_in_common(records):
    found = effects.baseline_effects(records("made-up"))
    assert not any(effect.difference.paired for effect in found.values())
    assert found["no-attention"].difference.p == pytest.approx(2 / math.comb(10, 5))


def test_a_grid_gives_main_effects_with_the_others_held(records):
    found = by_name(effects.ingredient_effects(records("factorial")))
    main = found["attention", "at 14", "off"]
    assert set(zip(main.treated, main.control, strict=True)) == {("sagan", "no-attention"), ("sn-d-only", "grid-off-d")}
    assert ("spectral norm in the generator", "on", "off") in found
    interaction = next(e for e in found.values() if e.interaction)
    assert interaction.cost is None
    assert len(found) == 3


def test_attention_costs_what_the_speeds_say(records):
    cost = effects.extra_time(records("made-up"), ("sagan",), ("no-attention",))
    assert cost.count == 5
    assert cost.maximum == pytest.approx(100 * (1000 / 820 - 1))


def test_runs_on_other_hardware_are_not_compared_in_speed(make_library, tmp_path):
    library = make_library(tmp_path, ["few"])
    for seed in (0, 1):
        path = library.paths.run(library.cell("few", "no-attention", seed).run) / "run.json"
        record = json.loads(path.read_text())
        record["provenance"]["device"] = "cuda (Another)"
        path.write_text(json.dumps(record))
    records = collect("few", library.plan, library.params, library.paths)
    assert effects.extra_time(records, ("sagan",), ("no-attention",)) is None


def test_settings_of_both_networks_are_one_ingredient(records):
    config = records("few").config("sagan")
    assert level_of(config, "attention") == "at 14"
    config = {**config, "discriminator": {**config["discriminator"], "attention_at": [], "power_iterations": 5}}
    assert level_of(config, "attention") == "G at 14, D off"
    assert level_of(config, "power iterations") == "G 1, D 5"
    assert level_of(config, "optimizer.betas") == "0.0, 0.9"
    assert level_of(config, "learning-rate ratio") == "4"


def test_own_code_is_one_ingredient_whatever_its_options():
    plain = {"objective": "hinge", "extension": None}
    one, other = ({**plain, "extension": {"file": "extensions/mine.py", "options": o}} for o in ({}, {"a": 1, "b": 2}))
    assert differing(plain, one) == differing(one, other) == {"extension"}
    assert level_of(plain, "own code") == "none" and level_of(other, "own code") == "extensions/mine.py, a 1, b 2"
