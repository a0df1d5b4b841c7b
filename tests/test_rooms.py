"""The order of the rooms: a lower one never imports a higher one."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sagan

ROOT = Path(sagan.__file__).parent
# From the ground up; rooms of a floor may use each other.
FLOORS = [
    {"errors", "names", "progress", "cores"},
    {"store"},
    {"code"},
    {"shapes", "params"},
    {"nn", "objectives", "data"},
    {"plan"},
    {"training"},
    {"metrics"},
    {"generators"},
    {"analysis"},
    {"report", "tracking", "scoring", "comparing", "verifying", "making"},
    {"cli", "__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom):
            modules = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "sagan" else [node.module]
            )
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        yield from (parts[1] for module in modules if (parts := module.split("."))[0] == "sagan" and len(parts) > 1)


@pytest.mark.parametrize("room", sorted(FLOOR))
def test_no_room_imports_one_above_it(room):
    place = ROOT / room
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]:
        above = {other for other in imported_rooms(path) if FLOOR.get(other, 0) > FLOOR[room]}
        assert not above, path


def test_every_room_has_a_floor():
    """And there are few: whoever adds one says where it belongs."""
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(FLOOR)


def modules_after(statement: str) -> set[str]:
    """The outermost modules that a new process has imported."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT.parent, capture_output=True, check=True)
    return set(done.stdout.decode().split())


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import sagan", {"torch"}),
        ("import sagan.plan, sagan.cli", {"torch"}),
        ("import sagan.data", {"torch", "torchvision", "mlxtend", "pandas", "rich"}),
        ("import sagan.training.loop", {"mlflow", "dvc", "snakemake", "pandas", "matplotlib"}),
        ("import sagan.nn.files", {"pydantic", "mlflow", "pandas", "typer"}),
    ],
)
def test_importing_waits_for_nothing_heavy(statement, heavy):
    assert not heavy & modules_after(statement)


def test_networks_need_torch_and_nothing_else():
    new = modules_after("import torch, sagan.nn") - modules_after("import torch")
    assert new - sys.stdlib_module_names == {"sagan"}
