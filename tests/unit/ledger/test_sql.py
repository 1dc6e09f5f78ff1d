"""The named SQL: every statement is used, every name exists, and none stands without a name."""

import re
from pathlib import Path

import pytest

import ledger
from ledger.sql import load

ROOM = Path(ledger.__file__).parent
FILES = sorted(path.stem for path in (ROOM / "queries").glob("*.sql"))
SOURCES = {path.name: path.read_text() for path in ROOM.glob("*.py")}


@pytest.mark.parametrize("file", FILES)
def test_every_statement_is_used(file: str) -> None:
    users = "".join(text for text in SOURCES.values() if f'load("{file}")' in text)
    assert users
    assert [name for name in load(file) if f'"{name}"' not in users] == []


@pytest.mark.parametrize("module", SOURCES)
def test_every_name_exists(module: str) -> None:
    text = SOURCES[module]
    known = {name for file in re.findall(r'_SQL = load\("(\w+)"\)', text) for name in load(file)}
    assert set(re.findall(r'_SQL\["(\w+)"\]', text)) <= known


def test_a_statement_without_a_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "odd.sql").write_text("select 1;\n-- name: named\nselect 2;\n")
    monkeypatch.setattr("ledger.sql.resources.files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="before the first"):
        load("odd")
