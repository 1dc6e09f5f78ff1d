"""Nothing in the documents is untrue when pasted: examples run, links lead somewhere, settings and commands exist."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from secrets import token_urlsafe

import pytest

from core.config import load_settings
from core.errors import ConfigError
from core.metrics import METRICS
from core.settings import ClientSettings, Settings
from tests import documents
from tests.running import Up, system
from tidings import template_files
from tidings.cli.app import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
pytestmark = pytest.mark.timeout(180)


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with system(tmp_path_factory.mktemp("readme") / "data") as running:
        yield running


@pytest.fixture
def folder(up: Up, tmp_path: Path) -> Path:
    """As the clone looks while `make up` runs in it."""
    (tmp_path / ".tidings").symlink_to(up.folder)
    (tmp_path / "tidings").symlink_to(ROOT / "tidings")
    scripts = tmp_path / "bin"
    scripts.mkdir()
    script = scripts / "tidings"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m tidings "$@"\n')
    script.chmod(0o755)
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    """stdout of a command that ends well, in that folder, without settings in the environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDINGS_TARGET")}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = kept | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_opens_with_two_commands_and_ten_lines_of_python() -> None:
    first, second = blocks("sh")[0].splitlines()
    assert (first.split("#")[0].strip(), second.split("#")[0].strip()) == ("make demo", "make up")
    assert README.index("make up") < README.index("```python")
    assert len(blocks("python")[0].splitlines()) <= 10


def test_the_python_examples_do_what_they_say(folder: Path) -> None:
    first, *others = blocks("python")
    assert "delivered" in run([sys.executable, "-c", first], folder)
    told = run([sys.executable, "-c", "\n".join([first, *others])], folder)
    assert "notification.recipient.email invalid_email" in told
    assert "missing_variable" in told


def test_the_commands_run_one_after_the_other(folder: Path) -> None:
    (commands,) = [block for block in blocks("sh") if block.startswith("tidings ")]
    shown = run(["sh", "-ex", "-c", commands], folder)
    assert "Ihre Bestellung 1042" in shown
    assert "delivered" in shown
    assert "3 accepted" in shown
    assert "tk_" in shown


def test_the_template_is_one(tmp_path: Path) -> None:
    shutil.copytree(template_files.__file__.removesuffix("template_files.py") + "examples", tmp_path / "examples")
    file = tmp_path / "examples" / "readme.toml"
    file.write_text(blocks("toml")[0])
    assert set(template_files.load(file).contents) == {"email", "sms"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def names() -> set[str]:
    return {name for model in (Settings, ClientSettings) for name, _, _ in documents.rows(model)} | {"TIDINGS_CONFIG"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "deploy" / "tidings.env"], ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    named = set(re.findall(r"\b(?:TIDINGS|OTEL)_[A-Z0-9_]*[A-Z0-9]\b", page.read_text()))
    assert named <= names(), named - names()


def test_the_example_of_the_settings_is_accepted_once_it_has_a_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in (ROOT / "deploy" / "tidings.env").read_text().splitlines():
        if line and not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["TIDINGS_SECRET_KEY"]
    monkeypatch.setenv("TIDINGS_SECRET_KEY", token_urlsafe(36))
    assert load_settings().partitions == 16


def test_the_page_of_settings_is_what_the_settings_say() -> None:
    said = (ROOT / "docs" / "configuration.md").read_text()
    assert said == documents.configuration(), "run: python -m tests.documents"


def test_commands_exist() -> None:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    for line in re.findall(r"^\| `tidings (\w+)(?: (\w+))?", README, re.MULTILINE):
        name, word = line
        assert name in known or name in groups, name
        if name in groups and groups[name] is not None:
            commands = groups[name].registered_commands  # type: ignore[union-attr]
            assert word in {command.name or getattr(command.callback, "__name__", "") for command in commands}


def test_metrics_exist() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    known = {metric.name for group in METRICS for metric in group.describe()}
    for name in set(re.findall(r"\btidings_[a-z_]+\b", text)) - {"tidings_receipt", "tidings_receipt_url"}:
        assert name.removesuffix("_total") in known, name


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["readme"] == "README.md"
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or later" in README
