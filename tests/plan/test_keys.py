"""Keys move for what a result uses, and for nothing else. docs/keys.md tells users of it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sagan.code import fingerprint
from sagan.code.extensions import read_sources
from sagan.code.fingerprint import PACKAGE, RUN, code_of, extension_code
from sagan.params.run import RunConfig
from sagan.store.weights import PUBLISHED
from tests import edit
from tests.tracing import assert_harmless, definitions_of, executed
from tests.variants import VARIANTS, config_of, session, weights

ROOT = PACKAGE.parent


def code(config: RunConfig, package: Path = PACKAGE) -> str:
    return code_of(*RUN, tokens=config.tokens(), package=package)


# --- frozen --------------------------------------------------------------------------------------

FROZEN = Path(__file__).parent / "keys.json"


def present_codes() -> dict[str, str]:
    """The first digits of the code's hash of every variant, reference and evaluation."""
    found = {f"run {name}": code(config_of(name)) for name in VARIANTS}
    for extractor in ("digits", "classifier", "inception"):
        found[f"reference {extractor}"] = code_of(*fingerprint.REFERENCE, tokens=[extractor])
        found[f"evaluation {extractor}"] = code_of(*fingerprint.EVALUATION, tokens=[extractor])
    return {name: value[:10] for name, value in found.items()}


def test_no_code_that_committed_results_were_made_with_has_moved():
    """A moved hash trains or measures anew. Meant? Then write the file anew, and say so in CHANGELOG.md.

    python -m tests.plan.test_keys
    """
    frozen, present = json.loads(FROZEN.read_text()), present_codes()
    assert {name: present.get(name) for name in frozen} == frozen


# --- sound: what executes is in the key -----------------------------------------------------------


def missed(config: RunConfig, work) -> set[tuple[str, str]]:
    """What some work executes that is in no key and not harmless."""
    left = executed(work) - definitions_of(*RUN, tokens=config.tokens()) - fingerprint.HARMLESS
    # What pydantic calls to check a configuration stands behind RunConfig.
    return {(module, what) for module, what in left if what != "<lambda>" and not module.startswith("sagan.params")}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_function_that_a_run_executes_is_in_its_key_or_harmless(name):
    config = config_of(name)
    assert missed(config, lambda: weights(config)) == set()


def test_a_resumed_run_executes_nothing_else():
    config = config_of("sagan", steps=3)

    def work():
        first = session(config)
        next(first.steps())
        second = session(config)
        second.load_state({k: v.clone() for k, v in first.state().items()}, first.done)
        for _ in second.steps():
            pass

    assert missed(config, work) == set()


def test_what_is_harmless_is_there():
    base = fingerprint.code_base(PACKAGE)
    for module, name in fingerprint.HARMLESS:
        base.definition(module, name)


def test_a_users_helper_of_a_harmless_name_counts(tmp_path):
    """Harmless is what the package has under that name, in that module, and nothing else."""
    file, tried = tmp_path / "mine.py", 0
    for name in sorted({name for _, name in fingerprint.HARMLESS}):
        codes = set()
        for operator in "+-":
            helper = f"def {name}(x):\n    return x {operator} 1\n"
            file.write_text(f"{helper}\n\ndef penalty(critic, real, fake, options):\n    return {name}(real)\n")
            codes.add(extension_code(read_sources(file)))
        assert len(codes) == 2, name
        tried += 1
    assert tried > 20


def test_altering_what_is_harmless_changes_no_byte(monkeypatch):
    def trained(seed=0):
        found = weights(config_of("sagan", seed=seed))
        return {name: value.detach().numpy().tobytes() for name, value in found.items()}

    assert_harmless(trained, monkeypatch)
    assert trained(seed=1) != trained(), "the comparison sees a change"


# --- exact: edits move the keys that use them, and no others -----------------------------------------


MOVING = ("dcgan", "sngan", "sagan", "sagan-no-attention", "sagan-residual", "sagan-resnet", "biggan-small", "wgan-gp",
          "dcgan-r1", "sagan-diffaugment", "lsgan", "sagan-conditional",
          "sngan-feature-matching")  # fmt: skip


def moved(package: Path) -> set[str]:
    """The variants whose code is another in a copy of the package."""
    fingerprint.code_base.cache_clear()
    configs = {name: config_of(name) for name in MOVING}
    return {name for name, config in configs.items() if code(config, package) != code(config)}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("training/ema.py", '"""Take in', '"""Take over'),
        ("training/ema.py", "1.0 - self.decay", "(1.0   -   self.decay)"),
        ("training/step.py", "def step(self, step: int, real: RealBatches,", "def step(self, step, real,"),
        ("nn/dcgan.py", "from torch import nn\n", "import math\n\nfrom torch import nn\n"),
        ("training/turns.py", "stopped at step", "left off at step"),
        ("training/turns.py", "out of GPU memory with", "no GPU memory left with"),
        ("generators/sampling.py", "count: int = 64", "count: int = 65"),
        ("store/git.py", "timeout=30", "timeout=31"),
        ("training/log.py", 'round(seconds["wall"]', 'round(1 * seconds["wall"]'),
    ],
)
def test_wording_layout_and_book_keeping_move_nothing(package, name, old, new):
    edit(package / name, old, new)
    assert moved(package) == set()


def test_the_arguments_of_raise_print_and_warn_move_nothing(package):
    told = "if count < 0:\n            raise ValueError(f'{count} images')\n        print('one', count)\n"
    edit(package / "training/batches.py", "count = len(self.images)\n", f"count = len(self.images)\n        {told}")
    other = shutil.copytree(package, package.parent / "other" / "sagan")
    edit(other / "training/batches.py", "f'{count} images'", "'fewer than none', count")
    edit(other / "training/batches.py", "print('one', count)", "print('two')")
    assert moved(package) == set(MOVING)
    config = config_of("dcgan")
    assert code(config, package) == code(config, other)


def test_what_is_added_and_not_used_moves_nothing(package):
    (package / "nn" / "stylegan.py").write_text("def generator(z):\n    return 2 * z\n")
    edit(package / "nn/__init__.py", "BACKBONES: Table[str, Backbone] = {",
         'BACKBONES: Table[str, Backbone] = {\n    "stylegan": Backbone(stylegan.generator, None),')  # fmt: skip
    edit(package / "nn/__init__.py", "resnet, sngan\n", "resnet, sngan, stylegan\n")
    edit(package / "shapes.py", '"faces": {64: 8},', '"faces": {64: 8},\n    "stylegan": {64: 4},')
    edit(
        package / "objectives.py", "OBJECTIVES: Table", "def new_d(real, fake):\n    return real\n\n\nOBJECTIVES: Table"
    )
    edit(package / "objectives.py", '    "minimax": ', '    "new": Objective(new_d, hinge_g),\n    "minimax": ')
    edit(package / "objectives.py", '    "r1": ', '    "r3": Penalty(r1_penalty, at_fake=True),\n    "r1": ')
    edit(package / "nn/init.py", '    "orthogonal": ', '    "zeros": (_ones, _ones),\n    "orthogonal": ')
    edit(package / "params/variants.py", "    z_dim: ", "    style_mixing: bool = False\n    z_dim: ")
    edit(package / "data/__init__.py", '    "celeba": ', '    "ffhq": locate_folder,\n    "celeba": ')
    assert moved(package) == set()


def test_a_module_that_moves_moves_nothing(package):
    (package / "layers").mkdir()
    (package / "nn" / "attention.py").rename(package / "layers" / "self_attention.py")
    (package / "layers" / "__init__.py").touch()
    for file in package.rglob("*.py"):
        file.write_text(file.read_text().replace("sagan.nn.attention", "sagan.layers.self_attention"))
    (package / "nn" / "dcgan.py").rename(package / "nn" / "plain.py")
    edit(package / "nn/__init__.py", "import biggan, dcgan,", "import biggan, plain as dcgan,")
    edit(package / "nn/sngan.py", "sagan.nn.dcgan", "sagan.nn.plain")
    assert moved(package) == set()


@pytest.mark.parametrize(
    ("name", "old", "new", "who"),
    [
        ("nn/attention.py", "x_BCHW + F.conv2d(o_BVHW", "x_BCHW - F.conv2d(o_BVHW",
         {"sagan", "sagan-resnet", "biggan-small", "sagan-diffaugment", "sagan-conditional"}),
        ("nn/attention.py", "x_BCHW + self.conv2", "x_BCHW - self.conv2", {"sagan-residual"}),
        ("nn/spectral.py", "weight / self.sigma(weight)", "weight * self.sigma(weight)",
         set(MOVING) - {"dcgan", "wgan-gp", "dcgan-r1", "lsgan"}),
        ("nn/biggan.py", "self.image(h)", "-self.image(h)", {"biggan-small"}),
        ("nn/resnet.py", "upsampled(self.shortcut(x_BCHW))", "-upsampled(self.shortcut(x_BCHW))",
         {"sagan-resnet", "biggan-small"}),
        ("objectives.py", "F.relu(1 - real)", "F.relu(1 + real)",
         set(MOVING) - {"dcgan", "wgan-gp", "dcgan-r1", "lsgan"}),
        ("objectives.py", ".norm(dim=1) - 1)", ".norm(dim=1) - 2)", {"wgan-gp"}),
        ("objectives.py", "judged.real).square()", "judged.real).abs()", {"dcgan-r1"}),
        ("objectives.py", "(real - 1).square()", "(real - 2).square()", {"lsgan"}),
        ("training/augment.py", "(2 * saturation)", "(3 * saturation)", {"sagan-diffaugment"}),
        ("nn/reparametrised.py", "total + products", "total - products", {"biggan-small"}),
        ("training/matching.py", "wanted - _mean(", "wanted + _mean(", {"sngan-feature-matching"}),
        ("nn/init.py", "nn.init.orthogonal_(weight)", "nn.init.orthogonal_(weight, 2)", {"biggan-small"}),
        ("training/ema.py", "1.0 - self.decay", "1.1 - self.decay", set(MOVING)),
        ("training/batches.py", "div_(127.5)", "div_(128.0)", set(MOVING)),
        ("training/engine.py", "_STANDING_BATCH_SIZE = 128", "_STANDING_BATCH_SIZE = 64", set(MOVING)),
        ("training/step.py", "optimizer.lr_g * optimizer.lr_ratio", "optimizer.lr_g / optimizer.lr_ratio", set(MOVING)),
        ("shapes.py", '"dcgan": _FOUR', '"dcgan": {28: 14}', set(MOVING) - {"sagan-resnet", "biggan-small"}),
    ],
)  # fmt: skip
def test_arithmetic_moves_those_that_use_it(package, name, old, new, who):
    edit(package / name, old, new)
    assert moved(package) == who


def test_another_function_of_the_same_name_moves(package):
    """A name stands for its definition: of two `generator`s the one that is used counts."""
    edit(package / "nn/__init__.py", '"dcgan": Backbone(dcgan.generator', '"dcgan": Backbone(resnet.generator')
    assert {"dcgan", "sagan"} <= moved(package)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_python_gives_the_same(version):
    """A run trained on a machine with another Python keeps its key."""
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no Python {version} on this machine")
    config = config_of("sagan")
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from sagan.code import fingerprint as f;"
        "print(f.code_of(*f.RUN, tokens=json.loads(sys.argv[2])))"
    )
    tokens = json.dumps(sorted(config.tokens(), key=str))
    command = [python, "-c", program, str(ROOT), tokens]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == code(config)


# --- DVC knows of it --------------------------------------------------------------------------------


def _dependencies(stage: str) -> list[str]:
    return YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"][stage]["deps"]


def test_what_keys_depend_on_are_dependencies_of_the_stage_that_makes_results():
    used = set()
    for name in VARIANTS:
        used |= definitions_of(*RUN, tokens=config_of(name).tokens())
    for extractor in PUBLISHED | {"classifier": None}:
        used |= definitions_of(*fingerprint.REFERENCE, tokens=[extractor])
        used |= definitions_of(*fingerprint.EVALUATION, tokens=[extractor])
    dependencies = [ROOT / place for place in _dependencies("runs")]
    files = {ROOT / (module.replace(".", "/") + ".py") for module, _ in used}
    files = {file if file.exists() else file.with_suffix("") / "__init__.py" for file in files}
    assert len(files) > 20 and all(file.exists() for file in files)
    assert {str(f) for f in files if not any(d == f or d in f.parents for d in dependencies)} == set()


def test_what_pages_are_made_of_and_own_code_are_dependencies_of_the_report():
    places = [place.removesuffix(".py").replace("/", ".") for place in _dependencies("report")]
    text = "".join(file.read_text() for room in ("analysis", "report") for file in (PACKAGE / room).glob("*.py"))
    used = set(re.findall(r"^ *from (sagan\.[.\w]+) import", text, re.MULTILINE)) - {"sagan.errors"}
    assert {name for name in used if not any(f"{name}.".startswith(f"{place}.") for place in places)} == set()
    assert "extensions" in _dependencies("runs") and "extensions" in places


# --- own code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "module", "old", "new"),
    [
        (
            "from sagan.nn.attention import SelfAttention\n\n\ndef build_discriminator(image, switches, options):\n"
            "    return SelfAttention(8, lambda x: x)\n",
            *("nn/attention.py", "x_BCHW + self.gamma * o", "x_BCHW - self.gamma * o"),
        ),
        (  # an entry of a table
            "from sagan.objectives import OBJECTIVES\n\n\ndef generator_loss(real, fake, options):\n"
            '    return OBJECTIVES["hinge"].generator(real, fake)\n',
            *("objectives.py", "return -fake.mean()", "return -2 * fake.mean()"),
        ),
    ],
)
def test_own_code_counts_with_what_it_uses_of_the_package(tmp_path, package, code, module, old, new):
    file = tmp_path / "mine.py"
    file.write_text(code)
    before = extension_code(read_sources(file), package)
    edit(package / module, old, new)
    fingerprint.code_base.cache_clear()
    assert extension_code(read_sources(file), package) != before


def test_a_module_that_is_imported_for_what_it_does_counts(tmp_path):
    (tmp_path / "mine.py").write_text("import patch\n\n\ndef penalty(critic, real, fake, options):\n    return 0\n")
    codes = set()
    for value in (True, False):
        (tmp_path / "patch.py").write_text(f"import torch\n\ntorch.set_flush_denormal({value})\n")
        codes.add(extension_code(read_sources(tmp_path / "mine.py")))
    assert len(codes) == 2


if __name__ == "__main__":
    FROZEN.write_text(json.dumps(present_codes(), indent=1, sort_keys=True) + "\n")
