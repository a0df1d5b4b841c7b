"""An experiment for each suite: made once, and set up so that its page answers the suite's question."""

from __future__ import annotations

import json
import re
import subprocess

from mlflow import MlflowClient
from mlflow.entities import Experiment

from sagan.params import Params
from sagan.paths import Paths
from sagan.tracking.content import CURRENT
from sagan.tracking.store import artifacts_folder, is_database, lock

VIEW = "seeds"  # the saved view's name in links


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
    """A note, and a saved view of charts grouped by variant. What is there already may be a user's and stays."""
    identity = experiment.experiment_id
    wanted = {
        "mlflow.note.content": _note(identity, suite, params, paths),
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": _view(),
    }
    for name, value in wanted.items():
        if name not in experiment.tags:
            client.set_experiment_tag(identity, name, value)


def _note(experiment: str, suite: str, params: Params, paths: Paths) -> str:
    """Markdown above the table of runs."""
    spec = params.suites[suite]
    link = f"#/experiments/{experiment}/runs?viewStateShareKey={VIEW}&compareRunsMode=CHART"
    return (
        f"**{spec.title or suite}**: {len(spec.variants)} variants x {len(spec.seed_list())} seeds on {spec.dataset}, "
        f"baseline `{spec.baseline}`.\n\n"
        f"- The verdict, with intervals over seeds: {_report(suite, paths)}\n"
        f"- [Charts grouped by variant, seeds as a band]({link})\n"
        f"- Runs that `params.yaml` does not ask for any more stay: hide them with `tags.sagan.plan = '{CURRENT}'`\n"
        "- A diverged run is a result and therefore FINISHED: find it with `tags.sagan.status = 'diverged'`\n"
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


def _view() -> str:
    """A saved view as MLflow's page stores it: seeds of a variant are averaged, with a band around them."""
    state = {
        "searchFilter": f"tags.`sagan.plan` = '{CURRENT}'",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "sagan.variant"}]},
        "useGroupedValuesInCharts": True,
    }
    return json.dumps({"name": "Seeds as a band", "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
