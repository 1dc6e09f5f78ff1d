"""What importing tidings costs, and where a client looks for the gateway."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import tidings
from core.errors import ConfigError
from tidings.channel import DEFAULT_TARGET, find_gateway, local_system

SERVERS = ("aiohttp", "aiosmtplib", "httpx", "psycopg", "pydantic", "redis", "typer", "rich", "jinja2", "prometheus_client")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_tidings_is_free() -> None:
    assert not {*SERVERS, "grpc", "google"} & loaded_by("import tidings")


def test_a_client_loads_no_server() -> None:
    made = "import tidings; tidings.Client('127.0.0.1:1', 'k', tls=False); tidings.AsyncClient, tidings.Unavailable"
    assert not set(SERVERS) & loaded_by(made)


def test_every_name_is_there() -> None:
    for name in tidings.__all__:
        assert getattr(tidings, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        tidings.Cleint  # noqa: B018


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("TIDINGS_TARGET", "TIDINGS_API_KEY", "TIDINGS_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".tidings").mkdir()
    return tmp_path


def note(folder: Path, target: str) -> None:
    (folder / ".tidings" / "dev.json").write_text(json.dumps({"target": target, "api_key": "tk_dev"}))


def test_arguments_win_over_variables_and_these_over_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_gateway(None, None, None) == find_gateway(DEFAULT_TARGET, "", False)
    note(folder, "127.0.0.1:4711")
    found = find_gateway(None, None, None)
    assert (found.target, found.api_key, found.tls) == ("127.0.0.1:4711", "tk_dev", None)
    monkeypatch.setenv("TIDINGS_TARGET", "tidings.internal:50051")
    found = find_gateway(None, None, None)
    assert (found.target, found.api_key) == ("tidings.internal:50051", "")  # the folder's key is for the folder's system
    monkeypatch.setenv("TIDINGS_API_KEY", "tk_env")
    monkeypatch.setenv("TIDINGS_CA_FILE", "/ca.pem")
    found = find_gateway(None, None, None)
    assert (found.api_key, found.tls) == ("tk_env", tidings.Tls(Path("/ca.pem")))
    found = find_gateway("other:1", "tk_given", False)
    assert (found.target, found.api_key, found.tls) == ("other:1", "tk_given", None)
    assert found.metadata() == (("authorization", "Bearer tk_given"),)


def test_a_note_that_leads_off_this_machine_is_ignored(folder: Path) -> None:
    note(folder, "evil.example.com:50051")
    assert local_system() == {}
    assert find_gateway(None, "tk_secret", None).target == DEFAULT_TARGET


def test_a_note_that_cannot_be_read_says_what_to_do(folder: Path) -> None:
    (folder / ".tidings" / "dev.json").write_text("{")
    with pytest.raises(ConfigError, match="remove the file"):
        local_system()
