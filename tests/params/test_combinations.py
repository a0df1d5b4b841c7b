"""Combinations that the literature calls wrong are refused, with the reason in one line."""

import pytest
from pydantic import ValidationError

from sagan.params.variants import Variant


def variant(discriminator=None, **changes):
    return Variant.model_validate(
        {
            "generator": {"width": 8},
            "discriminator": {"width": 8, **(discriminator or {})},
            "objective": "hinge",
            "optimizer": {"lr_g": 1e-4, "betas": [0.0, 0.9]},
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("discriminator", "changes", "reason"),
    [
        ({"norm": "batch"}, {"regularisers": {"gradient_penalty": 10.0}}, "mixes images"),
        ({"norm": "batch"}, {"regularisers": {"r1": 10.0}}, "mixes images"),
        ({}, {"objective": "wasserstein"}, "unbounded"),
        ({"spectral_norm": True, "equalised_rate": True}, {}, "divides the weights' scale out"),
        ({"minibatch_deviation": True}, {}, "only `backbone: progressive` has it"),
        ({}, {"generator": {"width": 8, "pixel_norm": True}}, "only `backbone: progressive` has it"),
        ({"scales": 2}, {"backbone": "progressive"}, "one side at a time"),
        ({}, {"augment": ["color"], "regularisers": {"feature_matching": 1.0}}, "not augmented"),
        ({}, {"condition": "class", "generator": {"width": 8, "norm": "none"}}, r"say generator\.norm: batch"),
    ],
)
def test_refused(discriminator, changes, reason):
    with pytest.raises(ValidationError, match=reason) as error:
        variant(discriminator, **changes)
    assert "\n" not in error.value.errors()[0]["msg"]


@pytest.mark.parametrize("changes", [{"objective": "wasserstein"}, {"regularisers": {"r1": 1.0}}])
def test_accepted_beside_spectral_norm(changes):
    variant({"spectral_norm": True}, **changes)


BODY = """
repro: []
datasets: {{digits: {{kind: mnist5k, resolution: 28}}}}
variants:
  v:
    backbone: {backbone}
    generator: {{width: 8}}
    discriminator: {{width: 8, {discriminator}}}
    objective: hinge
    optimizer: {{lr_g: 1.0e-4, betas: [0.0, 0.9]}}
suites:
  s:
    dataset: digits
    variants: [v]
    baseline: v
    seeds: 1
    training: {{steps: 1, batch_size: 2, ema: {{decay: 0.9}}, snapshots: 1}}
    evaluation: {{extractor: classifier, split: train, samples: 128, curve_samples: 128}}
"""


@pytest.mark.parametrize(
    ("backbone", "discriminator", "message"),
    [
        ("faces", "", "makes images of 64 pixels"),
        ("dcgan", "scales: 2", "would see 14 pixels"),
        ("dcgan", "attention_at: [7]", "say `attention: unpooled`"),
        ("dcgan", "attention_at: [28]", "has feature maps of 7, 14"),
        ("dcgan", "attention_at: [7], attention: unpooled", None),
        ("sngan", "attention_at: [28]", None),
    ],
)
def test_what_a_backbone_cannot_do_with_a_suites_images(refused, backbone, discriminator, message):
    told = refused(BODY.format(backbone=backbone, discriminator=discriminator))
    assert message in told if message else told == ""


@pytest.mark.parametrize(
    ("training", "penalty", "reason"),
    [
        ("compile: true", "r1", "no gradients of gradients"),
        ("compile: true", "r2", "no gradients of gradients"),
        ("accumulate: 3", "r1", "must divide training.batch_size = 8"),
        ("accumulate: 2", "feature_matching", "say accumulate: 1"),
    ],
)
@pytest.mark.parametrize("place", ["suites.s", "variants.v"])
def test_a_training_that_cannot_be_carried_out_is_named_where_it_is_said(refused, training, penalty, reason, place):
    body = BODY.format(backbone="dcgan", discriminator="norm: none").replace("batch_size: 2", "batch_size: 8")
    body = body.replace("    objective: hinge", f"    objective: hinge\n    regularisers: {{{penalty}: 1.0}}")
    if place == "suites.s":
        told = refused(body.replace("snapshots: 1", f"snapshots: 1, {training}"))
    else:
        told = refused(body.replace("hinge", f"hinge\n    training: {{{training}}}"))
    assert told.startswith(f"{place}.training.") and reason in told


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "variant 'v' is the baseline, and says ranked: false"),
        ({"[v]": "[v, w]", "baseline: v": "baseline: w"}, None),
        (
            {"[v]": "[g, w]", "baseline: v": "baseline: w", "seeds: 1": "seeds: 1\n    questions: [m]"},
            "variant 'g-plain' is a cell of a grid that is asked about",
        ),
    ],
)
def test_nothing_is_compared_with_what_is_never_ranked(refused, changes, reason):
    grid = "  g: {like: v, grid: {m: {plain: {}, r1: {regularisers: {r1: 1.0}}}}}\n"
    body = BODY.format(backbone="dcgan", discriminator="norm: none")
    body = body.replace("suites:", f"  w: {{like: v, objective: least-squares, ranked: true}}\n{grid}suites:")
    body = body.replace("    objective: hinge", "    objective: hinge\n    ranked: false", 1)
    for old, new in changes.items():
        assert old in body, old
        body = body.replace(old, new)
    told = refused(body)
    assert reason in told if reason else told == ""
