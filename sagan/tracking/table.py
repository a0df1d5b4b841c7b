"""An MLflow experiment's runs as a table, of any code base."""

from __future__ import annotations

import mlflow
import pandas as pd

from sagan.errors import UserError, did_you_mean
from sagan.tracking.connection import available


def runs_table(uri: str, name: str) -> pd.DataFrame:
    """One row a finished run: its parameters, metrics and tags by their plain names, `run` and `variant` among them.

    Where two are called alike a parameter wins over a metric, and a metric over a tag. `variant` is the parameter of
    that name, else the run's name.

    Raises:
        UserError: there is no such experiment.
        TrackingUnavailable: the store cannot be reached.
    """
    with available(uri):
        client = mlflow.MlflowClient(uri)
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            known = [found.name for found in client.search_experiments()]
            raise UserError(f"--mlflow {name}: no such experiment{did_you_mean(name, known)}")
        rows, token = [], None
        while token is not None or not rows:
            page = client.search_runs(
                [experiment.experiment_id], "attributes.status = 'FINISHED'", max_results=1000, page_token=token
            )
            for run in page:
                row = {**run.data.tags, **run.data.metrics, **run.data.params}
                rows.append({"variant": run.info.run_name, **row, "run": run.info.run_id})
            token = page.token
            if token is None:
                break
    if not rows:
        raise UserError(f"--mlflow {name}: holds no finished run")
    return pd.DataFrame(rows).sort_values("run", ignore_index=True)
