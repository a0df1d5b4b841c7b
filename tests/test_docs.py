"""What the pages show is what the program prints."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from sagan.cli import app
from sagan.params.loading import load_params

PAGE = Path("docs/variants.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"<summary><code>python -m sagan (describe [^<]*)</code></summary>\n\n(.*?)\n\n</details>", PAGE, re.S
)


@pytest.mark.parametrize(("command", "shown"), BLOCKS, ids=[command for command, _ in BLOCKS])
def test_the_tables_of_layers(command, shown):
    printed = CliRunner().invoke(app, command.split()).output
    assert printed.split("\n", 2)[2].strip() == shown


def test_sagan_is_the_example_of_a_table_of_layers():
    assert [command for command, _ in BLOCKS] == ["describe sagan --resolution 64"]


def test_the_variants_that_the_readme_writes_run_in_the_quick_suite(tmp_path):
    yaml, wanted = YAML(), {}
    params = yaml.load(Path("params.yaml"))
    for block in re.findall(r"```yaml\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.S):
        wanted |= yaml.load(block).get("variants", {})
    assert wanted
    params["variants"].update(wanted)
    params["suites"]["quick"]["variants"].extend(wanted)
    yaml.dump(params, tmp_path / "params.yaml")
    assert wanted.keys() <= set(load_params(tmp_path / "params.yaml").suites["quick"].variants)


def test_the_readme_names_every_variant_of_params_yaml():
    named = set(re.findall(r"`([a-z0-9-]+)`", Path("README.md").read_text(encoding="utf-8")))
    assert set(YAML().load(Path("params.yaml"))["variants"]) <= named


def test_values_that_the_pages_set_for_an_experiment_are_spelled_out_or_added():
    pages = (Path(name).read_text(encoding="utf-8") for name in ("README.md", "docs/running.md"))
    for plus, path in re.findall(r"exp run .*-S '?([+]?)([a-z][\w.-]+)=", "\n".join(pages)):
        node = YAML().load(Path("params.yaml"))
        *above, last = path.split(".")
        for key in above:
            node = node[key]
        assert (last in node) != bool(plus), path
