"""A suite in MLflow: its experiment, which of its runs are planned, and a run that holds its report."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from sagan.params import Params
from sagan.plan import Cell
from sagan.store.paths import Paths
from sagan.store.reading import is_own_file
from sagan.store.records import digest, file_digest
from sagan.tracking.connection import is_database, mlflow_folder

# Whether the workspace's plan holds a run, or a DVC experiment beside the workspace made it.
PLAN_TAG, CURRENT, FORMER, EXPERIMENT = "sagan.plan", "current", "former", "experiment"


def open_experiment(client: MlflowClient, suite: str, params: Params, paths: Paths) -> str:
    """The id of a suite's experiment: made with a note, or taken back from MLflow's trash, if need be.

    MLflow keeps the places of files absolute: an experiment that came along with a copied or moved clone would write
    into the original's folder. It gets another name, and a new one its place.
    """
    spec, uri, folder = params.suites[suite], client.tracking_uri, mlflow_folder(paths)
    name = f"{params.tracking.experiment_prefix}{suite}"
    # A database holds no files, so they go under state/; a server decides for itself.
    place = (folder / "artifacts" / name).as_uri() if is_database(uri) else None
    found = client.get_experiment_by_name(name)
    if found and found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    if found and uri.startswith(f"sqlite:///{folder.parent.parent}/") and found.artifact_location != place:
        former = f"{name}-{found.experiment_id}"
        client.rename_experiment(found.experiment_id, former)
        told = f"MLflow's {name} came from another folder, where it would write ({found.artifact_location})"
        print(f"sagan: {told}; it is now {former}, and all runs are sent to a new one", file=sys.stderr)
    elif found:
        return found.experiment_id
    note = (
        f"**{spec.title or suite}** on {spec.dataset}, baseline `{spec.baseline}`; `docs/mlflow.md` says how to search."
    )
    note += f" Report: `reports/{suite}/README.md`, and the run `{suite}: report`."
    tags = {"mlflow.note.content": note, "mlflow.experimentKind": "custom_model_development"}
    return client.create_experiment(name, place, tags)


def mark_former(client: MlflowClient, experiment: str, cells: list[Cell]) -> None:
    """Runs of an experiment that the plan does not ask for any more stay, and are told apart by a tag."""
    planned = {(cell.run, cell.evaluation) for cell in cells}
    for run in client.search_runs([experiment], "tags.`sagan.run` != ''", max_results=50_000):
        tags = run.data.tags
        plan = CURRENT if (tags["sagan.run"], tags["sagan.evaluation"]) in planned else FORMER
        if tags.get(PLAN_TAG) != plan and (plan, tags.get(PLAN_TAG)) != (FORMER, EXPERIMENT):
            client.set_tag(run.info.run_id, PLAN_TAG, plan)


def send_report(client: MlflowClient, experiment: str, suite: str, paths: Paths) -> None:
    """A run with the report's results and effects as tables, the lowest FID first, and its pictures.

    A report that was written anew takes the place of the former.
    """
    folder = paths.report(suite)
    tables = {name: folder / f"{name}.csv" for name in ("results", "effects") if (folder / f"{name}.csv").exists()}
    pictures = [path for path in sorted(folder.glob("figures/*")) if is_own_file(path, folder)]
    sent = digest({path.name: file_digest(path) for path in [*tables.values(), *pictures]}, 16)
    found = client.search_runs([experiment], f"tags.`sagan.report` = '{suite}'")
    if not tables or [run.data.tags.get("sagan.sent") for run in found] == [sent]:
        return
    for run in found:
        client.delete_run(run.info.run_id)
    run_id = client.create_run(experiment, tags={"sagan.report": suite}, run_name=f"{suite}: report").info.run_id
    for name, path in tables.items():
        table = pd.read_csv(path)
        if name == "results":
            table.insert(table.columns.get_loc("run"), "fid", table.pop("fid"))  # after variant, seed and factors
            table = table.sort_values("fid")
        client.log_table(run_id, table, f"{name}.json")
    with tempfile.TemporaryDirectory() as name:
        for path in pictures:
            shutil.copyfile(path, Path(name) / path.name)
        client.log_artifacts(run_id, name, "figures")
    client.set_terminated(run_id)
    client.set_tag(run_id, "sagan.sent", sent)
