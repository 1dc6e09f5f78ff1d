"""Twin of fastpath/render.pyx: templates compiled once, rendered to packed parts, and a bounded cache of what was rendered.

No I/O. Where a part holds more than variables, Jinja2 renders it (fastpath/templates.py).
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import orjson
from markupsafe import escape

from fastpath.errors import RenderFailed, VariableMissing
from fastpath.pure.records import pack_parts
from fastpath.sandbox import lookup, text_of
from fastpath.templates import MAX_OUTPUT, Program, Segment, Value, parse, run_jinja

_OVERHEAD = 256  # bytes an entry of the cache costs beside its data and content


class Compiled:
    """A template's parts, ready to render. Made by `compile_parts`.

    `variables` are the names it looks up in the data; `plain` is True where no part needs Jinja2.
    """

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = tuple(programs)
        self.variables: frozenset[str] = frozenset().union(*(program.variables for program in programs))
        self.plain = all(program.segments is not None for program in programs)

    def render(self, data: dict[str, Any]) -> bytes:
        """All parts, packed (see `pack_parts`), from JSON values.

        Raises:
            VariableMissing: the data lacks a variable.
            RenderFailed: the template cannot be rendered with this data, or grew over its limit.
        """
        return pack_parts([(program.part, _run(program, data)) for program in self._programs])


def compile_parts(parts: Sequence[tuple[int, str, bool]]) -> Compiled:
    """Compile (part number, source, whether it is HTML and so escaped).

    Raises:
        TemplateInvalid: with the part and the line.
    """
    return Compiled(parse(parts))


class Stats(NamedTuple):
    """What a cache did and holds."""

    hits: int
    misses: int
    entries: int
    bytes: int


class RenderCache:
    """Rendered content by template and data, the least recently used dropped first; at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._contents: OrderedDict[tuple[Hashable, bytes], bytes] = OrderedDict()
        self._hits = self._misses = self._bytes = 0

    def render(self, key: tuple[Hashable, ...], compiled: Compiled, data: bytes) -> bytes:
        """`compiled.render` of a JSON object, once for equal input. `key` names the template: name, version, language, channel.

        Raises:
            VariableMissing, RenderFailed: as `Compiled.render`; RenderFailed also for what is no JSON object.
        """
        full = (key, data)
        content = self._contents.get(full)
        if content is not None:
            self._contents.move_to_end(full)
            self._hits += 1
            return content
        self._misses += 1
        content = compiled.render(_loads(data))
        self._keep(full, content)
        return content

    def stats(self) -> Stats:
        """Counts since the start, and what is held now."""
        return Stats(self._hits, self._misses, len(self._contents), self._bytes)

    def _keep(self, full: tuple[Hashable, bytes], content: bytes) -> None:
        self._contents[full] = content
        self._bytes += _cost(full, content)
        while self._bytes > self._max_bytes:
            self._bytes -= _cost(*self._contents.popitem(last=False))


def fallback(language: str, available: Sequence[str], default: str) -> str:
    """The best of the available languages: de-AT, then de, then the default. Case does not matter."""
    spelled = {each.lower(): each for each in available}
    tag = language.lower()
    while tag:
        if tag in spelled:
            return spelled[tag]
        tag = tag.rpartition("-")[0]
    return default


def _loads(data: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RenderFailed(f"data is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RenderFailed("data is not a JSON object")
    return value


def _cost(full: tuple[Hashable, bytes], content: bytes) -> int:
    return len(full[1]) + len(content) + _OVERHEAD


def _run(program: Program, data: dict[str, Any]) -> bytes:
    if program.segments is None:
        return run_jinja(program, data)
    out = bytearray()
    for segment in program.segments:
        out += _print(segment, data)
        if len(out) > MAX_OUTPUT:
            raise RenderFailed(f"more than {MAX_OUTPUT} bytes")
    return bytes(out)


def _print(segment: Segment, data: dict[str, Any]) -> bytes:
    if isinstance(segment, bytes):
        return segment
    text = text_of(_find(segment, data))
    try:
        return (escape(text) if segment.escape else text).encode()
    except UnicodeEncodeError as error:
        raise RenderFailed(f"not text: {error}") from error


def _find(value: Value, data: dict[str, Any]) -> Any:
    found: Any = data
    for depth, key in enumerate(value.path):
        if not isinstance(found, dict):
            found = lookup(found, key, value.named(depth))
        elif key in found:
            found = found[key]
        else:
            raise VariableMissing(value.named(depth))
    return found
