"""Own code in files, and runs and plans that name them."""

import dataclasses

import pytest

from sagan.params.loading import load_params
from sagan.params.run import RunConfig
from sagan.plan import make_plan
from sagan.plan.making import run_code
from sagan.store.records import write_json
from tests.made_up import SAGAN

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
        code, _ = run_code(RunConfig.model_validate(config), paths, "extension.file")
        return dataclasses.replace(run, key="mine-s0-0123456789", variant="mine", config=config, code=code)

    return with_extension


@pytest.fixture
def plan(paths):
    def planned(extension: str = "{file: extensions/mine.py}"):
        paths.params.write_text(PARAMS.format(sagan=SAGAN, extension=extension))
        manifest = {"digest": "d" * 64, "channels": 1, "resolution": 28, "dataset": "strokes", "labels": None}
        write_json(paths.prepared("strokes", 28) / "manifest.json", manifest)
        return make_plan(load_params(paths.params), paths)

    return planned
