"""An experiment for each suite: made once, and set up so that its page answers the suite's question."""

from __future__ import annotations

import json
import re
import subprocess

from mlflow import MlflowClient
from mlflow.entities import Experiment

from sagan.params import Params
from sagan.paths import Paths
from sagan.records import Json
from sagan.tracking.content import CURRENT
from sagan.tracking.store import artifacts_folder, is_database, lock

SEEDS, PICTURES = "seeds", "pictures"  # saved views, as links name them


def open_experiment(client: MlflowClient, uri: str, name: str, paths: Paths) -> Experiment:
    """The experiment of that name, made or taken back from MLflow's trash if need be."""
    with lock(paths):
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "active":
            return experiment
        if experiment is not None:
            client.restore_experiment(experiment.experiment_id)
            return client.get_experiment(experiment.experiment_id)
        # A database holds no files, so they go under state/; a server decides for itself.
        location = (artifacts_folder(paths) / name).as_uri() if is_database(uri) else None
        return client.get_experiment(client.create_experiment(name, artifact_location=location))


def introduce(client: MlflowClient, experiment: Experiment, suite: str, params: Params, paths: Paths) -> None:
    """A note, and two saved views of charts. What is there already may be a user's and stays."""
    identity = experiment.experiment_id
    wanted = {
        "mlflow.note.content": _note(identity, suite, params, paths),
        "mlflow.experimentKind": "custom_model_development",
        **{f"mlflow.sharedViewState.{key}": view for key, view in _views().items()},
    }
    for name, value in wanted.items():
        if name not in experiment.tags:
            client.set_experiment_tag(identity, name, value)


def _note(experiment: str, suite: str, params: Params, paths: Paths) -> str:
    """Markdown above the table of runs. MLflow shows its first paragraph, and the rest on a click."""
    spec = params.suites[suite]
    page = f"#/experiments/{experiment}/runs?compareRunsMode=CHART&viewStateShareKey="
    return (
        f"**{spec.title or suite}**: {len(spec.variants)} variants x {len(spec.seed_list())} seeds on {spec.dataset}, "
        f"baseline `{spec.baseline}`. [Seeds as a band]({page}{SEEDS}), [pictures side by side]({page}{PICTURES}). "
        f"Report: {_report(suite, paths)}\n\n"
        f"- Runs that `params.yaml` does not ask for any more stay; ``tags.`sagan.plan` = '{CURRENT}'`` hides them.\n"
        "- A diverged run is a result and therefore FINISHED; ``tags.`sagan.status` = 'diverged'`` finds it.\n"
    )


def _report(suite: str, paths: Paths) -> str:
    """A link to the report on the code host that the clone came from, or its path where there is none."""
    path = f"reports/{suite}/README.md"
    command = ["git", "-C", str(paths.root), "config", "--get", "remote.origin.url"]
    try:
        remote = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"`{path}`"
    page = web_page(remote)
    return f"[{path}]({page}/blob/HEAD/{path})" if page else f"`{path}`"


def web_page(remote: str) -> str | None:
    """The page of a git remote, without credentials; None where the remote is no host's.

    >>> web_page("git@host.example:owner/name.git"), web_page("https://user:token@host.example/owner/name")
    ('https://host.example/owner/name', 'https://host.example/owner/name')
    """
    found = re.fullmatch(r"(?:(?:https?|ssh)://)?(?:[^@/]+@)?([\w.-]+)(?::\d+)?[:/](?!/)(.+?)(?:\.git)?/?", remote)
    return f"https://{found[1]}/{found[2]}" if found and "." in found[1].strip(".") else None


def _views() -> dict[str, str]:
    """Saved views as MLflow's page stores them, by their names in links."""
    variants = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "sagan.variant"}]}
    curves = [
        {"type": "LINE", "metricKey": "curve/fid"},
        {"type": "BAR", "metricKey": "fid"},
        {"type": "BAR", "metricKey": "images_per_second"},
        {"type": "LINE", "metricKey": "train/loss_d"},
        {"type": "LINE", "metricKey": "train/loss_g"},
    ]
    pictures = [{"type": "IMAGE", "imageKeys": [key], "step": 0, "showRunParams": False} for key in ("samples", "film")]
    return {
        SEEDS: _view("Seeds as a band", curves, 3, {"groupBy": variants, "useGroupedValuesInCharts": True}),
        PICTURES: _view("Pictures side by side", pictures, 1, {"groupBy": None}),
    }


def _view(name: str, charts: list[Json], columns: int, grouping: Json) -> str:
    """A saved view with these charts on top; MLflow adds one for every other metric below."""
    smoothing = {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
    shared = {"metricSectionId": "first", "deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    layout = {"columns": columns, "cardHeight": 420}
    section = {"uuid": "first", "name": "At a glance", "display": True, "isReordered": True, **layout}
    state = {
        "searchFilter": f"tags.`sagan.plan` = '{CURRENT}'",
        "compareRunSections": [section],
        "compareRunCharts": [
            {"uuid": f"chart-{place}", **chart, **shared, **smoothing} for place, chart in enumerate(charts)
        ],
        "isAccordionReordered": True,
        "globalLineChartConfig": smoothing,
        **grouping,
    }
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
