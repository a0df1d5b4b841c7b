"""What the pages show is what the program prints."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sagan.cli import app

PAGE = Path("docs/variants.md").read_text()
BLOCKS = re.findall(
    r"<summary><code>python -m sagan (describe [^<]*)</code></summary>\n\n(.*?)\n\n</details>", PAGE, re.S
)


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_the_tables_of_layers(command, shown):
    printed = CliRunner().invoke(app, command.split()).output
    assert printed.split("\n", 2)[2].strip() == shown


def test_there_are_tables_of_the_main_variants():
    assert {"dcgan", "sngan-resnet", "sagan", "sagan-resnet"} <= {command.split()[1] for command, _ in BLOCKS}


def test_the_readme_names_every_variant_of_params_yaml():
    from sagan.loading import load_params

    named = set(re.findall(r"`([a-z0-9-]+)`", Path("README.md").read_text()))
    assert {name for name in load_params().variants if not name.startswith("sagan-grid-")} <= named
