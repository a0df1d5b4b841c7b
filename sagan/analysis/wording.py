"""Figures and findings in words: number formats, table cells, and the sentences of the verdict."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from sagan.analysis.effects import Cost, Effect
from sagan.analysis.judgement import Judgement
from sagan.analysis.statistics import FEWEST_FOR_P, Difference, Estimate

if TYPE_CHECKING:
    from sagan.analysis.model import Figures, Variant
    from sagan.analysis.questions import Answered, MetricEffect

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"

HEADLINES: dict[Judgement, str] = {
    "better": "helps",
    "likely better": "likely helps",
    "worse": "hurts",
    "likely worse": "likely hurts",
    "same": "makes no difference",
    "runs lost": "runs lost, so not judged by FID",
    "too few seeds": "too few seeds to tell",
    "not decided": "not decided",
    "no data": "nothing measured",
}
JUDGEMENTS: dict[Judgement, str] = {
    "better": "better",
    "likely better": "likely better",
    "worse": "worse",
    "likely worse": "likely worse",
    "same": "identical",
    "runs lost": "runs lost",
    "too few seeds": "too few seeds",
    "not decided": "not decided",
    "no data": NOTHING,
}
# An interaction is neither good nor bad.
INTERACTIONS: dict[Judgement, str] = {
    "better": "they interact",
    "likely better": "likely interact",
    "worse": "they interact",
    "likely worse": "likely interact",
}


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


def percent(value: float | None) -> str:
    return NOTHING if value is None else f"{number(value, signed=True, places=0)} %"


def p_value(p: float | None) -> str:
    """Exact p to two digits, or why there is none."""
    return "too few seeds" if p is None else f"{p:.2g}" if p >= 0.001 else f"{p:.1g}"


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


def judged(effect: Effect) -> str:
    """A table's last cell: what is said of an effect, and what was lost where that is why no more is said."""
    if effect.judgement != "runs lost":
        words = INTERACTIONS if effect.interaction else {}
        return words.get(effect.judgement, JUDGEMENTS[effect.judgement])
    lost = effect.lost
    against = "" if effect.interaction else f", against {lost.control} of {lost.control_runs}"
    return f"{JUDGEMENTS['runs lost']}: {lost.treated} of {lost.treated_runs}{against}"


def agreement(difference: Difference) -> str:
    """How many seeds a contrast is of and point the way of its mean, or how many there are on each side."""
    if not difference.paired:
        return f"{difference.estimate.count} seed{'s' if difference.estimate.count != 1 else ''} a side"
    seeds = f"{len(difference.by_seed)} seed{'s' if len(difference.by_seed) != 1 else ''}"
    if not any(difference.by_seed.values()):
        return f"equal in {len(difference.by_seed)} of {seeds}"
    down = difference.estimate.mean < 0
    agreeing = sum((value < 0) == down and value != 0 for value in difference.by_seed.values())
    return f"{'lower' if down else 'higher'} in {agreeing} of {seeds}"


def cost_words(cost: Cost | None) -> str:
    """Extra training time with its range over seeds."""
    if cost is None:
        return "cost not comparable"
    if round(cost.median) == 0:
        amount = "as much training time"
    else:
        amount = f"{abs(cost.median):.0f} % {'more' if cost.median > 0 else 'less'} training time"
    if cost.count == 1:
        return amount
    return f"{amount} ({percent(cost.minimum)} to {percent(cost.maximum)} over {cost.count} pairs)"


def lost_words(effect: Effect) -> str:
    """What both sides of a comparison lost, where that forbids a verdict."""
    lost = effect.lost
    is_switch = effect.other in ("off", "none")
    sides = ("it", "without") if is_switch else (effect.level, f"with {effect.other}")
    return (
        f"{lost.treated} of {lost.treated_runs} runs were lost with {sides[0]}, "
        f"{lost.control} of {lost.control_runs} {sides[1]}; the survivors alone are no fair comparison"
    )


def effect_size(difference: Difference) -> str:
    """Mean, interval and agreement of a difference."""
    found = difference.estimate
    return f"{number(found.mean, signed=True)} ({interval(found, signed=True)}; {agreement(difference)})"


def survivors(effect: Effect) -> str:
    """Why the FID of an effect with lost runs decides nothing, and what the FID of the others is."""
    size = f" (FID of these {effect_size(effect.difference)})" if effect.difference else ""
    return lost_words(effect) + size


def change(percent_: float | None) -> str:
    """A change in percent with its sign."""
    return NOTHING if percent_ is None else f"{number(percent_, signed=True, places=1)} %"


def between(low: float | None, high: float | None, words: Callable[[float | None], str] = change) -> str:
    return NOTHING if low is None else f"{words(low)} to {words(high)}"


def verdict(found: Answered) -> str:
    """The answer to a question in a few words."""
    answer = found.answer
    if answer is None:
        return "no answer yet"
    if answer.direction:
        return f"{answer.direction}, by less than is worth having" if answer.negligible else answer.direction
    return "makes no difference worth having" if answer.negligible else "not decided"


def answer_sentence(found: Answered) -> str:
    """A question with its answer, size, interval and cost, in Markdown. A cost in doubt is left to its table."""
    factor = md(found.factor.replace("_", " "))
    head = f"**{factor[0].upper()}{factor[1:]}, {md(found.level)} instead of {md(found.other)}: {verdict(found)}.**"
    if found.answer is None:
        return head
    parts = []
    if found.percent is not None:
        way = "lower" if found.percent < 0 else "higher"
        parts.append(
            f"FID {number(abs(found.percent), places=1)} % {way} (95 % interval {between(found.low, found.high)})"
        )
    parts.append(f"p {p_value(found.answer.p_difference)} after Holm's correction")
    if lost := found.answer.effect.lost:
        parts.append(f"of finished runs: {lost} {'was' if lost == 1 else 'were'} lost, and counts as the worst in p")
    if needed := found.answer.seeds_needed:
        parts.append(f"{needed} seeds a cell would tell")
    if found.cost and not found.cost.doubt:
        more = "more" if found.cost.percent >= 0 else "less"
        parts.append(f"{number(abs(found.cost.percent), places=0)} % {more} time a step")
    return f"{head} {'; '.join(parts)}."


def metric_effect(found: MetricEffect) -> str:
    """Size and interval of an effect on a metric, bold where it is sure."""
    words = change if found.metric.scale == "log" else partial(number, signed=True)
    text = f"{words(found.size)} ({between(found.low, found.high, words)})"
    return text if found.better is None else f"**{text}**"


def effect_cells(effect: Effect) -> list[str]:
    """Size, interval, seeds, p, Holm's p, cost and judgement, as a table has them."""
    found, cost = effect.difference, percent(effect.cost.median) if effect.cost else NOTHING
    if found is None:
        return [NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, cost, judged(effect)]
    size = number(found.estimate.mean, signed=True)
    is_better_or_worse = effect.judgement.removeprefix("likely ") in ("better", "worse")
    return [
        f"**{size}**" if is_better_or_worse else size,
        interval(found.estimate, signed=True),
        agreement(found),
        p_value(found.p),
        NOTHING if found.p is None else p_value(effect.p_holm),
        cost,
        judged(effect),
    ]


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


def effect_sentence(effect: Effect) -> str:
    """One line of the verdict, in Markdown."""
    contrast = f"{md(effect.level)} instead of {md(effect.other)}"
    ingredient = md(effect.ingredient)
    head = f"**{ingredient[0].upper()}{ingredient[1:]}, {contrast}: {HEADLINES[effect.judgement]}.**"
    if effect.judgement == "runs lost":
        head += f" {md(lost_words(effect))}."
    if effect.difference is None:
        return f"{head} ({md(effect.where)})"
    found = effect.difference.estimate
    if effect.judgement == "same":
        size = "FID equal in every seed"
    else:
        size = f"FID {number(abs(found.mean))} {'lower' if found.mean < 0 else 'higher'}"
        if found.low is not None:
            size += f", 95 % interval {interval(found, signed=True)}"
        size += f", {agreement(effect.difference)}"
    if effect.difference.p is not None:
        size += f", exact p {p_value(effect.difference.p)} (Holm {p_value(effect.p_holm)})"
    elif found.count < FEWEST_FOR_P:
        size += f"; {found.count} seed{'s' if found.count > 1 else ''} cannot say how surely"
    if effect.judgement == "runs lost":
        size = f"Of the survivors: {size}"
    return f"{head} {size}; {cost_words(effect.cost)}. *({md(effect.where)})*"
