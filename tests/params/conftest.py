"""params.yaml, written and loaded."""

import pytest
from ruamel.yaml import YAML

from sagan.errors import UserError
from sagan.params.loading import load_params


@pytest.fixture
def load(tmp_path):
    """Loads a text or a tree as params.yaml."""

    def loaded(content: str | dict):
        path = tmp_path / "params.yaml"
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            yaml = YAML(typ="safe", pure=True)
            yaml.sort_base_mapping_type_on_output = False
            with path.open("w") as file:
                yaml.dump(content, file)
        return load_params(path)

    return loaded


@pytest.fixture
def refused(load, tmp_path):
    """The one line with which a params.yaml is refused, behind the file's name; nothing where it is accepted."""

    def told(content: str | dict) -> str:
        try:
            load(content)
        except UserError as error:
            assert "\n" not in str(error) and str(error).startswith(f"{tmp_path / 'params.yaml'}: ")
            return str(error).removeprefix(f"{tmp_path / 'params.yaml'}: ")
        return ""

    return told
