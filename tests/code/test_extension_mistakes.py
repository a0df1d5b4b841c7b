"""Own code that is refused, and what of own code enters the key."""

import pytest

from sagan.code.fingerprint import PACKAGE
from sagan.errors import UserError
from sagan.plan.making import run_code
from sagan.training.loop import Data, train
from tests import varied

LOSS = "def generator_loss(logits_real, logits_fake, options):\n    return {}\n"
PENALTY = "def penalty(critic, real, fake, options):\n    return {}\n"
JUDGE = "from torch import nn\n\n\ndef build_discriminator(image, switches, options):\n    return {}\n"


MISTAKES = {
    "def penalty(critic, real, fake):\n    return 0\n": "line 1: penalty must take 4 arguments: critic, real, fake",
    "def penatly(critic, real, fake, options):\n    return 0\n": "line 1: penatly is nothing .* mean 'penalty'",
    "def loss(a, b):\n    return 0\n": "defines none of build_generator",
    "def penalty(critic, real fake, options):\n": "line 1: not Python: ",
    "from .helper import x\n" + PENALTY: "line 1: write `from module import name`, without dots",
    "from helper import *\n" + PENALTY: r"line 1: import names, not \*",
    "from sagan.nn.atention import SelfAttention\n" + PENALTY.format("SelfAttention"): "no module sagan.nn.atention",
    "from sagan.nn.attention import Attention\n" + PENALTY.format("Attention"): "sagan.nn.attention has no Attention",
    "import folder\n" + PENALTY: "line 1: folder is no module beside mine.py, and only",
    "import above\n" + PENALTY: "line 1: above is no module beside mine.py, and only",
    "from extensions.helper import x\n" + PENALTY: "line 1: extensions is no module beside mine.py, and only",
    "def penalty(critic, real, fake, options):\n    import helper\n": "line 2: import helper at the top of the file",
    "import random\n" + PENALTY: "random.py cannot be imported under this name; rename it",
}


@pytest.mark.parametrize("text", MISTAKES, ids=[message[:24] for message in MISTAKES.values()])
def test_planning_refuses_what_reading_shows(write, plan, paths, text):
    write("x = 1\n", "helper.py")
    write("x = 1\n", "random.py")
    write("x = 1\n", "../above.py")
    write("x = 1\n", "folder/__init__.py")
    write(text)
    with pytest.raises(UserError, match=rf"params.yaml: variants\.mine\.extension\.file = .*{MISTAKES[text]}") as told:
        plan()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        *((f, "must be a Python file in") for f in ("/tmp/mine.py", "mine.py", "extensions/../mine.py")),
        ("extensions/mine.txt", "must be a Python file in the folder extensions/"),
        ("extensions/mine.py", "no such file; .*`git add` it"),
        # The key would be of the package's own code.
        *((f"extensions/{name}.py", "must not be named as the package") for name in ("sagan", "sagan.loss")),
    ],
)
def test_files_elsewhere_and_missing_ones_are_refused(plan, file, why):
    with pytest.raises(UserError, match=rf"variants\.mine\.extension\.file = .*{why}"):
        plan(f"{{file: {file}}}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"condition": "class"}, "own networks are not told of classes"),
        ({"regularisers": {"feature_matching": 1.0}}, r"own discriminator .* say feature_matching: 0"),
    ],
)
def test_what_own_networks_cannot_serve_is_refused(own_run, write, paths, settings, message):
    run = varied(own_run(write(JUDGE.format("nn.Flatten()"))), **settings)
    with pytest.raises(UserError, match=message):
        run_code(run.typed, paths, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            JUDGE.format("nn.Conv2d(1, 1, 3)"),
            r"build_discriminator: of inputs \[2, 1, 28, 28\] .* and gave \[2, 1, 26, 26\]",
        ),
        (JUDGE.format("nn.Sequential(nn.Flatten(), nn.Linear(784, 1))"), r"must give \[2\], and gave \[2, 1\]"),
        (JUDGE.format("None"), "must return a torch.nn.Module, and gave NoneType"),
        (JUDGE.format("nn.Sequential(nn.Flatten(), nn.AvgPool1d(784), nn.Flatten(0))"), "no parameters to train"),
        (
            JUDGE.format(
                "nn.Sequential(nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(784, 1)), nn.Flatten(0))"
            ),
            "cannot be saved in plain weights; .*with_spectral_norm",
        ),
        (LOSS.format("-logits_fake"), r"generator_loss: must return a scalar tensor, and gave shape \[4\]"),
        (PENALTY.format("0.0"), "penalty: must return a scalar tensor, and gave float"),
    ],
)
def test_training_refuses_at_its_start_what_only_running_shows(own_run, write, images, paths, text, message):
    run = own_run(write(text))
    with pytest.raises(UserError, match=message) as told:
        train(run, Data(images), paths)
    assert str(told.value).startswith(f"{paths.params}: variants.mine.extension.file = ")
    assert "\n" not in str(told.value)


BROKEN_NETWORK = """
from torch import nn


class Judge(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, images):
        return 1 / 0


def build_discriminator(image, switches, options):
    return Judge()
"""


@pytest.mark.parametrize("text", ["1 / 0\n" + PENALTY.format("0"), LOSS.format("1 / 0"), BROKEN_NETWORK])
def test_an_exception_shows_the_user_s_own_lines_and_none_of_ours(own_run, write, images, paths, text):
    run = own_run(write(text))
    with pytest.raises(UserError) as told:
        train(run, Data(images), paths)
    lines = str(told.value).splitlines()
    assert lines[-1] == "ZeroDivisionError: division by zero" and "1 / 0" in str(told.value)
    files = [line for line in lines if line.strip().startswith("File")]
    assert len(files) == 1 and "extensions/mine.py" in files[0]


# --- keys -------------------------------------------------------------------------------------------


def test_the_key_holds_the_code_and_the_options_and_no_name_of_a_file(write, plan):
    def keys(extension="{file: extensions/mine.py, options: {alpha: 0.3}}"):
        return {run.variant: run.key.rpartition("-")[2] for run in plan(extension).runs.values()}

    write("import helper\n\n\n" + LOSS.format("-helper.scale * logits_fake.mean()"))
    write("scale = 1\n", "helper.py")
    before = keys()
    write("import helper  # a comment\n\n\n" + LOSS.format("-helper.scale   *  logits_fake.mean()"))
    write((PACKAGE.parent / "extensions/examples/relativistic.py").read_text(), "other.py")
    assert keys() == before
    write("scale = 2\n", "helper.py")
    moved = keys()
    assert moved["mine"] != before["mine"] and moved["sagan"] == before["sagan"]
    write("scale = 1\n", "helper.py")
    assert keys("{file: extensions/mine.py, options: {alpha: 0.4}}")["mine"] not in (before["mine"], moved["mine"])
    write("import helper\n\n\n" + LOSS.format("-helper.scale * logits_fake.mean()"), "renamed.py")
    assert keys("{file: extensions/renamed.py, options: {alpha: 0.3}}") == before
