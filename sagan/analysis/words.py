"""Figures and answers in words: number formats, and the sentences that every page and command tells."""

from sagan.analysis.model import Answer, Design, Effect, Question, Report, metric_of

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
# Nobody runs more.
MANY_SEEDS = 100
NO_ANSWER = {
    "too few runs": "no answer, too few runs",
    "no spread": "no answer, repeated runs have equal figures",
    "no step times": "cannot be said, no step times",
    "several machines": "cannot be said, several kinds of machine trained",
    "too few snapshots": "cannot be said, too few snapshots",
    "learning rates decay": "cannot be said, since a snapshot is no shorter training where learning rates decay",
    "networks grow": "cannot be said, since a snapshot is no shorter training where networks grow",
}


def decimals(*values: float) -> int:
    """So many decimals that the largest of some figures has about three significant digits."""
    largest = max(map(abs, values))
    return 1 if largest >= 100 else 2 if largest >= 1 else 3 if largest >= 0.05 or largest == 0 else 4


def number(value: float | None, signed: bool = False, places: int | None = None) -> str:
    """A figure with a true minus, and as many decimals as asked for or as it needs: 123.4, 12.34, 0.123."""
    if value is None or value != value:
        return NOTHING
    text = f"{abs(value):.{decimals(value) if places is None else places}f}"
    is_zero = float(text) == 0
    return (MINUS if value < 0 and not is_zero else "+" if signed and not is_zero else "") + text


def change(percent: float | None) -> str:
    """A change in percent with its sign."""
    return NOTHING if percent is None else f"{number(percent, signed=True, places=1)} %"


def size(effect: Effect) -> str:
    """An estimate with its 95 % interval: "+42.8 % (36.2 to 49.7)", or a difference in the metric's unit as shown."""
    is_ratio = effect.scale == "ratio"
    factor = 1 if is_ratio else metric_of(effect.metric).factor
    ends = [factor * end for end in (effect.estimate, effect.low, effect.high)]
    told, low, high = (number(end, signed=True, places=1 if is_ratio else decimals(*ends)) for end in ends)
    return f"{told}{' %' if is_ratio else ''} ({low} to {high})"


def change_with_interval(effect: Effect) -> str:
    """A metric's title with its change."""
    return f"{metric_of(effect.metric).title} {size(effect)}"


def answer(of: Answer) -> str:
    """The answer in a few words, with what qualifies it."""
    return ", ".join([of.effect.answer, *qualifiers(of)]) if of.effect else NO_ANSWER[of.why]


def qualifiers(of: Answer) -> list[str]:
    """What an answer has to be told with."""
    spaces = ["an untrained network" if name == "random" else name for name in of.contradicted_by]
    per_step = " (per step)" if of.effect and of.effect.at == "time" else ""
    way = "falling" if of.changes and of.changes[1] < 0 else "rising"
    told = {
        # Interactions are tested per step alone.
        f"depends on {' and '.join(name.replace('_', ' ') for name in of.depends_on)}{per_step}": of.depends_on,
        f"the opposite in features of {' and '.join(spaces)}": spaces,
        f"still changing ({way})": of.still_changing,
        f"answered at {of.answered_at} seeds": of.answered_at,
        f"{of.lost} lost run{'s' if of.lost > 1 else ''} counted as the worst": of.lost,
    }
    return [words for words, is_so in told.items() if is_so]


def answers(report: Report) -> list[str]:
    """A line for each question; of a suite that asks none, for each variant against the baseline."""
    if report.too_short:
        return ["this budget is too short to say anything of ingredients"]
    if report.waits:
        return [f"no answers before there are {report.waits}"]
    return [sentence(found, report.design) for found in report.questions or report.pairs]


def parts_of_title(question: Question, design: Design) -> tuple[str, str]:
    """What is asked, such as "attention" and "at 14x14 instead of off"."""
    factor = design.factors.get(question.question)
    if factor is None:
        return question.level, f"instead of {question.instead_of}"
    level, other = (factor.levels[name] for name in (question.level, question.instead_of))
    return factor.title, f"{level} instead of {other}"


def title(question: Question, design: Design) -> str:
    """What is asked in one line: "attention, at 14x14 instead of off"."""
    between = ", " if question.question in design.factors else " "
    return between.join(parts_of_title(question, design)).removeprefix(", ")


def sentence(question: Question, design: Design) -> str:
    """Both answers of a question in one line, with sizes and cost."""
    parts = []
    for name, of in (("per step", question.steps), ("per second", question.time)):
        parts.append(f"{name} {answer(of)}" + (f": {design.main.title} {size(of.effect)}" if of.effect else ""))
    if question.cost:
        parts.append(f"a step takes {question.cost.ratio:.2f} times the time")
    if question.worth_in_steps:
        parts.append(f"worth {question.worth_in_steps:.2f} times the steps")
    if needed := question.steps.needed:
        count = f"more than {MANY_SEEDS}" if needed > MANY_SEEDS else needed
        parts.append(f"{count} seeds a cell would find {100 * design.smallest_effect:g} %")
    return f"{title(question, design)}: {'; '.join(parts)}"
