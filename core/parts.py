"""The parts of a template as fastpath.compile_parts takes them: HTML to be escaped, push data as JSON that stays JSON. Pure."""

from collections.abc import Mapping

import orjson

from core.model import Part


def sources(parts: Mapping[Part, str]) -> list[tuple[int, str, bool]]:
    """(part, source, escape for HTML) of each part.

    Args:
        parts: sources by part; DATA is a JSON object whose values are sources of their own.

    Raises:
        ValueError: DATA is not a JSON object of strings.
    """
    return [(part, data_source(text) if part is Part.DATA else text, part is Part.HTML) for part, text in parts.items()]


def data_source(text: str) -> str:
    """One source that renders to a JSON object of strings, whatever characters the values turn out to hold.

    Raises:
        ValueError: `text` is not a JSON object of strings.
    """
    values = orjson.loads(text)
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise ValueError("push data is a JSON object of strings")
    return "{" + ", ".join(f"{_literal(key)}: {_value(source)}" for key, source in values.items()) + "}"


def _value(source: str) -> str:
    if "{" not in source:
        return _literal(source)
    return "{% filter tojson %}" + source + "{% endfilter %}"


def _literal(text: str) -> str:
    """A JSON string in which no template syntax can begin."""
    return orjson.dumps(text).decode().replace("{", "\\u007b")
