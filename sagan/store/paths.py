"""Every path of the project, built in one place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sagan.errors import UserError, did_you_mean

# Feature spaces whose weights ship with the package, and the file of each (`benchmarks.rulers` made them).
RULERS = Path(__file__).parent.parent / "metrics" / "rulers"
SHIPPED = {name: name for name in ("digits", "digits-2", "digits-3", "random")} | {"stacked-digits": "digits"}
# Before the names of timm's networks.
TIMM = "timm:"


@dataclass(frozen=True)
class Paths:
    """The layout under a root folder (the clone, unless told otherwise)."""

    root: Path = Path(".")

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    def prepared(self, dataset: str, resolution: int) -> Path:
        """A dataset as an array with its manifest."""
        return self.root / "data" / "prepared" / f"{dataset}-{resolution}"

    def run(self, key: str) -> Path:
        return self.root / "results" / "runs" / key

    def reference(self, key: str) -> Path:
        return self.root / "results" / "references" / key

    def evaluation(self, key: str) -> Path:
        return self.root / "results" / "evaluations" / key

    def state(self, key: str) -> Path:
        """Resume checkpoints of a run; never needed once its run.json is there."""
        return self.root / "state" / key

    def log(self, name: str) -> Path:
        """What a job, by its key, or one of the launch's own processes has said."""
        return self.root / "state" / "logs" / f"{name}.log"

    def features(self, key: str) -> Path:
        """Finished parts of the features of a reference or evaluation that is being made."""
        return self.state(key) / "features"

    def plan(self, digest: str) -> Path:
        return self.root / "state" / "plans" / f"{digest}.json"

    def report(self, suite: str) -> Path:
        return self.root / "reports" / suite

    def pages(self, suite: str) -> Path:
        """A report's pages of some MB: report.html and explorer.html. DVC keeps their versions, git does not."""
        return self.root / "pages" / suite

    @property
    def workspace(self) -> Paths:
        """The workspace of which this folder is a copy that DVC made for an experiment; itself for any other folder."""
        copies = (of for of in self.root.resolve().parents if of.parts[-3:] == (".dvc", "tmp", "exps"))
        return next((Paths(folder.parents[2]) for folder in copies), self)

    @property
    def pool(self) -> Paths:
        """Where experiments beside the workspace leave their results, laid out like the workspace."""
        return Paths(self.root / "state" / "shared")

    def experiment(self, name: str) -> Paths:
        """Where a DVC experiment beside the workspace left its reports and pages, laid out like the workspace."""
        return Paths(self.root / "state" / "experiments" / name)

    def experiments(self) -> list[str]:
        """The names of those that left some."""
        return sorted(folder.name for folder in self.experiment("").root.glob("*"))

    @property
    def weights(self) -> Path:
        """Pretrained weights of feature extractors."""
        return self.root / "data" / "weights"

    def weights_file(self, extractor: str, reference_folder: Path = Path()) -> Path:
        """The weights that an extractor computes with: shipped, pretrained, or trained for the reference."""
        if extractor == "classifier":
            return reference_folder / "classifier.safetensors"
        if extractor in SHIPPED:
            return RULERS / f"{SHIPPED[extractor]}.safetensors"
        if extractor.startswith(TIMM):
            return self.weights / f"{extractor.removeprefix(TIMM)}.safetensors"
        return self.weights / "inception-2015-12-05.pth"


def experiment_paths(name: str, paths: Paths) -> Paths:
    """Where the report of a DVC experiment beside the workspace lies; a `UserError` where it has left none here."""
    left = paths.experiment(name)
    if not (left.root / "reports").exists():
        raise UserError(
            f"{name}: no experiment of that name has left a report here{did_you_mean(name, paths.experiments())}; "
            f"`dvc exp run --temp --name {name} -S …` makes one, `dvc exp show` lists experiments"
        )
    return left


def leave_for_workspace(suites: Iterable[str], paths: Paths) -> Paths | None:
    """From the copy that DVC runs an experiment in, leave its reports in the workspace; None in any other folder."""
    name = os.environ.get("DVC_EXP_NAME")
    if paths.workspace == paths or name is None:
        return None
    left = paths.workspace.experiment(name)
    for suite in suites:
        for source, target in ((paths.report(suite), left.report(suite)), (paths.pages(suite), left.pages(suite))):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target)
    return left
