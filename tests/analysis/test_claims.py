"""Claims by clause and layer."""

import numpy as np
import pandas as pd
import pytest

from sagan.analysis.build import analysis_of
from sagan.analysis.model import Factor, ReportProvenance, Space, VariantFacts
from sagan.analysis.tables import Tables
from tests.analysis.made import design, tables

FACTORS = {"attention": ("off", "on"), "sn": ("off", "on")}
WORDS = {
    "attention": Factor(title="attention", levels={"off": "off", "on": "at 14x14"}),
    "sn": Factor(title="spectral norm in the generator", levels={"off": "off", "on": "on"}),
}


def claims(effects=None, seeds=4, cost=None, rate="0.0001", change=None, training=None, spread=0.02, **columns):
    """claim -> its clauses, of a grid of attention and spectral norm."""
    runs, snapshots = tables(effects or {}, seeds, spread, cost, factors=FACTORS)
    runs = runs.assign(**columns)
    if change is not None:
        change(runs)
    asked = design(seeds, FACTORS, recipe={"optimizer.lr_g": rate}).model_copy(update={"factors": WORDS})
    log = training if training is not None else pd.DataFrame(columns=["variant", "seed", "step", "loss_g", "loss_d"])
    found = analysis_of(asked, Tables(runs, snapshots, log), ReportProvenance(), [Space(name="classifier")])
    return {claim.text.split()[0] + " " + claim.text.split()[1]: claim.clauses for claim in found.report.claims}


@pytest.mark.parametrize(
    ("effect", "spread", "said"),
    [
        (-0.2, 0.02, "supported"),
        (-0.03, 0.002, "supported"),
        (0.2, 0.02, "contradicted"),
        (0.0, 0.02, "contradicted"),
        (0.0, 0.3, "not decided"),
    ],
)
def test_each_clause_has_its_own_verdict(effect, spread, said):
    fid, score = claims({"attention": effect}, spread=spread)["Attention improves"]
    assert (fid.verdict, score.verdict) == (said, "not tested here")


@pytest.mark.parametrize(("cost", "said"), [(1.2, "supported"), (1.6, "contradicted"), (1.02, "contradicted")])
def test_what_attention_costs(cost, said):
    [clause] = claims(cost={"attention": cost})["Attention costs"]
    assert clause.verdict == said and clause.measured.startswith(f"{cost:.2f} times the time a step")


def test_gamma_is_judged_by_layer_and_only_at_rates_like_the_claims():
    layers = {"gamma.generator.14": -0.2, "gamma.discriminator.14": 0.8}
    generator, discriminator = claims(**layers)["gamma leaves"]
    assert (generator.layer, generator.verdict) == ("generator at 14x14", "supported")
    assert (discriminator.layer, discriminator.verdict) == ("discriminator at 14x14", "contradicted")
    fast = claims(rate="0.008", **layers)["gamma leaves"]
    assert {clause.verdict for clause in fast} == {"not comparable"} and "80 times the port's" in fast[0].why


def test_maps_that_start_uniform_and_those_that_do_not():
    clauses = claims(**{"entropy.generator.14": 0.6, "entropy_untrained.generator.14": 0.99})["Attention maps"]
    assert [(clause.text, clause.verdict) for clause in clauses] == [
        ("they start uniform", "supported"),
        ("their entropy falls below 95 % of uniform maps'", "supported"),
    ]
    assert claims(**{"entropy.generator.14": 0.99})["Attention maps"][1].verdict == "contradicted"


def test_lost_runs_and_spread_are_two_clauses():
    def lose(runs):
        without = runs["sn"] == "off"
        runs.loc[without, ["status", "lost"]] = ["diverged", 1]

    lost, spread = claims(change=lose)["Spectral norm"]
    assert lost.verdict == "supported" and lost.measured.startswith("0 of 8 with, 8 of 8 without")
    assert spread.verdict == "not tested here"


def test_losses_of_runs_that_attend():
    steps = np.arange(10, 810, 10)
    losses = {"loss_g": 2 - steps / 800 + 0.01 * np.sin(steps), "loss_d": 1 + np.sin(steps)}
    lines = [
        pd.DataFrame({"variant": "on-on", "seed": seed, "step": steps, "gamma.generator.14": 0.1, **losses})
        for seed in range(4)
    ]
    falls, level = claims(training=pd.concat(lines))["Losses settle"]
    assert (falls.verdict, falls.measured, level.verdict) == ("supported", "in 4 of 4 runs", "supported")


def test_what_is_not_tested_here_says_so():
    clauses = claims()
    for name in ("One power", "With spectral", "gamma leaves", "Losses settle"):
        assert {clause.verdict for clause in clauses[name]} == {"not tested here"}, name


def test_a_single_pair_is_turned_so_that_more_is_asked_instead_of_less():
    """The baseline attends and the other variant does not: without it FID is higher, so that attention helps."""
    runs, snapshots = tables(
        {"attention": 0.2}, 4, 0.02, {"attention": 0.8}, factors={"attention": ("with", "without")}
    )
    places = {"generator.attention_at": "off", "discriminator.attention_at": "off"}
    variants = {"with": VariantFacts(), "without": VariantFacts(differs=places)}
    recipe = dict.fromkeys(places, "at 14x14")
    asked = design(4, {"attention": ("with", "without")}).model_copy(
        update={"variants": variants, "baseline": "with", "recipe": recipe, "questions": [], "factors": {}, "grid": ""}
    )
    log = pd.DataFrame(columns=["variant", "seed", "step"])
    found = analysis_of(
        asked, Tables(runs, snapshots, log), ReportProvenance(), [Space(name="classifier")]
    ).report.claims
    assert found[0].clauses[0].verdict == "supported" and "\N{MINUS SIGN}1" in found[0].clauses[0].measured
    assert found[1].clauses[0].measured.startswith("1.25 times the time a step")
