"""Charts hold what they are of, and have room for it; colours that every reader can tell apart."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

from sagan.report import charts
from sagan.report.charts import CHARTS, DARK, LIGHT, SHOWN, save, shown_variants, themed, told_questions
from tests.report.conftest import PARAMS, found

LONG = "sagan-grid-attention-on-spectral-norm-gd-ratio-"


def panels(figure):
    return {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_visible()}


def test_answers_are_drawn_with_both_intervals_in_their_colour(library):
    analysis = found(library, "factorial")
    with themed(LIGHT):
        axes = panels(CHARTS["answers"](analysis, LIGHT))
    effects = [of.steps.effect for of in analysis.report.questions]
    drawn = [sorted(map(float, line.get_xdata())) for line in axes["per step"].lines if line.get_color() != LIGHT.ink]
    for effect in effects:
        assert [effect.low, effect.high] in drawn and [effect.decide_low, effect.decide_high] in drawn
    colours = {line.get_color() for line in axes["per step"].lines} - {LIGHT.ink}
    assert colours == {{"helps": LIGHT.good, "hurts": LIGHT.bad, None: LIGHT.muted}[of.direction] for of in effects}


def test_an_effect_is_drawn_at_every_snapshot_per_step_and_per_second(library):
    analysis = found(library, "factorial")
    with themed(LIGHT):
        figure = charts.budget(analysis, LIGHT)
    [ax, *_] = [ax for ax in figure.axes if ax.get_visible()]
    steps, time = (line for line in ax.lines if line.get_marker() in ("o", "s"))
    assert list(steps.get_xdata()) == [100, 200, 300, 400]
    assert len(time.get_xdata()) >= 2 and 400 < time.get_xdata()[-1] < 410


def test_means_are_drawn_as_far_as_runs_came_from_the_first_snapshot_on(library):
    analysis = found(library, "made-up")
    with themed(LIGHT):
        axes = panels(charts.training(analysis, LIGHT))
    [line] = [line for line in axes["FID"].lines if line.get_label() == "dcgan"]
    fid = pd.DataFrame(analysis.tables.snapshots).query("variant == 'dcgan' and step > 0").groupby("step")["fid"].mean()
    np.testing.assert_allclose(line.get_xydata(), fid.reset_index())
    assert line.get_color() in LIGHT.cycle
    assert {"generator's loss", "largest sigma, generator", "gamma, generator at 14"} <= set(axes)


@pytest.mark.parametrize(("count", "prefix"), [(40, "ratio-"), (12, LONG)], ids=["many", "long names"])
def test_charts_have_room_for_everything_in_them(make_library, tmp_path, count, prefix):
    names = [f"{prefix}{number:02d}" for number in range(count)]
    more = "".join(f"\n  {name}: {{like: sagan, optimizer: {{lr_ratio: 1.{name[-2:]}1}}}}" for name in names)
    text = PARAMS.replace("\nsuites:", f"{more}\nsuites:").replace("seeds: 2", "seeds: 3")
    text = text.replace("variants: [sagan, no-attention]", f"variants: [sagan, {', '.join(names)}]")
    fid = {name: 20.0 + 4 * number for number, name in enumerate(names)}
    analysis = found(make_library(tmp_path / "root", ["few"], fid, pictures=False, text=text))
    # A large suite shows the best and the worst.
    assert shown_variants(analysis.report) == ["sagan", *names[:4], *names[-3:]] and SHOWN == 8
    assert [of.level for of in told_questions(analysis.report)] == [*names[:4], *names[-3:]]
    first = analysis.report.ranking.model_copy(update={"standings": analysis.report.ranking.standings[:5]})
    shown = shown_variants(analysis.report.model_copy(update={"rankings": [first]}))
    assert sorted(shown) == sorted(one.variant for one in first.standings), "as far as runs are there, each once"
    for name, draw in CHARTS.items():
        with themed(LIGHT), warnings.catch_warnings():
            warnings.simplefilter("error")
            if (figure := draw(analysis, LIGHT)) is None:
                assert name == "along-the-budget"  # it asks no questions
                continue
            save(figure, tmp_path / "chart.png")
        assert figure.get_figheight() < 12, name
        axes = [ax for ax in figure.axes if ax.get_visible()]
        for box in [ax.get_tightbbox() for ax in axes] + [legend.get_window_extent() for legend in figure.legends]:
            assert box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1, name
        assert min(side for ax in axes for side in ax.get_window_extent().size) > 100, name  # pixels


# What a colour-blind eye sees of linear RGB, at full severity (Machado, Oliveira and Fernandes 2009, table 1).
SEEN = {
    "by most": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color):
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """Ratio of relative luminances (WCAG 2)."""
    light, dark = sorted((TO_XYZ[1] @ linear(color) for color in (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(color, seen):
    xyz = TO_XYZ @ np.clip(np.array(seen) @ linear(color), 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_stand_out_from_their_page_and_colour_blind_readers_tell_them_apart(theme):
    assert contrast(theme.ink, theme.page) > 12
    assert contrast(theme.muted, theme.page) > 4.5
    assert min(contrast(color, theme.page) for color in theme.cycle) > 3
    colours = theme.colours([f"v{i}" for i in range(SHOWN)], "v3")
    assert colours["v3"] == theme.ink and len(set(colours.values())) == SHOWN
    for eye, seen in SEEN.items():
        points = [lab(color, seen) for color in (theme.ink, *theme.cycle)]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)) > 20, eye
