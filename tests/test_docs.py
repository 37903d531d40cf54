"""What the README and the documentation say can be followed: links lead somewhere, commands parse, the site builds."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from snerv_codec.cli.group import COMMANDS, cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def anchors(page):
    """What the headings of a Markdown page are linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = page.parent / path if path else page
        assert place.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors(place), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_are_commands(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").touch()
    lines = re.findall(r"^(?:    |.*\| )(snerv [a-z].*)$", page.read_text(), re.MULTILINE)
    for line in lines:
        name, *arguments = shlex.split(line.split("|")[0], comments=True)[1:]
        assert name in COMMANDS, line
        command = cli.get_command(click.Context(cli), name)
        command.make_context(name, arguments)  # raises click.UsageError where it does not parse


def test_the_readme_is_a_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 900
    assert len(re.findall(r"^    snerv encode|^    snerv decode", text, re.MULTILINE)) >= 5


def test_the_site_builds_without_a_warning(tmp_path):
    for module in ("sphinx", "furo", "myst_parser"):
        pytest.importorskip(module, reason="the site needs the extra `docs`")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", ROOT / "docs", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    python = (tmp_path / "python.html").read_text()
    for name in ("get_frame_played_at", "EncodeSettings", "VideoMetadata", "BitstreamError"):
        assert name in python
