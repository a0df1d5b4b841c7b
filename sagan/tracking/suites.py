"""A suite in MLflow: the experiment's note, and one run that holds its report as tables and pictures."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from sagan.params import Params
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file
from sagan.store.records import digest, file_digest


def note(suite: str, params: Params) -> str:
    """Markdown above the table of runs, written once: afterwards it is the user's."""
    spec = params.suites[suite]
    return (
        f"**{spec.title or suite}** on {spec.dataset}, baseline `{spec.baseline}`; report: `reports/{suite}/README.md`"
        f", and as tables and pictures in the run `{suite}: report`.\n\n"
        "- Runs that `params.yaml` does not ask for any more stay; ``tags.`sagan.plan` = 'current'`` hides them.\n"
        "- Runs of a DVC experiment beside the workspace have its name in ``tags.`sagan.experiment` ``.\n"
        "- A diverged run is a result and therefore FINISHED; ``tags.`sagan.status` = 'diverged'`` finds it.\n"
    )


def send_suite(client: MlflowClient, experiment: str, suite: str, params: Params, paths: Paths) -> bool:
    """A run with the report's results and effects as tables, the lowest FID first, and its pictures.

    A report that was written anew takes the place of the former. Returns whether anything was sent.
    """
    folder = paths.report(suite)
    tables = {name: folder / f"{name}.csv" for name in ("results", "effects") if (folder / f"{name}.csv").exists()}
    if not tables:
        return False
    pictures = [path for path in sorted(folder.glob("figures/*")) if is_own_file(path, folder)]
    sent = digest([{path.name: file_digest(path) for path in [*tables.values(), *pictures]}, params.grids], 16)
    found = client.search_runs([experiment], f"tags.`sagan.report` = '{suite}'")
    if [run.data.tags.get("sagan.sent") for run in found] == [sent]:
        return False
    for run in found:
        client.delete_run(run.info.run_id)
    run_id = client.create_run(experiment, tags={"sagan.report": suite}, run_name=f"{suite}: report").info.run_id
    for name, path in tables.items():
        table = pd.read_csv(path)
        client.log_table(run_id, _by_fid(table, params) if name == "results" else table, f"{name}.json")
    with tempfile.TemporaryDirectory() as name:
        for path in pictures:
            shutil.copyfile(path, Path(name) / path.name)
        client.log_artifacts(run_id, name, "figures")
    client.set_terminated(run_id)
    client.set_tag(run_id, "sagan.sent", sent)
    return True


def _by_fid(results: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Variant, seed, the levels of the factors and FID first; the lowest FID on top."""
    for variants in params.grids.values():
        for factor in dict.fromkeys(factor for levels in variants.values() for factor in levels):
            if factor not in results and set(results["variant"]) <= variants.keys():
                results[factor] = [variants[variant][factor] for variant in results["variant"]]
    factors = [
        name for name in results if any(name in levels for grid in params.grids.values() for levels in grid.values())
    ]
    first = ["variant", "seed", *factors, "fid"]
    return results[[*first, *(name for name in results if name not in first)]].sort_values("fid")
