"""Verbs that answer: what do these runs say, and what does one recipe do instead of another?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sagan.cli.app import PATHS, app
from sagan.errors import UserError
from sagan.params.loading import load_params

if TYPE_CHECKING:
    import pandas as pd

MlflowOption = Annotated[
    str | None, typer.Option("--mlflow", help="Take the runs from this MLflow experiment (MLFLOW_TRACKING_URI).")
]


def _mlflow_table(name: str) -> pd.DataFrame:
    from sagan.tracking.connection import runs_table

    return runs_table(name, load_params(PATHS.params), PATHS)


@app.command()
def analyse(
    factors: Annotated[
        list[str], typer.Option("--factor", help="A column with levels; `NAME=LEVEL` says which one others replace.")
    ],
    metric: Annotated[str, typer.Option(help="The column of figures.")],
    results: Annotated[
        Path | None, typer.Argument(help="A CSV file, one row a run (or, with --step, a snapshot).")
    ] = None,
    mlflow: MlflowOption = None,
    time: Annotated[str | None, typer.Option(help="The column of seconds that training has spent so far.")] = None,
    step: Annotated[str | None, typer.Option(help="The column of steps, where rows are snapshots of runs.")] = None,
    run: Annotated[str | None, typer.Option(help="The column that tells runs of one cell apart, with --step.")] = None,
    lower_is_better: Annotated[
        bool | None, typer.Option("--lower-is-better/--higher-is-better", help="Of a metric that is not known here.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for effects.csv and effects.png. Default: NAME-effects, here.")
    ] = None,
) -> None:
    """Answer which factors help in runs of any code base: per step, and per second where snapshots say."""
    from sagan.analysis.build import effects_table
    from sagan.analysis.foreign import analyse_results, read_results

    if (results is None) == (mlflow is None):
        raise UserError("analyse: say a CSV file, or --mlflow NAME")
    table, source = (read_results(results), str(results)) if results else (_mlflow_table(mlflow), mlflow)
    found, notes = analyse_results(table, source, factors, metric, time, step, run, lower_is_better)
    for line in [*(f"note: {note}" for note in notes), *found.sentences()]:
        print(line)
    from sagan.report.charts import LIGHT, effects, save, themed

    folder = out or Path(f"{results.stem if results else mlflow}-effects")
    folder.mkdir(parents=True, exist_ok=True)
    effects_table(found.rows).to_csv(folder / "effects.csv", index=False, lineterminator="\n")
    written = [folder / "effects.csv"]
    with themed(LIGHT):
        if (figure := effects(found.questions, found.design, LIGHT)) is not None:
            save(figure, folder / "effects.png")
            written.append(folder / "effects.png")
    print(", ".join(map(str, written)))


@app.command()
def score(
    folder: Annotated[Path, typer.Argument(help="Images, of the dataset's size, at any depth.")],
    dataset: Annotated[str, typer.Option(help="A dataset of params.yaml, whose real images they are compared with.")],
    space: Annotated[str, typer.Option(help="A feature space that a suite on this dataset measures in.")],
) -> None:
    """Measure a folder of images, of any model, by the protocol of the suites on a dataset."""
    from sagan.scoring import score as scored

    for line in scored(folder, dataset, space, load_params(PATHS.params), PATHS):
        print(line)


@app.command()
def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="`workspace`, a DVC experiment, a commit, a folder, a variant.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="The same; what is said is of B instead of A.")],
    suite: Annotated[str | None, typer.Option(help="Whose reports. Default: the first under repro.")] = None,
    mlflow: MlflowOption = None,
    metric: Annotated[
        str, typer.Option(help="With --mlflow: the metric, lower being better unless it is known.")
    ] = "fid",
) -> None:
    """Say what B does instead of A: what differs in the recipe, the effect per step and per second, the cost."""
    lines: Iterable[str]
    if mlflow is not None:
        from sagan.comparing import compare_variants

        lines = compare_variants(_mlflow_table(mlflow), a, b, metric, mlflow)
    else:
        from sagan.comparing import compare as compared

        if (suite := suite or next(iter(load_params(PATHS.params).repro), None)) is None:
            raise UserError("compare: say --suite, since params.yaml has none under repro")
        lines = compared(a, b, suite, PATHS)
    for line in lines:
        print(line)
