"""Figures and findings in words: number formats, table cells, and the sentences of the verdict."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from sagan.analysis.statistics import Estimate

if TYPE_CHECKING:
    from sagan.analysis.comparisons import Comparison
    from sagan.analysis.model import Figures, Modes, Space, Variant
    from sagan.analysis.questions import Crossing, MetricEffect

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
# Nobody runs more.
MANY_SEEDS = 100
# The mark of a variant that is not ranked.
UNRANKED = "\N{DAGGER}"


def md(text: object) -> str:
    """Text of the user's as inert Markdown: no HTML, no table cell ends, no emphasis."""
    escaped = html.escape(str(text), quote=False)
    for character in "\\`*_[]|~":
        escaped = escaped.replace(character, f"\\{character}")
    return " ".join(escaped.split())


def decimals(*values: float) -> int:
    """So many decimals that the largest of some figures has about three significant digits."""
    largest = max(map(abs, values))
    return 1 if largest >= 100 else 2 if largest >= 1 else 3 if largest >= 0.05 or largest == 0 else 4


def number(value: float | None, signed: bool = False, places: int | None = None) -> str:
    """A figure with a true minus, and as many decimals as asked for or as it needs: 123.4, 12.34, 0.123."""
    if value is None:
        return NOTHING
    text = f"{abs(value):.{decimals(value) if places is None else places}f}"
    is_zero = float(text) == 0
    return (MINUS if value < 0 and not is_zero else "+" if signed and not is_zero else "") + text


def p_value(p: float) -> str:
    """p to two digits."""
    return f"{p:.2g}" if p >= 0.001 else f"{p:.1g}"


def spread(value: Estimate | None) -> str:
    """Mean ± standard deviation over seeds; the mean alone where there is one seed."""
    if value is None:
        return NOTHING
    places = decimals(value.mean)
    return number(value.mean) + (f" ± {number(value.sd, places=places)}" if value.sd is not None else "")


def interval(value: Estimate | None, signed: bool = False) -> str:
    """The 95 % interval, or with fewer than three seeds the range, named as such."""
    if value is None:
        return NOTHING
    if value.count == 1:
        return "one seed"
    low, high = (value.minimum, value.maximum) if value.low is None else (value.low, value.high)
    places = decimals(low, high)
    text = f"{number(low, signed, places)} to {number(high, signed, places)}"
    return f"range {text}" if value.low is None else text


def change(percent_: float | None) -> str:
    """A change in percent with its sign."""
    return NOTHING if percent_ is None else f"{number(percent_, signed=True, places=1)} %"


def between(low: float | None, high: float | None, words: Callable[[float | None], str] = change) -> str:
    return NOTHING if low is None else f"{words(low)} to {words(high)}"


def verdict(found: Comparison) -> str:
    """The answer to a question in a few words."""
    answer = found.answer
    if not found.is_ranked:
        return "not compared"
    if answer is None:
        return "no answer yet"
    if not answer.decided:
        return "not decided" if answer.effect.decidable else "too few seeds"
    small = "by less than is worth having" if answer.direction else "makes no difference worth having"
    words = [answer.direction, small if answer.negligible else "", "" if found.is_borne_out else "not borne out since"]
    return ", ".join(filter(None, words))


def fid_change(found: Comparison) -> str:
    """Change of FID with its interval, and where its answer is an earlier look's, that look's seeds."""
    interval = f" (95 % interval {between(found.low, found.high)})" if found.low is not None else ""
    return change(found.percent) + interval + (f", answered at {found.answered_at} seeds" if found.answered_at else "")


def comparison_sentence(found: Comparison) -> str:
    """A comparison with its answer, size, interval and cost, in Markdown. A cost in doubt is left to its table."""
    title = md(found.title)
    head = f"**{title[0].upper()}{title[1:]}, {md(found.level)} instead of {md(found.other)}: {verdict(found)}.**"
    if found.answer is None:
        return head
    parts = []
    if found.percent is not None:
        way = "lower" if found.percent < 0 else "higher"
        size = f"FID {number(abs(found.percent), places=1)} % {way}"
        parts.append(size + (f" (95 % interval {between(found.low, found.high)})" if found.low is not None else ""))
    if found.answer.effect.decidable:
        at = f"answered at {found.answered_at} seeds, " if found.answered_at else ""
        parts.append(f"{at}p {p_value(found.answer.p_difference)} after Holm's correction")
    if lost := found.answer.effect.lost:
        parts.append(f"of finished runs: {lost} {'was' if lost == 1 else 'were'} lost, and counts as the worst in p")
    if later := found.effect.lost - lost:
        parts.append(f"{later} {'was' if later == 1 else 'were'} lost after the answer")
    if needed := found.answer.seeds_needed:
        count = f"more than {MANY_SEEDS}" if needed > MANY_SEEDS else str(needed)
        side, size = "cell" if found.answer.effect.cells > 2 else "side", f"{100 * found.answer.smallest_effect:g}"
        parts.append(f"{count} seeds a {side} would find an effect of {size} % in four of five cases")
    if found.cost and not found.cost.doubt:
        amount = number(abs(found.cost.percent), places=0)
        more = "more" if found.cost.percent >= 0 else "less"
        parts.append(f"{amount} % {more} time a step" if amount != "0" else "as much time a step")
    return f"{head} {'; '.join(parts)}." + (f" *({md(found.where)})*" if found.where else "")


def interaction_sentence(found: Crossing) -> str:
    """How one factor's effect depends on another, in Markdown."""
    of, on = md(found.effect_of), md(found.on_level_of)
    sides = [
        f"{number(abs(at.percent), places=1)} % {'lower' if at.percent < 0 else 'higher'} where {it} is {md(at.level)} "
        f"(95 % interval {between(at.low, at.high)})"
        for it, at in zip(("that", "it"), found.at, strict=True)
    ]
    head = f"**{of[0].upper()}{of[1:]}, {md(found.level)} instead of {md(found.other)}: it depends on {on}.**"
    return f"{head} FID {', '.join(sides)}; p {p_value(found.p)} after Holm's correction over all pairs."


def modes_sentence(found: Modes) -> str:
    """Who reaches the most modes, and who is spread over them most like the data, in Markdown."""
    most, nearest = (v.figures[name] for v, name in ((found.most, "modes"), (found.nearest, "mode_kl")))
    clear, unclear = ", clear of every other", ", not clear of every other"
    return (
        f"**{md(found.most.name)} reaches the most modes**, {spread(most.shown)} of {found.total}"
        f"{clear if most.leads else unclear}; "
        f"**{md(found.nearest.name)} spreads over them most as the data does**, mode KL {spread(nearest.shown)}"
        f"{clear if nearest.leads else unclear} (by chance alone {number(found.floor)})."
    )


def comparison_cells(found: Comparison) -> list[str]:
    """Size, interval, seeds, Holm's p, cost and answer, as a table has them."""
    cost = found.cost.percent if found.cost and not found.cost.doubt else None
    if found.answer is None:
        return [*[NOTHING] * 4, change(cost), "nothing measured" if found.is_ranked else "not compared"]
    size, lost = change(found.percent), found.effect.lost
    return [
        f"**{size}**" if found.answer.direction else size,
        between(found.low, found.high),
        str(found.seeds),
        p_value(found.answer.p_difference) if found.answer.effect.decidable else NOTHING,
        change(cost),
        verdict(found) + (f" ({lost} lost)" if lost else ""),
    ]


def metric_effect(found: MetricEffect) -> str:
    """Size and interval of an effect on a metric, bold where it is sure."""
    words = change if found.metric.scale == "log" else partial(number, signed=True)
    text = f"{words(found.size)} ({between(found.low, found.high, words)})"
    return text if found.better is None else f"**{text}**"


def metric_cell(figures: Figures) -> str:
    """Mean ± standard deviation, bold where it is set apart."""
    return f"**{spread(figures.shown)}**" if figures.leads else spread(figures.shown)


def sizes(parameters: Mapping[str, int]) -> str:
    """The sizes of the two networks, such as "G 1,234,567, D 765,432"."""
    told = (f"{network[0].upper()} {count:,}" for network, count in sorted(parameters.items(), reverse=True))
    return ", ".join(told) or NOTHING


def copies(variant: Variant) -> str:
    """The share of generated images that are nearer to a training image than held-out ones are, over seeds."""
    ends = dict.fromkeys(number(share, places=1) for share in variant.copied or ())
    return f"{md(variant.name)} {' to '.join(ends)} %"


def unranked_note(space: Space) -> str:
    """Why variants bear a mark in a feature space, in Markdown; nothing where none does."""
    if not space.unranked:
        return ""
    return (
        f"*{UNRANKED} `ranked: false`: shown, and never ranked, compared or counted for a claim; as what was trained "
        "on the features in which it is measured, which says how well it matched these (Kynkäänniemi et al. 2022).*"
    )
