import itertools

import numpy as np
import pytest

from sagan.analysis.build import analyse
from sagan.report import charts, dynamics
from sagan.report.style import DARK, LIGHT, looks, themed


@pytest.fixture(scope="module")
def records(library):
    return lambda suite: analyse(suite, library.plan, library.params, library.paths)


def panels(figure):
    return {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_visible()}


def test_every_seed_is_drawn_and_a_diverged_run_ends_in_a_cross(records):
    found = records("made-up")
    with themed(LIGHT):
        axes = panels(charts.fid_against_step(found, LIGHT))
    assert list(axes) == list(found.space.variants)
    seeds_and_mean = 5 + 1
    assert len(axes["sagan"].lines) == seeds_and_mean
    assert sum(line.get_marker() == "x" for line in axes["dcgan"].lines) == 2
    assert max(len(line.get_xdata()) for line in axes["dcgan"].lines) == 5


def test_forest_shows_every_seed_and_what_was_lost(records):
    with themed(LIGHT):
        left, right = charts.fid_by_variant(records("made-up"), LIGHT).axes
    assert (
        sum(len(line.get_xdata()) for line in left.lines if line.get_marker() == "o" and line.get_ls() == "None") == 31
    )
    assert {text.get_text() for text in left.texts} == {"2 missing", "2 diverged"}
    assert right.get_xlabel() == "change from sagan in % (left is better)"


def test_means_go_on_after_another_seed_diverged(records):
    with themed(LIGHT):
        axes = panels(dynamics.losses(records("made-up"), LIGHT))
    means = [line for line in axes["generator loss"].lines if line.get_linewidth() > 1]
    assert [line.get_xdata()[-1] for line in means] == [400] * 7
    thin = [line for line in axes["generator loss"].lines if line.get_linewidth() < 1]
    assert sorted(line.get_xdata()[-1] for line in thin)[:3] == [230, 230, 400]


def test_attention_panels_are_of_those_that_attend(records):
    with themed(DARK):
        figure = dynamics.attention(records("factorial"), DARK)
        axes = panels(figure)
    assert len(axes) == 4
    lines = axes["entropy / uniform, generator at 14x14"].lines
    assert {(line.get_ydata()[0], round(line.get_ydata()[-1], 2)) for line in lines} == {(1, 0.62), (1, 1)}
    assert [text.get_text() for text in figure.legends[0].texts] == ["sagan", "sn-d-only"]


def test_nothing_measured_draws_nothing(records):
    for draw in (charts.fid_by_variant, charts.fid_against_step, charts.fid_against_time):
        assert draw(records("empty"), LIGHT) is None
    for draw in (charts.fid_against_cost, dynamics.losses, dynamics.attention):
        assert draw(records("empty"), LIGHT) is None


def test_variants_differ_in_colour_or_line_and_in_colour_or_marker():
    names = [f"v{i}" for i in range(22)]
    for theme in (LIGHT, DARK):
        styles = looks(names, "v3", theme)
        assert styles["v3"].color == theme.ink
        assert len({(look.color, look.line) for look in styles.values()}) == 22
        assert len({(look.color, look.marker) for look in styles.values()}) == 22


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


def test_colours_stand_out_from_their_page():
    for theme in (LIGHT, DARK):
        assert contrast(theme.ink, theme.page) > 12
        assert contrast(theme.muted, theme.page) > 4.5
        assert min(contrast(color, theme.page) for color in theme.cycle) > 3


@pytest.mark.parametrize("eye", SEEN)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colour_blind_readers_tell_the_colours_apart(theme, eye):
    points = [lab(color, SEEN[eye]) for color in (theme.ink, *theme.cycle)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2)) > 20
