"""Effects as a picture: a line for each question, its intervals per step and per second side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from sagan.analysis.model import Answer, Design, Question
from sagan.analysis.words import title
from sagan.report.style import LIGHT, Theme, save, themed

_ROW = 0.42


def draw_effects(questions: Sequence[Question], design: Design, path: Path, theme: Theme = LIGHT) -> None:
    """Write the picture: the thick bar is the 95 % interval, the thin one decides; green helps, red hurts."""
    with themed(theme):
        figure = Figure(figsize=(7.5, 1.1 + _ROW * len(questions)), layout="constrained")
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, (heading, name) in zip(axes, (("per step", "steps"), ("per second", "time")), strict=True):
            panel.set_title(heading)
            panel.axvline(0, color=theme.ink, linewidth=0.8)
            for place, question in enumerate(questions):
                _interval(panel, len(questions) - 1 - place, getattr(question, name), theme)
        axes[0].set_yticks(range(len(questions)), [title(of, design) for of in reversed(questions)])
        axes[0].set_ylim(-0.7, len(questions) - 0.3)
        figure.supxlabel(f"change of {design.metric}", fontsize=9)
        save(figure, path)


def _interval(panel, height: float, answer: Answer, theme: Theme) -> None:
    effect = answer.effect
    if effect is None:
        panel.annotate(
            answer.why or "no answer", (0.02, height), ("axes fraction", "data"), color=theme.muted, va="center"
        )
        return
    color = {"helps": theme.good, "hurts": theme.bad}.get(effect.direction, theme.muted)
    panel.hlines(height, effect.decide_low, effect.decide_high, color=color, linewidth=1)
    panel.hlines(height, effect.low, effect.high, color=color, linewidth=4)
    panel.plot(effect.estimate, height, "o", color=color, markersize=5)
