"""What an installed package brings: its version, its command in both ways, completion, the manual page."""

import os
import re
import subprocess
import sys
import tomllib
from configparser import RawConfigParser
from importlib.metadata import version
from pathlib import Path

import pytest

import snerv_codec
from snerv_codec.cli.manual import manual

ROOT = Path(__file__).parents[1]


def snerv(*arguments, **environment):
    """Run `python -m snerv_codec`; its standard output."""
    command = [sys.executable, "-m", "snerv_codec", *arguments]
    values = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(command, env=values, capture_output=True, text=True, check=True).stdout


def test_the_version_tells_what_it_runs_on():
    assert snerv_codec.__version__ == version("snerv-codec")
    first, second = snerv("--version").splitlines()
    assert first == f"snerv {version('snerv-codec')}"
    assert re.fullmatch(r"Python 3\.\d+\.\d+\S*, torch \S+, PyAV \S+, (cpu|cuda.*)", second)


def test_a_shell_completes_commands_and_options():
    assert "_SNERV_COMPLETE=bash_complete" in snerv("completion", "bash")

    def complete(words, number):
        return snerv(_SNERV_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(number)).split()

    assert "plain,encode" in complete("snerv enc", 1)
    assert "plain,--target-psnr" in complete("snerv encode in.mp4 --target-p", 3)
    assert complete("snerv encode ", 2) == ["file,"]


def test_the_manual_page_is_that_of_todays_options():
    committed = (ROOT / "docs" / "snerv.1").read_text()
    assert committed == manual(), "make it anew: python -m snerv_codec.cli.manual > docs/snerv.1"
    assert not any(
        line.startswith(".") and not re.match(r"\.(TH|SH|SS|PP|TP|B) ?", line) for line in committed.split("\n")
    )


def test_what_is_needed_is_pinned_and_numpy_1_only_where_nnc_is():
    config = RawConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = dict(config["options.extras_require"])
    needed = "\n".join(
        [config["options"]["install_requires"], *(extras[name] for name in ("vmaf", "bench", "docs", "dev"))]
    )
    names = {re.match(r"[\w-]+", line.strip())[0].lower() for line in needed.splitlines() if line.strip()}
    pins = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().split()}
    assert names - {"snerv-codec"} <= pins
    assert "nncodec" not in pins
    assert "numpy==2" in (ROOT / "constraints.txt").read_text()
    assert "numpy==1" in (ROOT / "constraints-nnc.txt").read_text()
    assert config["metadata"]["license_expression"] == "Apache-2.0"
    assert set(tomllib.loads((ROOT / "pyproject.toml").read_text())) == {"build-system", "tool"}


@pytest.mark.slow
def test_the_wheel_and_the_source_archive_hold_what_they_should(tmp_path):
    """Builds both as an installer does; `pip` fetches setuptools for it."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "-w", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    )
    for part in ("snerv_codec/py.typed", "demo/bunny.mp4", "pages/page.css", "SPEC.md", "man1/snerv.1", "LICENSE"):
        assert part in names.stdout
    assert "tests/" not in names.stdout
    tops = {line.split("/")[0] for line in names.stdout.splitlines()[1:] if not line.startswith("snerv_codec-")}
    assert tops == {"snerv_codec"}  # `bitstream` is another project's name on PyPI: both can be installed
