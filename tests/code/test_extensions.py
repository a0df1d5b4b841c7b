"""Own code as a variant: the examples, and what a finished run needs of it."""

import dataclasses
import py_compile
import shutil
import sys

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from sagan.cli import app, making
from sagan.code import extensions
from sagan.code.extensions import load_extension, read_sources
from sagan.code.fingerprint import PACKAGE
from sagan.errors import UserError
from sagan.generators import sampling
from sagan.generators.describing import describe_variant
from sagan.nn.files import load_discriminator, load_generator
from sagan.params.loading import load_params
from sagan.plan import Evaluation, Plan, Reference
from sagan.store.paths import Paths
from sagan.training.loop import Data, train
from tests import read_lines, varied
from tests.training.conftest import interrupted, weights

ROOT = PACKAGE.parent
EXAMPLES = {"relativistic": {"margin": 1.0}, "zero_centred": {"real": 10, "fake": 0}, "upsampling": {"kernel": 3}}
LOSS = "def generator_loss(logits_real, logits_fake, options):\n    return {}\n"
JUDGE = "from torch import nn\n\n\ndef build_discriminator(image, switches, options):\n    return {}\n"


def example(name: str, paths: Paths) -> str:
    shutil.copytree(ROOT / "extensions", paths.root / "extensions", dirs_exist_ok=True)
    return f"extensions/examples/{name}.py"


def first_steps(run, images, paths, count=3):
    train(run, Data(images), paths)
    return read_lines(paths.run(run.key) / "log.jsonl")[:count]


def drawn(folder, paths: Paths, trust: bool = False) -> torch.Tensor:
    generator = load_generator(folder, trust, paths)
    return generator(torch.ones(2, generator.z_dim))


# --- the examples ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_and_its_run_needs_no_more_than_its_folder(own_run, images, paths, name, tmp_path):
    run = own_run(example(name, paths), **EXAMPLES[name])
    record = train(run, Data(images), paths).content()
    assert record["status"] == "finished" and "extension/main.py" in record["files"]
    expected = drawn(paths.run(run.key), paths)
    shutil.rmtree(paths.root / "extensions")
    for place in ("", "generator.safetensors", "snapshots/000008.safetensors"):
        assert torch.equal(drawn(paths.run(run.key) / place, paths), expected)
    assert load_discriminator(paths.run(run.key), paths=paths)(expected).shape == (2,)
    assert sampling.samples(load_generator(paths.run(run.key), paths=paths), "grid", sampling.Draw(4)).shape[0] == 4


def test_the_relativistic_example_is_the_paper_s_formula(paths):
    module = load_extension(read_sources(ROOT / "extensions" / "examples" / "relativistic.py"))
    real, fake = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([0.3, 1.0, -4.0])
    over = [max(0, 1 - (float(r) - float(fake.mean()))) for r in real]
    under = [max(0, 1 + (float(f) - float(real.mean()))) for f in fake]
    assert float(module.discriminator_loss(real, fake, {})) == pytest.approx(np.mean(over) + np.mean(under))
    assert float(module.generator_loss(real, fake, {})) == float(module.discriminator_loss(fake, real, {}))


def test_the_regulariser_example_is_r1(own_run, images, paths):
    run = own_run(example("zero_centred", paths), real=10, fake=0)
    built_in = varied(dataclasses.replace(run, key="r1-s0-0123456789"), extension=None, regularisers={"r1": 10.0})
    own, expected = first_steps(run, images, paths), first_steps(built_in, images, paths)
    assert own[-1]["penalty_d"] > 0
    for name in ("loss_d", "loss_g", "penalty_d"):
        assert [line[name] for line in own] == pytest.approx([line[name] for line in expected], rel=1e-3)


def test_the_moments_example_is_its_formula_and_moves_the_generator_alone(own_run, images, paths):
    pytest.importorskip("timm")
    options = {"weight": 1e5, "network": "test_resnet", "pretrained": False}
    module = load_extension(read_sources(ROOT / "extensions" / "examples" / "moments.py"))
    real, fake = torch.randn(6, 1, 28, 28), torch.randn(6, 1, 28, 28, requires_grad=True)
    network = module._network("test_resnet", False, real.device)
    x, y = (network(side.expand(-1, 3, -1, -1)).detach().double().numpy() for side in (real, fake))
    expected = 1e5 * (((x.mean(0) - y.mean(0)) ** 2).sum() + ((x.var(0) - y.var(0)) ** 2).sum())
    found = module.generator_penalty(None, real, fake, options)
    assert float(found) == pytest.approx(expected, rel=1e-4) and torch.autograd.grad(found, fake)[0].abs().sum() > 0
    run = own_run(example("moments", paths), **options)
    without = varied(dataclasses.replace(run, key="plain-s0-0123456789"), extension=None)
    with_it, plain = first_steps(run, images, paths)[0], first_steps(without, images, paths)[0]
    assert with_it["loss_g"] > plain["loss_g"] and with_it["loss_d"] == plain["loss_d"]


def test_own_networks_are_found_from_a_folder_below_too(own_run, images, paths, plan, tmp_path, monkeypatch):
    file = example("upsampling", paths)
    run = own_run(file, kernel=3)
    train(run, Data(images), paths)
    plan(f"{{file: {file}, options: {{kernel: 3}}}}")
    monkeypatch.setattr("sagan.cli.showing.PATHS", paths)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for arguments in (["sample", run.key], ["export", run.key, "g.pt2"], ["describe", "mine", "--suite", "quick"]):
        assert CliRunner().invoke(app, arguments).exception is None, arguments
    assert (tmp_path / "below" / "g.pt2").exists()
    with pytest.raises(UserError, match="this generator has no attention layer"):
        CliRunner().invoke(app, ["attend", run.key], catch_exceptions=False)


def test_own_networks_are_described_and_the_other_stays(write, plan, paths, monkeypatch):
    layers = "nn.Linear(784, 8), nn.PReLU(), *[nn.Linear(8, 8)] * 2, nn.Linear(8, 1)"  # one of them twice
    write(JUDGE.format(f"nn.Sequential(nn.Flatten(), {layers}, nn.Flatten(0))"))
    plan()
    monkeypatch.chdir(paths.root)
    text = "\n".join(describe_variant(load_params(paths.params), "mine", "quick"))
    generator, discriminator = text.split("\ndiscriminator: ")
    assert "attention" in generator and discriminator.startswith("6,362 parameters") and "own.1" in discriminator


def test_a_run_with_own_code_goes_on_where_it_was_stopped(own_run, images, paths, tmp_path, monkeypatch):
    run = own_run(example("upsampling", paths), kernel=3)
    train(run, Data(images), paths)
    other = Paths(tmp_path / "other")
    shutil.copytree(paths.root / "extensions", other.root / "extensions")
    interrupted(run, images, other, monkeypatch, at=5)
    train(run, Data(images), other)
    assert weights(run, other) == weights(run, paths)


# --- code that came with a copied run ---------------------------------------------------------------


@pytest.fixture
def copied(own_run, images, paths, tmp_path, monkeypatch):
    """A finished run with own networks, copied to another workspace."""
    monkeypatch.setattr(extensions, "_said", set())  # what a test says to this process is forgotten after it
    run = own_run(example("upsampling", paths), kernel=3)
    train(run, Data(images), paths)
    other = Paths(tmp_path / "other")
    shutil.copytree(paths.run(run.key), other.run(run.key))
    return run, other


def test_copied_code_is_executed_only_when_it_is_trusted(copied, monkeypatch):
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


@pytest.mark.parametrize("whose", ["what this user ran", "the workspace's", "another's", "with the mark of an archive"])
def test_what_a_user_ran_in_any_clone_or_has_is_trusted_and_nothing_else(copied, monkeypatch, tmp_path, whose):
    run, other = copied
    main = other.run(run.key) / "extension" / "main.py"
    if whose != "what this user ran":
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
    if whose == "the workspace's":
        shutil.copytree(ROOT / "extensions", other.root / "extensions")
        main.write_text("# Another comment.\n" + main.read_text())
    if whose == "with the mark of an archive":
        for place in ("extensions", "trusted"):
            mark = other.root / "state" / place / extensions._digest(read_sources(main))
            mark.parent.mkdir(parents=True)
            mark.touch()
    if whose in ("what this user ran", "the workspace's"):
        assert torch.equal(drawn(other.run(run.key), other), drawn(other.run(run.key), other, trust=True))
    else:
        with pytest.raises(UserError, match="--trust"):
            load_generator(other.run(run.key), paths=other)


@pytest.mark.parametrize("settings", ["", "relative", "a file"])
def test_without_a_home_that_can_be_written_there_are_no_marks(monkeypatch, tmp_path, settings):
    """Nor any in the folder of work, where an archive could bring a folder `~` along."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine.py", "a file"):
        (tmp_path / name).write_text("print()")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / settings) if settings == "a file" else settings)
    monkeypatch.setenv("HOME", "~")
    extensions.keep_with_run(read_sources(tmp_path / "mine.py"), tmp_path / "run")
    assert not extensions.is_trusted(tmp_path / "run", Paths(tmp_path / "none"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "mine.py", "run"]


def test_evaluate_takes_a_word_of_trust(copied, monkeypatch):
    """The measuring itself is made up: it loads the network as measuring does."""
    run, other = copied
    monkeypatch.setenv("XDG_CONFIG_HOME", str(other.root))
    key = f"{run.key}.none"
    reference = Reference("none", "none", 28, "", "none", "train", 1, "", {})
    plan = Plan({}, {"none": reference}, {key: Evaluation(key, run.key, "none", {"threads": 1}, "", run.execution)}, {})
    monkeypatch.setattr(making, "PATHS", other)
    monkeypatch.setattr(making, "_plan", lambda *_: plan)
    monkeypatch.setattr("sagan.making.is_there", lambda spec, _: spec is reference)
    monkeypatch.setattr("sagan.making.check_code", lambda *_: None)

    def measured(*_):
        load_generator(other.run(run.key), paths=other)
        raise UserError("measured")

    monkeypatch.setattr("sagan.making.evaluate", measured)
    for more, told in (([], "--trust"), (["--trust"], "measured")):
        done = CliRunner().invoke(app, ["evaluate", key, *more])
        assert done.exit_code == 2 and told in done.stderr


def test_a_copied_run_with_an_own_loss_executes_nothing(own_run, write, images, paths, tmp_path):
    run = own_run(write("open('executed', 'w')\n" + LOSS.format("-logits_fake.mean()")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        train(run, Data(images), paths)
    (tmp_path / "executed").unlink()
    drawn(paths.run(run.key), Paths(tmp_path / "other"))
    assert not (tmp_path / "executed").exists()


def test_weights_without_their_code_say_what_is_missing(copied):
    run, other = copied
    shutil.rmtree(other.run(run.key) / "extension")
    with pytest.raises(UserError, match="copy the whole folder"):
        load_generator(other.run(run.key))


# --- what is executed is what was checked --------------------------------------------------------------


def test_exactly_the_bytes_that_were_read_are_executed(write, tmp_path, monkeypatch):
    """Neither what the files hold by now, nor compiled code or a package of a helper's name beside them."""
    text = "from helper import scale\n\n\ndef generator_loss(logits_real, logits_fake, options):\n    return scale\n"
    folder = (tmp_path / write(text)).parent
    write("scale = 1\n", "helper.py")
    write("scale = 2\n", "helper/__init__.py")
    sources = read_sources(folder / "mine.py")
    write("scale = 3\n", "helper.py")
    cached = folder / "__pycache__" / f"helper.{sys.implementation.cache_tag}.pyc"
    write("scale = 4\n", "other.py")
    py_compile.compile(
        str(folder / "other.py"), str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    before = list(sys.path)
    assert load_extension(sources).generator_loss(None, None, {}) == 1
    assert sys.path == before and not any("_FromMemory" in type(finder).__name__ for finder in sys.meta_path)


def test_a_run_whose_own_code_has_changed_since_it_was_planned_is_refused(own_run, write, images, paths):
    file = write(LOSS.format("-logits_fake.mean()"))
    run = own_run(file)
    write(LOSS.format("-9 * logits_fake.mean()"))
    with pytest.raises(UserError, match="the code has changed since the plan was made"):
        train(run, Data(images), paths)
    assert not paths.run(run.key).exists()
