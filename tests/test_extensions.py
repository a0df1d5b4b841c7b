"""Own code as a variant: what is refused, what enters the key, and what a finished run needs of it."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sagan.code.extensions import OwnCodeError, load_extension
from sagan.code.fingerprint import PACKAGE
from sagan.errors import UserError
from sagan.generators import sampling
from sagan.generators.describing import describe_variant
from sagan.generators.exporting import export_generator
from sagan.nn.files import load_discriminator, load_generator
from sagan.params.loading import load_params
from sagan.params.run import RunConfig
from sagan.plan import check_code, make_plan
from sagan.plan.keys import run_code
from sagan.store.paths import Paths
from sagan.store.records import write_json
from sagan.training.log import RunLog
from sagan.training.loop import train
from tests import read_lines
from tests.made_up import SAGAN

ROOT = PACKAGE.parent
EXAMPLES = {
    "relativistic": {"margin": 1.0},
    "zero_centred": {"real": 10, "fake": 0},
    "upsampling": {"kernel": 3},
}
LOSS = "def generator_loss(logits_real, logits_fake, options):\n    return {}\n"
PENALTY = "def penalty(critic, real, fake, options):\n    return {}\n"
JUDGE = "from torch import nn\n\n\ndef build_discriminator(image, switches, options):\n    return {}\n"


@pytest.fixture
def write(paths):
    """Writes an extension; its path as params.yaml names it."""

    def written(text: str, name: str = "mine.py") -> str:
        file = paths.root / "extensions" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return f"extensions/{name}"

    return written


@pytest.fixture
def own_run(run, paths):
    """The tiny run with an extension."""

    def with_extension(file: str, **options: object):
        variant = {**run.config["variant"], "extension": {"file": file, "options": options}}
        config = {**run.config, "variant": variant}
        code = run_code(RunConfig.model_validate(config), paths, "extension.file")
        return dataclasses.replace(run, key="mine-s0-0123456789", variant="mine", config=config, code=code)

    return with_extension


def example(name: str, paths: Paths) -> str:
    shutil.copytree(ROOT / "extensions", paths.root / "extensions", dirs_exist_ok=True)
    return f"extensions/examples/{name}.py"


def first_steps(run, images, paths, count=3):
    train(run, images, paths)
    return read_lines(paths.run(run.key) / "log.jsonl")[:count]


def drawn(folder, paths: Paths, trust: bool = False) -> torch.Tensor:
    generator = load_generator(folder, trust, paths)
    return generator(torch.ones(2, generator.z_dim))


# --- the examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_and_its_run_needs_no_more_than_its_folder(own_run, images, paths, name, tmp_path):
    run = own_run(example(name, paths), **EXAMPLES[name])
    record = train(run, images, paths).content()
    assert record["status"] == "finished" and "extension/main.py" in record["files"]
    expected = drawn(paths.run(run.key), paths)
    shutil.rmtree(paths.root / "extensions")
    for place in ("", "generator.safetensors", "snapshots/000008.safetensors"):
        assert torch.equal(drawn(paths.run(run.key) / place, paths), expected)
    assert load_discriminator(paths.run(run.key), paths=paths)(expected).shape == (2,)
    assert sampling.samples(load_generator(paths.run(run.key), paths=paths), "grid", sampling.Draw(4)).shape[0] == 4


def test_the_relativistic_example_is_the_paper_s_formula(paths):
    module = load_extension(ROOT / "extensions" / "examples" / "relativistic.py")
    real, fake = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.3, 1.0, -4.0])
    over = [max(0, 1 - (float(r) - float(fake.mean()))) for r in real]
    under = [max(0, 1 + (float(f) - float(real.mean()))) for f in fake]
    assert float(module.discriminator_loss(real, fake, {})) == pytest.approx(np.mean(over) + np.mean(under))
    assert float(module.generator_loss(real, fake, {})) == float(module.discriminator_loss(fake, real, {}))


def test_the_regulariser_example_is_r1(own_run, images, paths):
    run = own_run(example("zero_centred", paths), real=10, fake=0)
    variant = {**run.config["variant"], "extension": None, "regularisers": {"r1": 10.0}}
    built_in = dataclasses.replace(run, key="r1-s0-0123456789", config={**run.config, "variant": variant})
    own, expected = first_steps(run, images, paths), first_steps(built_in, images, paths)
    assert own[-1]["penalty_d"] > 0
    for name in ("loss_d", "loss_g", "penalty_d"):
        assert [line[name] for line in own] == pytest.approx([line[name] for line in expected], rel=1e-3)


def test_own_networks_are_exported(own_run, images, paths, tmp_path, monkeypatch):
    run = own_run(example("upsampling", paths), kernel=3)
    train(run, images, paths)
    monkeypatch.chdir(paths.root)
    assert export_generator(paths.run(run.key), tmp_path / "generator.pt2") < 1e-4


def test_own_networks_are_described_and_the_other_stays(write, plan, paths, monkeypatch):
    write(JUDGE.format("nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))"))
    plan()
    monkeypatch.chdir(paths.root)
    text = "\n".join(describe_variant(load_params(paths.params), "mine", "quick", channels=1))
    generator, discriminator = text.split("\ndiscriminator: ")
    assert "attention" in generator and discriminator.startswith("785 parameters") and "own.1" in discriminator


def test_a_run_with_own_code_goes_on_where_it_was_stopped(own_run, images, paths, tmp_path, monkeypatch):
    run = own_run(example("upsampling", paths), kernel=3)
    train(run, images, paths)
    other, add = Paths(tmp_path / "other"), RunLog.add
    shutil.copytree(paths.root / "extensions", other.root / "extensions")

    def stopped(self, step, *arguments):
        if step == 5:
            raise KeyboardInterrupt
        add(self, step, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunLog, "add", stopped)
        train(run, images, other)
    train(run, images, other)
    file = "generator.safetensors"
    assert (other.run(run.key) / file).read_bytes() == (paths.run(run.key) / file).read_bytes()


# --- code that came with a copied run ---------------------------------------------------------------


@pytest.fixture
def copied(own_run, images, paths, tmp_path):
    """A finished run with own networks, copied to another workspace."""
    run = own_run(example("upsampling", paths), kernel=3)
    train(run, images, paths)
    other = Paths(tmp_path / "other")
    shutil.copytree(paths.run(run.key), other.run(run.key))
    return run, other


def test_copied_code_is_executed_only_when_it_is_trusted(copied, monkeypatch):
    from sagan.cli import app

    run, other = copied
    (other.run(run.key) / "extension" / "main.py").open("a").write("\nopen('executed', 'w')\n")
    monkeypatch.chdir(other.root)
    for load in (load_generator, load_discriminator):
        with pytest.raises(UserError, match=r"came with a copied run; .* --trust") as refused:
            load(other.run(run.key))
        assert "\n" not in str(refused.value)
    for verb in (["sample"], ["attend"], ["export"]):
        arguments = [*verb, run.key, *(["g.pt2"] if verb == ["export"] else [])]
        assert isinstance(CliRunner().invoke(app, arguments).exception, UserError)
    assert not (other.root / "executed").exists()
    assert CliRunner().invoke(app, ["sample", run.key, "--trust"]).exit_code == 0
    assert (other.root / "executed").exists()


def test_copied_code_that_the_workspace_has_is_its_own(copied):
    run, other = copied
    shutil.copytree(ROOT / "extensions", other.root / "extensions")
    assert torch.equal(drawn(other.run(run.key), other), drawn(other.run(run.key), other, trust=True))


def test_a_copied_run_with_an_own_loss_executes_nothing(own_run, write, images, paths, tmp_path):
    run = own_run(write("open('executed', 'w')\n" + LOSS.format("-logits_fake.mean()")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        train(run, images, paths)
    (tmp_path / "executed").unlink()
    drawn(paths.run(run.key), Paths(tmp_path / "other"))
    assert not (tmp_path / "executed").exists()


def test_weights_without_their_code_say_what_is_missing(copied):
    run, other = copied
    shutil.rmtree(other.run(run.key) / "extension")
    with pytest.raises(UserError, match="copy the whole folder"):
        load_generator(other.run(run.key))


# --- mistakes ---------------------------------------------------------------------------------------

PARAMS = """
repro: [quick]
datasets: {{strokes: {{kind: mnist, resolution: 28, source: nowhere}}}}
variants:
{sagan}
  mine: {{like: sagan, extension: {extension}}}
suites:
  quick:
    dataset: strokes
    variants: [sagan, mine]
    baseline: sagan
    seeds: 1
    training: {{steps: 6, batch_size: 8, ema: {{decay: 0.5, start: 1}}, snapshots: 2}}
    evaluation: {{extractor: classifier, split: train, samples: 600, curve_samples: 300}}
"""


@pytest.fixture
def plan(paths):
    def planned(extension: str = "{file: extensions/mine.py}"):
        paths.params.write_text(PARAMS.format(sagan=SAGAN, extension=extension))
        manifest = {"digest": "d" * 64, "channels": 1, "resolution": 28, "dataset": "strokes", "labels": None}
        write_json(paths.prepared("strokes", 28) / "manifest.json", manifest)
        return make_plan(load_params(paths.params), paths)

    return planned


MISTAKES = {
    "def penalty(critic, real, fake):\n    return 0\n": "line 1: penalty must take 4 arguments: critic, real, fake",
    "def penatly(critic, real, fake, options):\n    return 0\n": "line 1: penatly is nothing .* mean 'penalty'",
    "def loss(a, b):\n    return 0\n": "defines none of build_generator",
    "def penalty(critic, real fake, options):\n": "line 1: not Python: ",
    "from .helper import x\n" + PENALTY: "line 1: write `from module import name`, without dots",
    "from helper import *\n" + PENALTY: r"line 1: import names, not \*",
    "from sagan.nn.atention import SelfAttention\n" + PENALTY.format("SelfAttention"): "no module sagan.nn.atention",
    "from sagan.nn.attention import Attention\n" + PENALTY.format("Attention"): "sagan.nn.attention has no Attention",
    "import folder\n" + PENALTY: "line 1: folder is a folder; only modules beside mine.py",
    "import random\n" + PENALTY: "random.py cannot be imported under this name; rename it",
}


@pytest.mark.parametrize("text", MISTAKES, ids=[message[:24] for message in MISTAKES.values()])
def test_planning_refuses_what_reading_shows(write, plan, paths, text):
    write("x = 1\n", "helper.py")
    write("x = 1\n", "random.py")
    write("x = 1\n", "folder/__init__.py")
    write(text)
    with pytest.raises(UserError, match=rf"params.yaml: variants\.mine\.extension\.file = .*{MISTAKES[text]}") as told:
        plan()
    assert "\n" not in str(told.value)


def test_a_file_that_is_not_there(plan):
    with pytest.raises(UserError, match=r"variants\.mine\.extension\.file = .*no such file; .*`git add` it"):
        plan()


@pytest.mark.parametrize("file", ["/tmp/mine.py", "mine.py", "extensions/../mine.py", "extensions/mine.txt"])
def test_files_elsewhere_are_refused(plan, file):
    with pytest.raises(UserError, match=r"variants\.mine\.extension\.file = .*must be a Python file in the folder ext"):
        plan(f"{{file: {file}}}")


def test_own_networks_of_a_conditional_variant_are_refused(own_run, write, paths):
    run = own_run(write(JUDGE.format("nn.Flatten()")))
    config = {**run.config, "variant": {**run.config["variant"], "condition": "class"}}
    with pytest.raises(UserError, match="own networks are not told of classes"):
        run_code(RunConfig.model_validate(config), paths, "here")


def test_the_features_of_an_own_discriminator_cannot_be_matched(own_run, write, paths):
    run = own_run(write(JUDGE.format("nn.Flatten()")))
    config = {**run.config, "variant": {**run.config["variant"], "regularisers": {"feature_matching": 1.0}}}
    with pytest.raises(UserError, match=r"own discriminator .* say feature_matching: 0"):
        run_code(RunConfig.model_validate(config), paths, "here")


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
        train(run, images, paths)
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


@pytest.mark.parametrize("where", ["import", "loss", "forward"])
def test_an_exception_shows_the_user_s_own_lines_and_none_of_ours(own_run, write, images, paths, where):
    texts = {
        "import": "1 / 0\n" + PENALTY.format("0"),
        "loss": LOSS.format("1 / 0"),
        "forward": BROKEN_NETWORK,
    }
    run = own_run(write(texts[where]))
    with pytest.raises(OwnCodeError) as told:
        train(run, images, paths)
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
    write((ROOT / "extensions/examples/relativistic.py").read_text(), "other.py")
    assert keys() == before
    write("scale = 2\n", "helper.py")
    moved = keys()
    assert moved["mine"] != before["mine"] and moved["sagan"] == before["sagan"]
    write("scale = 1\n", "helper.py")
    assert keys("{file: extensions/mine.py, options: {alpha: 0.4}}")["mine"] not in (before["mine"], moved["mine"])
    write("import helper\n\n\n" + LOSS.format("-helper.scale * logits_fake.mean()"), "renamed.py")
    assert keys("{file: extensions/renamed.py, options: {alpha: 0.3}}") == before


def test_a_plan_of_other_own_code_is_not_carried_out(write, plan, paths):
    write(LOSS.format("-logits_fake.mean()"))
    run = next(run for run in plan().runs.values() if run.variant == "mine")
    check_code(run, paths)
    write(LOSS.format("-2 * logits_fake.mean()"))
    with pytest.raises(UserError, match="plan again"):
        check_code(run, paths)
