"""Who may import whom, read from the syntax tree; and what a fresh process finds loaded."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for top in ("bitstream", "snerv_codec", "benchmarks") for path in (ROOT / top).rglob("*.py"))
THIRD_PARTY = {"torch", "numpy", "av", "constriction", "click", "pytorch_msssim", "nncodec", "imageio_ffmpeg", "rich"}

# Folder or module: what it may import of ours and of others, besides the standard library and itself.
ALLOWED = {
    "snerv_codec.bitstream": {"numpy", "constriction", "nncodec"},
    "snerv_codec.model": {"torch", "snerv_codec.bitstream.models", "snerv_codec.errors"},
    "snerv_codec.media": {
        "av",
        "numpy",
        "snerv_codec.bitstream.extras",
        "snerv_codec.bitstream.models",
        "snerv_codec.bitstream.types",
        "snerv_codec.errors",
        "snerv_codec.runtime.files",
    },
    "snerv_codec.training": {
        "torch",
        "numpy",
        "snerv_codec.bitstream.models",
        "snerv_codec.bitstream.types",
        "snerv_codec.model",
        "snerv_codec.compression",
        "snerv_codec.errors",
        "snerv_codec.events",
        "snerv_codec.runtime.capture",
        "snerv_codec.runtime.files",
        "snerv_codec.runtime.machine",
        "snerv_codec.runtime.precision",
    },
    "snerv_codec.compression": {"torch", "numpy", "snerv_codec.bitstream", "snerv_codec.model", "snerv_codec.errors"},
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "bitstream":  # a part of the package, where a link leads to it
        parts = ("snerv_codec", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module imported anywhere in a file, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            of_format = path.is_relative_to(ROOT / "bitstream")  # which knows nothing of the package that it is part of
            assert node.level == of_format or not (node.level or within(node.module or "", {"bitstream"})), (
                f"{path}:{node.lineno}: imports are absolute here, but for bitstream's of itself"
            )
            name = node.module or ""
            yield f"snerv_codec.bitstream.{name}".rstrip(".") if node.level else name, node.lineno


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("owner", ALLOWED)
def test_imports_go_one_way(owner):
    for path in SOURCES:
        if not within(module_name(path), {owner}):
            continue
        for name, line in imports(path):
            ours = within(name, {"bitstream", "snerv_codec", "benchmarks", "tests"})
            if ours or name.split(".")[0] in THIRD_PARTY:
                assert within(name, ALLOWED[owner] | {owner}), f"{path}:{line}: {owner} must not import {name}"


def test_nothing_imports_tests_or_benchmarks_and_only_the_command_line_imports_itself():
    for path in SOURCES:
        module = module_name(path)
        for name, line in imports(path):
            assert not within(name, {"tests"}), f"{path}:{line}"
            assert not within(name, {"benchmarks"}) or within(module, {"benchmarks"}), f"{path}:{line}"
            of_cli = within(module, {"snerv_codec.cli", "snerv_codec.__main__"})
            assert of_cli or not within(name, {"snerv_codec.cli"}), f"{path}:{line}"
            assert name != "torchvision", f"{path}:{line}"


def test_only_the_command_line_prints():
    for path in SOURCES:
        if within(module_name(path), {"snerv_codec.cli", "benchmarks"}):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path}:{node.lineno}"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import bitstream.container", ["torch", "av", "click", "snerv_codec"]),
        ("from snerv_codec.cli.main import main; main(['--help'])", ["torch", "av"]),
        ("from snerv_codec.cli.main import main; main(['info', 'nothing.snrv'])", ["torch", "av"]),
        ("import snerv_codec", ["torch", "av", "numpy"]),
        ("from snerv_codec import Decoder", ["snerv_codec.training", "av"]),
    ],
)
def test_a_fresh_process_loads_no_more_than_it_needs(code, absent):
    check = f"{code}\nimport sys; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_imports_leave_the_environment_alone():
    code = (
        "import os; before = dict(os.environ)\n"
        "import bitstream.container, snerv_codec.cli.main, snerv_codec.settings\n"
        "assert before == dict(os.environ)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_threads_that_wait_do_not_spin_for_long_unless_somebody_wants_them_to():
    code = (
        "import os; from snerv_codec.cli import main\n"
        "main.main = lambda: print(os.environ.get('GOMP_SPINCOUNT')) or 0\n"
        "main.run()"
    )
    for given, expected in (({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")):
        environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | given
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
