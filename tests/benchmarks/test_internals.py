"""What benchmarks import: every module of theirs, internals only as listed, and each room only what lies below it."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import benchmarks

ROOT = Path(benchmarks.__path__[0])
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.rglob("*.py"))}
PUBLIC = {"snerv_codec", "snerv_codec.errors", "snerv_codec.settings", "snerv_codec.training.settings"}
MEETING_POINT = "report"  # shows the records of all rooms


def imports(path: Path) -> Iterator[str]:
    """Modules that a file takes names from; `from package import module` counts as the module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in inner if is_module(name))
            if not all(map(is_module, inner)):
                yield node.module


def is_module(name: str) -> bool:
    """Whether a name is that of a module or package of the project."""
    place = ROOT.parent.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__init__")])
def test_every_benchmark_can_be_imported(name):
    import_module(f"benchmarks.{name}")


def test_internals_are_imported_as_listed():
    imported = {name for path in MODULES.values() for name in imports(path)}
    ours = {name for name in imported if name.split(".")[0] in ("snerv_codec", "bitstream")}
    assert sorted(ours - PUBLIC) == sorted(benchmarks.INTERNALS)


def test_paper_and_trials_stand_on_the_common_ground_alone():
    for name, path in MODULES.items():
        own = name.split(".")[0]
        for imported in imports(path):
            room = imported.removeprefix("benchmarks.").split(".")[0]
            if imported.startswith("benchmarks.") and room in ("paper", "trials") and name != MEETING_POINT:
                assert own == room, f"{name} must not import {imported}"
