"""Reads the ledger's named SQL: queries/*.sql, where `-- name: x` opens the statement x. Python holds names, not SQL."""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(file: str) -> dict[str, bytes]:
    """The statements of queries/`file`.sql by name. Bytes, as psycopg takes no computed str for SQL."""
    text = resources.files("ledger").joinpath("queries", f"{file}.sql").read_text("utf-8")
    head, *parts = _NAME.split(text)
    if "select" in head.lower():
        raise ValueError(f"queries/{file}.sql: a statement stands before the first `-- name:` line")
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
