"""An experiment for each suite: made once, and set up so that its page answers the suite's question."""

from __future__ import annotations

import json
import re
import subprocess

from mlflow import MlflowClient
from mlflow.entities import Experiment

from sagan.params import Params
from sagan.store.paths import Paths
from sagan.store.records import Json, digest
from sagan.tracking.connection import artifacts_folder, is_database, lock
from sagan.tracking.content import CURRENT, FORMER

# Saved views, as links name them.
SEEDS, PICTURES, EXPERIMENTS = "seeds", "pictures", "experiments"
TITLES = {SEEDS: "FID, seeds as a band", PICTURES: "pictures side by side", EXPERIMENTS: "FID, with experiments"}


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


def introduce(
    client: MlflowClient,
    experiment: Experiment,
    suite: str,
    seeds: int,
    params: Params,
    paths: Paths,
    only_new: bool = False,
) -> None:
    """A note and saved views of charts, kept up to date. What a user has changed stays.

    Args:
        seeds: of a suite whose seeds are added until it is decided, how many the plan has now.
        only_new: write what is not there, and change nothing.
    """
    identity, tags = experiment.experiment_id, experiment.tags
    wanted = {
        "mlflow.note.content": _note(identity, suite, seeds, params, paths),
        "mlflow.experimentKind": "custom_model_development",
        **{f"mlflow.sharedViewState.{key}": view for key, view in _views().items()},
    }
    for name, value in wanted.items():
        # The digest beside it tells our own words from a user's.
        ours = f"sagan.wrote.{name}"
        is_ours = name in tags and tags.get(ours) == digest(tags[name], 16)
        if name not in tags or (is_ours and tags[name] != value and not only_new):
            client.set_experiment_tag(identity, ours, digest(value, 16))
            client.set_experiment_tag(identity, name, value)


def links(client: MlflowClient, params: Params, address: str) -> list[str]:
    """Lines that lead straight to the runs and the saved views of every suite that MLflow has runs of.

    Args:
        address: of the server, such as "http://127.0.0.1:5000".
    """
    lines = []
    for suite in params.suites:
        experiment = client.get_experiment_by_name(f"{params.tracking.experiment_prefix}{suite}")
        if experiment is not None and experiment.lifecycle_stage == "active":
            page = f"{address}/{_runs_page(experiment.experiment_id)}"
            lines += [f"{suite}:", f"  runs                       {page}"]
            lines += [f"  {title:<26} {page}&{_view_query(key)}" for key, title in TITLES.items()]
    return lines


def _runs_page(experiment: str) -> str:
    """Without the type, MLflow opens its pages on traces of language models, of which there are none here."""
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning"


def _view_query(view: str) -> str:
    return f"compareRunsMode=CHART&viewStateShareKey={view}"


def _note(experiment: str, suite: str, seeds: int, params: Params, paths: Paths) -> str:
    """Markdown above the table of runs. MLflow shows its first paragraph, and the rest on a click."""
    spec = params.suites[suite]
    page = _runs_page(experiment)
    views = ", ".join(f"[{title}]({page}&{_view_query(key)})" for key, title in TITLES.items())
    variants, seeds = len(spec.variants), len(spec.seed_list(seeds))
    return (
        f"**{spec.title or suite}**: {variants} variant{'s' if variants > 1 else ''} x {seeds} "
        f"seed{'s' if seeds > 1 else ''} on {spec.dataset}, baseline `{spec.baseline}`. {views}. "
        f"Report: {_report(suite, paths)}\n\n"
        f"- Runs that `params.yaml` does not ask for any more stay; ``tags.`sagan.plan` = '{CURRENT}'`` hides them.\n"
        "- Runs of a DVC experiment beside the workspace have its name in ``tags.`sagan.experiment` ``.\n"
        "- A diverged run is a result and therefore FINISHED; ``tags.`sagan.status` = 'diverged'`` finds it.\n"
    )


def _report(suite: str, paths: Paths) -> str:
    """A link to the report on the code host that the clone came from, or its path where there is none."""
    path = f"reports/{suite}/README.md"
    command = ["git", "-C", str(paths.root), "config", "--get", "remote.origin.url"]
    try:
        remote = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
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
    variants, experiments = _grouped("sagan.variant"), _grouped("sagan.variant", "sagan.experiment")
    curves = [
        # From thousands before training to tens: on a linear axis the finals of all variants are one line.
        {"type": "LINE", "metricKey": "curve/fid", "scaleType": "log"},
        {"type": "BAR", "metricKey": "fid"},
        {"type": "BAR", "metricKey": "images_per_second"},
        {"type": "LINE", "metricKey": "train/loss_d"},
        {"type": "LINE", "metricKey": "train/loss_g"},
    ]
    pictures = [{"type": "IMAGE", "imageKeys": [key], "step": 0, "showRunParams": False} for key in ("samples", "film")]
    return {
        SEEDS: _view("Seeds as a band", curves, 3, variants),
        PICTURES: _view("Pictures side by side", pictures, 1, {"groupBy": None}),
        EXPERIMENTS: _view("With experiments", curves, 3, experiments, f"tags.`sagan.plan` != '{FORMER}'"),
    }


def _grouped(*tags: str) -> Json:
    keys = [{"mode": "tag", "groupByData": tag} for tag in tags]
    return {"groupBy": {"aggregateFunction": "average", "groupByKeys": keys}, "useGroupedValuesInCharts": True}


def _view(
    name: str, charts: list[Json], columns: int, grouping: Json, shown: str = f"tags.`sagan.plan` = '{CURRENT}'"
) -> str:
    """A saved view with these charts on top; MLflow adds one for every other metric below."""
    smoothing = {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""}
    shared = {"metricSectionId": "first", "deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    layout = {"columns": columns, "cardHeight": 420}
    section = {"uuid": "first", "name": "At a glance", "display": True, "isReordered": True, **layout}
    state = {
        "searchFilter": shown,
        "compareRunSections": [section],
        "compareRunCharts": [
            {"uuid": f"chart-{place}", **chart, **shared, **smoothing} for place, chart in enumerate(charts)
        ],
        "isAccordionReordered": True,
        "globalLineChartConfig": smoothing,
        **grouping,
    }
    return json.dumps({"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)})
