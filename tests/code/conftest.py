"""Own code in files, and runs and plans that name them."""

import dataclasses

import pytest

from sagan.params.loading import load_params
from sagan.plan import make_plan
from sagan.plan.making import run_code
from tests import varied
from tests.made_up import small_suite, write_manifest


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
        own = varied(run, extension={"file": file, "options": options})
        code, _ = run_code(own.typed, paths, "extension.file")
        return dataclasses.replace(own, key="mine-s0-0123456789", variant="mine", code=code)

    return with_extension


@pytest.fixture
def plan(paths):
    def planned(extension: str = "{file: extensions/mine.py}"):
        mine = f"  mine: {{like: sagan, extension: {extension}}}"
        paths.params.write_text(small_suite(mine, "sagan, mine"))
        write_manifest(paths, "strokes")
        return make_plan(load_params(paths.params), paths)

    return planned
