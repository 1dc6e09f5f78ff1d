"""Template files: TOML, a table for each channel and language. Read and checked for shape here; the texts are the gateway's.

name = "order_confirmation"
default_language = "en"
variables = ["name", "order_id", "note?"]      # "?": may be left out of data

[email.en]
subject = "Your order {{ order_id }}"
html = { file = "order_confirmation.en.html" } # beside this file
text = "Hello {{ name }}, ..."

[sms.en]
text = "Order {{ order_id }} is on its way"
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from core.errors import TidingsError
from tidings.messages import ContentFields

CHANNELS = ("email", "sms", "push", "in_app")
HEAD = ("name", "default_language", "variables")


class BadFile(TidingsError):
    """A file that a person wrote cannot be read; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """What Client.put_template takes."""

    name: str
    default_language: str
    variables: tuple[str, ...]
    contents: Mapping[str, Mapping[str, ContentFields]]


def load(path: Path) -> TemplateFile:
    """Read a template file and the files it names.

    Raises:
        BadFile: it is not there, not TOML, or not of the shape above.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} is not TOML in UTF-8: {error}") from error
    unknown = found.keys() - {*HEAD, *CHANNELS}
    if unknown:
        raise BadFile(f"{path}: {min(unknown)!r} is not known; there are {', '.join((*HEAD, *CHANNELS))}")
    name, variables = found.get("name", path.stem), found.get("variables", [])
    if not isinstance(name, str) or not _strings(variables):
        raise BadFile(f'{path}: name is a string and variables a list of strings, e.g. ["name", "note?"]')
    contents = {channel: _languages(path, channel, found[channel]) for channel in CHANNELS if channel in found}
    if not contents:
        raise BadFile(f"{path} has no texts: add a table such as [email.en] with subject and text")
    language = found.get("default_language", next(iter(next(iter(contents.values())))))
    return TemplateFile(name, str(language), tuple(variables), contents)


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _languages(path: Path, channel: str, table: object) -> dict[str, ContentFields]:
    if not isinstance(table, dict) or not table or not all(isinstance(parts, dict) for parts in table.values()):
        raise BadFile(f"{path}: {channel} needs a table for each language, e.g. [{channel}.en]")
    return {language: _parts(path, f"{channel}.{language}", parts) for language, parts in table.items()}


def _parts(path: Path, where: str, parts: dict[str, Any]) -> ContentFields:
    made: dict[str, Any] = {}
    for part, value in parts.items():
        strings = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        if isinstance(value, str) or (part == "data" and strings):
            made[part] = value
        elif isinstance(value, dict) and value.keys() == {"file"}:
            made[part] = _text(path, where, part, str(value["file"]))
        else:
            raise BadFile(f'{path}: [{where}] {part} is a string or {{ file = "..." }}; data is a table of strings')
    return cast(ContentFields, made)  # which channel has which part is the gateway's to say


def _text(path: Path, where: str, part: str, name: str) -> str:
    try:
        return (path.parent / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path}: [{where}] {part} names {name!r}, which cannot be read: {error}") from error
