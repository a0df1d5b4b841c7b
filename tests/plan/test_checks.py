"""What is known before training: own code that replaces a factor, and data that cannot give what is asked for."""

import pytest

from sagan.errors import UserError
from sagan.params.loading import load_params
from sagan.plan import Plan, check_own_networks, make_plan
from tests import varied
from tests.made_up import small_suite, write_manifest

VARIANTS = """
  mine: {like: sagan, extension: {file: extensions/mine.py}}
  other: {like: sagan, extension: {file: extensions/other.py}}
  loss: {like: mine, grid: {loss: {hinge: {}, lsgan: {objective: least-squares}}}}
  eps: {like: mine, grid: {eps: {a: {}, b: {discriminator: {norm_eps: 0.001}}}}}
  start: {like: mine, grid: {start: {n: {}, x: {init: xavier, backbone: sngan}}}}
"""
LOSS = "def {}(logits_real, logits_fake, options):\n    return logits_fake.mean()\n"
NETWORK = "def build_{}(image, switches, options):\n    return None\n"
BOTH = LOSS.format("generator_loss") + LOSS.format("discriminator_loss")


@pytest.fixture
def plan(paths):
    def planned(variants, mine=BOTH, other=BOTH, extractor="classifier", kind="classes", train=4000):
        (paths.root / "extensions").mkdir(exist_ok=True)
        (paths.root / "extensions/mine.py").write_text(mine)
        (paths.root / "extensions/other.py").write_text(other)
        paths.params.write_text(small_suite(VARIANTS, variants, extractor))
        write_manifest(paths, "strokes", train, labels={"kind": kind, "names": ["a", "b"]})
        return make_plan(load_params(paths.params), paths)

    return planned


@pytest.mark.parametrize(
    ("variants", "code", "reason"),
    [
        ("sagan, loss", BOTH, "'loss-hinge' and 'loss-lsgan' are one recipe, since objective counts for nothing"),
        (
            "sagan, start",
            NETWORK.format("generator") + NETWORK.format("discriminator"),
            "'start-n' and 'start-x' are one recipe, since .*init count for nothing",
        ),
        ("sagan, eps", NETWORK.format("generator"), "'eps-a' and 'eps-b' are one recipe, since"),
        ("sagan, mine, other", BOTH, "'mine' and 'other' are one recipe, since extension.file counts"),
    ],
)
def test_what_own_code_replaces_is_not_varied_beside_it(plan, variants, code, reason):
    with pytest.raises(UserError, match=reason) as told:
        plan(variants, code)
    assert "\n" not in str(told.value)


def test_what_own_code_leaves_in_use_may_be_varied_beside_it(plan):
    plan("sagan, loss", LOSS.format("generator_loss"))
    plan("sagan, start", NETWORK.format("generator"))
    plan("sagan, eps", NETWORK.format("discriminator"))
    plan("sagan, mine, other", BOTH, BOTH.replace("mean", "sum"))
    plan("sagan, mine")


def test_a_classifier_wants_classes(plan):
    with pytest.raises(UserError, match=r"evaluation\.extractor = 'classifier': dataset 'strokes' has no classes"):
        plan("sagan", kind="attributes")
    plan("sagan")


@pytest.mark.parametrize(
    ("images", "space", "least"),
    [(5, "random", 128), (89, "classifier", 128), (127, "classifier", 128), (2047, "inception", 2048)],
)
def test_fid_wants_as_many_real_images_as_features(plan, inception, images, space, least):
    few = rf"evaluation\.split = 'train': dataset 'strokes' has {images} .* needs {least}"
    with pytest.raises(UserError, match=few):
        plan("sagan", extractor=space, train=images)
    plan("sagan", extractor=space, train=least)


GENERATOR = "from torch import nn\n\n\ndef build_generator(image, switches, options):\n    return nn.Linear(128, {})\n"


def test_shapes_of_own_networks_are_held_to_the_plan(plan, paths):
    made = plan("sagan, mine", GENERATOR.format(5))
    with pytest.raises(
        UserError, match=r"variants\.mine\.extension\.file = .*must give \[2, 1, 28, 28\], and gave \[2, 5\]"
    ):
        check_own_networks(made, paths)
    image = "nn.Sequential(nn.Linear(128, 784), nn.Unflatten(1, (1, 28, 28)))"
    check_own_networks(plan("sagan, mine", GENERATOR.replace("nn.Linear(128, {})", image)), paths)
    run = next(run for run in made.runs.values() if run.variant == "mine")
    with pytest.raises(UserError, match=r"must give \[2, 1, 32, 32\], and gave \[2, 1, 28, 28\]"):
        check_own_networks(Plan({"other": varied(run, image={"resolution": 32}), "run": run}, {}, {}, {}), paths)


def test_attention_of_an_own_network_is_named_by_its_side(plan, paths):
    image = "a=nn.Linear(128, 784), b=nn.Unflatten(1, (1, 28, 28)), {}=SelfAttention(1, lambda x: x, 'full-value')"
    code = GENERATOR.replace("nn.Linear(128, {})", f"nn.Sequential(OrderedDict({image}))")
    code = f"from collections import OrderedDict\nfrom sagan.nn.attention import SelfAttention\n{code}"
    check_own_networks(plan("sagan, mine", code.format("attention28")), paths)
    with pytest.raises(UserError, match="name its SelfAttention 'attend' by the side of its feature map"):
        check_own_networks(plan("sagan, mine", code.format("attend")), paths)
