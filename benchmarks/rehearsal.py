"""Stands for a borrowed machine: of what is installed, Python finds only what `gpu.sh` needs there or has brought.

For a rehearsal, `gpu.sh` copies this to `sitecustomize.py` among the packages that it has brought: every process begins
with it.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

BROUGHT = str(Path(__file__).parent)
# Of the dependencies in pyproject.toml, by the names that they are imported by.
ABSENT = {"dvc", "mlflow", "snakemake", "boto3", "datasets", "flask", "moto", "psycopg2", "pytorch_fid"}
ABSENT |= {"annotated_types", "mlxtend", "pydantic", "pydantic_core", "ruamel", "torch_fidelity", "typing_inspection"}


class Absent:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] not in ABSENT:
            return None
        if (spec := PathFinder.find_spec(name, [BROUGHT] if path is None else path)) is None:
            raise ModuleNotFoundError(f"No module named {name!r}: a borrowed machine has none", name=name)
        return spec


sys.meta_path.insert(0, Absent)
