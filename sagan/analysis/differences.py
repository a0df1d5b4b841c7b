"""What two variants differ in: single settings, and the ingredients that they belong to."""

from __future__ import annotations

from collections.abc import Mapping

from sagan.analysis.rows import SuiteRecords
from sagan.store.records import Json

# An ingredient is a set of settings that belong together. Two variants that differ in these alone test it.
INGREDIENTS = {
    "attention": ("generator.attention_at", "discriminator.attention_at"),
    "form of attention": ("generator.attention", "discriminator.attention"),
    "spectral norm in the generator": ("generator.spectral_norm",),
    "spectral norm in the discriminator": ("discriminator.spectral_norm",),
    "power iterations": ("generator.power_iterations", "discriminator.power_iterations"),
    "learning-rate ratio": ("optimizer.lr_ratio",),
    "discriminator steps per generator step": ("n_dis",),
    "own code": ("extension",),
}


def flat(tree: Json, prefix: str = "") -> Json:
    """{"a": {"b": 1}} as {"a.b": 1}; an extension, whose file and options are one ingredient, in words."""
    flattened = {}
    for key, value in tree.items():
        if key == "extension" and value is not None:
            flattened[key] = ", ".join([value["file"], *(f"{name} {said}" for name, said in value["options"].items())])
        elif isinstance(value, Mapping):
            flattened |= flat(value, f"{prefix}{key}.")
        else:
            flattened[f"{prefix}{key}"] = value
    return flattened


def differing(first: Json, second: Json) -> set[str]:
    """The settings in which two recipes differ."""
    first, second = flat(first), flat(second)
    return {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}


def only_ingredient(records: SuiteRecords, first: str, second: str) -> str | None:
    """The ingredient that alone separates two variants; a setting of no ingredient stands for itself."""
    keys = differing(records.config(first), records.config(second))
    for ingredient, settings in INGREDIENTS.items():
        if keys and keys <= set(settings):
            return ingredient
    return keys.pop() if len(keys) == 1 else None


def level_of(config: Json, ingredient: str) -> str:
    """A recipe's setting of an ingredient in words; both networks' where they differ."""
    words = [_in_a_word(value) for value in _settings(config, ingredient)]
    return words[0] if len(set(words)) == 1 else ", ".join(f"{n} {word}" for n, word in zip("GD", words, strict=True))


def oriented(records: SuiteRecords, ingredient: str, first: str, second: str) -> tuple[str, str]:
    """(with, without): on before off, more before less, and otherwise the baseline first."""
    settings = [_settings(records.config(name), ingredient) for name in (first, second)]
    # What may be left out, such as a condition, is there or not.
    amounts = [values != [None] if [None] in settings else _amount(values) for values in settings]
    if None not in amounts and amounts[0] != amounts[1]:
        return (first, second) if amounts[0] > amounts[1] else (second, first)
    return (second, first) if second == records.baseline else (first, second)


def _settings(config: Json, ingredient: str) -> list:
    return [flat(config)[key] for key in INGREDIENTS.get(ingredient, (ingredient,))]


def _in_a_word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    if isinstance(value, list):
        if all(isinstance(item, int) for item in value):  # sides of feature maps
            return f"at {', '.join(f'{side}x{side}' for side in value)}" if value else "off"
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _amount(settings: list) -> float | None:
    """How much of an ingredient there is: of numbers and switches the sum, of places how many, of names nothing."""
    if any(isinstance(value, str) for value in settings):
        return None
    return sum(len(value) if isinstance(value, list) else value for value in settings)
