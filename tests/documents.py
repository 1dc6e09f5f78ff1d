"""docs/configuration.md as the settings themselves tell it. `python -m tests.documents` writes it anew; a test compares."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from core.config import PREFIX
from core.settings import ClientSettings, Settings

FILE = Path(__file__).parent.parent / "docs" / "configuration.md"
HEAD = """\
# Configuration

Made from core/settings.py by `python -m tests.documents`; no edits by hand.

Every setting is an environment variable, or a line of the file that `TIDINGS_CONFIG` names: TOML (`redis_url = "..."`, `[smtp]`
`host = "..."`) if its name ends in .toml, else `NAME=value` lines. A variable wins over the file. A station that starts with a
setting missing or wrong ends with exit code 78 and a line for each, saying what was expected.

## Stations

"""
CLIENTS = """
## Clients and the command line

`tidings.Client()` and `tidings` read these; what neither an argument nor a variable says, the `tidings up` of the current
folder does (.tidings/dev.json).

"""


def rows(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[tuple[str, str, str]]:
    """(variable, default, words) of every setting, groups after single ones."""
    groups: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            groups.append((name, field.annotation))
        else:
            yield variable(name, field, prefix), shown(field), field.description or ""
    for name, group in groups:
        yield from rows(group, f"{prefix}{name.upper()}__")


def variable(name: str, field: FieldInfo, prefix: str) -> str:
    """Its variable; those of OpenTelemetry have names of their own."""
    alias = field.validation_alias
    last = str(getattr(alias, "choices", [alias])[-1])  # the widest
    return last if last.startswith("OTEL_") else f"{prefix}{(field.alias or name).upper()}"


def shown(field: FieldInfo) -> str:
    """Its default as one would write it."""
    default: Any = field.default
    if isinstance(default, SecretStr) or default in (None, "", (), {}):
        return ""
    if isinstance(default, tuple):
        return ",".join(f"{item:g}" if isinstance(item, float | int) else str(item) for item in default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def table(model: type[BaseModel]) -> str:
    """A table of all settings of a model."""
    lines = [f"| `{name}` | {f'`{default}`' if default else ''} | {words} |" for name, default, words in rows(model)]
    return "\n".join(["| variable | default | what it says |", "| --- | --- | --- |", *lines, ""])


def configuration() -> str:
    """The whole page."""
    return HEAD + table(Settings) + CLIENTS + table(ClientSettings)


if __name__ == "__main__":
    FILE.write_text(configuration())
