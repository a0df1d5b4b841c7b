"""What a suite asks, from params.yaml: factors with their levels, variants with what they differ in."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sagan.analysis.contrasts import doubling_looks
from sagan.analysis.model import Design, Factor, VariantFacts
from sagan.params import Params
from sagan.params.common import as_text
from sagan.params.inheritance import leaves
from sagan.params.run import resolved_variant, suite_training
from sagan.params.suites import UntilDecided
from sagan.plan import Plan
from sagan.store.records import Json

# An ingredient is a set of settings that belong together. Two variants that differ in these alone test it.
INGREDIENTS = {
    "attention": ("generator.attention_at", "discriminator.attention_at"),
    "form of attention": ("generator.attention", "discriminator.attention"),
    "spectral norm in the generator": ("generator.spectral_norm",),
    "spectral norm in the discriminator": ("discriminator.spectral_norm",),
    "power iterations": ("generator.power_iterations", "discriminator.power_iterations"),
    "learning rate": ("optimizer.lr_g",),
    "learning-rate ratio": ("optimizer.lr_ratio",),
    "discriminator steps per generator step": ("n_dis",),
    "own code": ("extension",),
}


def design_of(name: str, plan: Plan, params: Params) -> Design:
    """The design of a suite. Its variants are those that have rows in the plan: a recipe with several names has one."""
    variants = list(dict.fromkeys(cell.variant for cell in plan.suites[name]))
    suite, dataset = params.suites[name], params.datasets[params.suites[name].dataset]
    listed = params.rows[name]
    recipes = {v: resolved_variant(params.variants[v], dataset.resolution).model_dump() for v in variants}
    trained = {v: suite_training(suite, v, params.variants[v]).model_dump() for v in variants}
    if any(of != trained[variants[0]] for of in trained.values()):
        recipes = {v: {**recipe, "training": trained[v]} for v, recipe in recipes.items()}
    words = {v: flat(recipe) for v, recipe in recipes.items()}
    grid, cells = params.asked_grid(name)
    baseline, facts = suite.baseline, {}
    for v in variants:
        # Of a combination of a grid, the description of a variant which says the same recipe.
        described = filter(None, (params.variants[name].description for name in (v, *listed[v].aliases)))
        told = {"description": next(described, ""), "differs": differing(words[v], words[baseline])}
        facts[v] = VariantFacts(aliases=listed[v].aliases, ranked=params.variants[v].ranked, **told)
    decays = any(of["optimizer"].get("decay", "none") != "none" for of in recipes.values())
    grows = any(of["backbone"] == "progressive" for of in recipes.values())
    seeds = suite.seeds if isinstance(suite.seeds, UntilDecided) else None
    least, most = (seeds.least, seeds.most) if seeds else [len(suite.seed_list())] * 2
    return Design(
        suite=name,
        title=suite.title,
        dataset=suite.dataset,
        resolution=dataset.resolution,
        variants=facts,
        baseline=baseline,
        recipe=words[baseline],
        questions=suite.questions if cells else [],
        grid=grid,
        factors=_factors(cells, words, baseline),
        alpha=suite.alpha,
        smallest_effect=suite.smallest_effect,
        looks=doubling_looks(least, most, suite.alpha),
        spaces=suite.evaluation.spaces,
        steps=suite.training.steps,
        training=flat(suite.training.model_dump()),
        evaluation=flat(suite.evaluation.model_dump(exclude={"also"})),
        no_shorter="learning rates decay" if decays else "networks grow" if grows else None,
    )


def flat(tree: Json) -> dict[str, str]:
    """{"a": {"b": 1}} as {"a.b": "1"}: a recipe's settings in words."""
    if (own := tree.get("extension")) is not None:
        options = (f"{name} {value}" for name, value in own["options"].items())
        tree = {**tree, "extension": ", ".join([own["file"], *options])}
    return {path: _word(path, value) for path, value in leaves(tree)}


def _word(path: str, value: Any) -> str:
    if value is None:
        return "none"
    if path.endswith(".attention_at"):  # sides of feature maps
        return f"at {', '.join(f'{side}x{side}' for side in value)}" if value else "off"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return as_text(value)


def amount(word: str) -> float:
    """How much a setting in words is: of numbers and switches the value, of places how many, of names nan."""
    count = word.count("x") if word.startswith("at ") else {"off": 0, "on": 1}.get(word, word)
    return float(pd.to_numeric(count, errors="coerce"))


def only_ingredient(settings: Sequence[str]) -> str | None:
    """The ingredient that these settings are of, where they are of one; a setting of none stands for itself."""
    found = (name for name, of in INGREDIENTS.items() if settings and set(settings) <= set(of))
    return next(found, settings[0] if len(settings) == 1 else None)


def differing(mine: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    """The settings of one recipe that another has not so."""
    return {key: mine.get(key, "none") for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)}


def _factors(cells: Mapping[str, Mapping[str, str]], words: Mapping[str, dict], baseline: str) -> dict[str, Factor]:
    """Each factor in words, its first level being what the others replace: off rather than on, less rather than more;
    of names the one that the baseline has not."""
    start, factors = baseline if baseline in cells else next(iter(cells), ""), {}
    for name, own in cells.get(start, {}).items():
        along = {of[name]: v for v, of in cells.items() if all(of[f] == cells[start][f] for f in of if f != name)}
        differs = {key for v in along.values() for key in differing(words[v], words[start])}
        ingredient = only_ingredient(sorted(differs))
        settings = INGREDIENTS.get(ingredient, (ingredient,)) if ingredient else ()
        said = {level: [words[v].get(key, "none") for key in settings] for level, v in along.items()}
        amounts = pd.Series({level: math.fsum(map(amount, of)) for level, of in said.items()})
        first = amounts.idxmin() if amounts.nunique() == len(along) else min(along, key=lambda level: level == own)
        title = ingredient if ingredient in INGREDIENTS else name.replace("_", " ")
        # A level's setting, both networks' where they differ.
        both = {level: ", ".join(map(" ".join, zip("GD", of, strict=False))) for level, of in said.items()}
        levels = {
            level: said[level][0] if len({*said[level]}) == 1 else both[level] or level for level in (first, *along)
        }
        factors[name] = Factor(title=title, levels=levels)
    return factors
