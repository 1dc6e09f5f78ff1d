"""Twin of fastpath/render.pyx: templates compiled once, rendered to packed parts, and a bounded cache of what was rendered.

No I/O. Runs programs (fastpath/programs.py); a part that holds more than those can say is rendered by Jinja2.
"""

import operator
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import orjson
from markupsafe import escape

from fastpath import programs
from fastpath.errors import RenderFailed, VariableMissing
from fastpath.pure.records import pack_parts
from fastpath.sandbox.limits import MAX_OUTPUT, MAX_WORK
from fastpath.templates import Part, parse, run_jinja
from fastpath.values import ENTRY_OVERHEAD, SIGHTS, Stats

_MISSING = object()
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}


class Compiled:
    """A template's parts, ready to render. Made by `compile_parts`.

    `variables` are the names it looks up in the data, `required` those of them that it cannot do without: a name that it gives
    a default for, or asks whether it is defined, is not required. `plain` is True where no part needs Jinja2.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self.variables: frozenset[str] = frozenset().union(*(part.variables for part in parts))
        self.required: frozenset[str] = frozenset().union(*(part.variables - part.optional for part in parts))
        self.plain = all(part.body is not None for part in parts)

    def render(self, data: dict[str, Any]) -> bytes:
        """All parts, packed (see `pack_parts`), from JSON values.

        Raises:
            VariableMissing: the data lacks a variable.
            RenderFailed: the template cannot be rendered with this data, or grew over its limit.
        """
        return pack_parts([(part.number, _render(part, data)) for part in self._parts])


def compile_parts(parts: Sequence[tuple[int, str, bool]]) -> Compiled:
    """Compile (part number, source, whether it is HTML and so escaped).

    Raises:
        TemplateInvalid: with the part and the line.
    """
    return Compiled(parse(parts))


class RenderCache:
    """Rendered content by template and data, the least recently used dropped first; at most `max_bytes`.

    Content is kept when its input is seen for the second time: a personal text is seen once, and to keep it costs more than a
    third of its rendering. What was seen is known by its hash, one in each place of a table: a sight is forgotten when another
    takes its place, and an input that is taken for another is merely kept early.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._sights = [0] * SIGHTS
        self._contents: OrderedDict[tuple[Hashable, bytes], bytes] = OrderedDict()
        self._hits = self._misses = self._bytes = 0

    def render(self, key: tuple[Hashable, ...], compiled: Compiled, data: bytes) -> bytes:
        """`compiled.render` of a JSON object, twice at the most for equal input that comes often.

        `key` names the template: name, version, language, channel.

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
        if self._seen(hash(full)):
            self._keep(full, content)
        return content

    def stats(self) -> Stats:
        """Counts since the start, and what is held now."""
        return Stats(self._hits, self._misses, len(self._contents), self._bytes)

    def _seen(self, sight: int) -> bool:
        place = sight & (SIGHTS - 1)
        before, self._sights[place] = self._sights[place], sight
        return before == sight

    def _keep(self, full: tuple[Hashable, bytes], content: bytes) -> None:
        self._contents[full] = content
        self._bytes += _cost(full, content)
        while self._bytes > self._max_bytes:
            self._bytes -= _cost(*self._contents.popitem(last=False))


def fallback(language: str, available: Sequence[str], default: str) -> str:
    """The best of the available languages: de-AT, then de, then the default. Case does not matter."""
    spelled = {each.lower(): each for each in reversed(available)}
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
    return len(full[1]) + len(content) + ENTRY_OVERHEAD


def _render(part: Part, data: dict[str, Any]) -> bytes:
    if part.template is not None:
        return run_jinja(part.template, data)
    run = _Run(data)
    try:
        run.body(part.body or ())
    except (TypeError, UnicodeEncodeError, RecursionError) as error:
        raise RenderFailed(f"{type(error).__name__}: {error}") from error
    return bytes(run.out)


class _Run:
    """One rendering of one program: its output so far, the variables in sight, and the work done."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.out = bytearray()
        self.scope = data
        self.work = 0
        self.index = self.length = 0  # of the innermost loop

    def body(self, body: programs.Body) -> None:
        for statement in body:
            if isinstance(statement, bytes):
                self._write(statement)
            elif isinstance(statement, programs.Print):
                text = _text(self._value(statement.value))
                self._write((escape(text) if statement.escape else text).encode())
            elif isinstance(statement, programs.Branch):
                self.body(self._chosen(statement))
            else:
                self._loop(statement)

    def _write(self, text: bytes) -> None:
        self.out += text
        if len(self.out) > MAX_OUTPUT:
            raise RenderFailed(f"more than {MAX_OUTPUT} bytes")

    def _chosen(self, branch: programs.Branch) -> programs.Body:
        return next((body for test, body in branch.cases if self._value(test)), branch.otherwise)

    def _loop(self, loop: programs.Loop) -> None:
        over = self._value(loop.over)
        if not isinstance(over, (list, dict, str)):
            raise RenderFailed(f"cannot loop over a {type(over).__name__}")
        self.work += loop.cost * len(over)
        if self.work > MAX_WORK:
            raise RenderFailed(f"takes too much work: more than {MAX_WORK} steps")
        if not over:
            return self.body(loop.otherwise)
        around = self.scope, self.index, self.length
        self.scope, self.length = dict(self.scope), len(over)
        for self.index, self.scope[loop.target] in enumerate(over):
            self.body(loop.body)
        self.scope, self.index, self.length = around

    def _value(self, node: programs.Expression) -> Any:
        match node:
            case programs.Path():
                return self._find(node)
            case programs.Counter(name):
                return self._counter(name)
            case programs.Constant(value):
                return value
            case programs.Default(path, value, falsy):
                found = self._find(path, soft=True)
                return value.value if found is _MISSING or (falsy and not found) else found
            case programs.Defined(path, wanted):
                return (self._find(path, soft=True) is not _MISSING) is wanted
            case programs.Not(value):
                return not self._value(value)
            case programs.Either(left, right, both):
                found = self._value(left)
                return self._value(right) if bool(found) is both else found
            case programs.Compare(left, operator_, right):
                return _COMPARE[operator_](self._value(left), self._value(right))
            case programs.Choice(test, then, otherwise):
                return self._value(then if self._value(test) else otherwise)

    def _counter(self, name: str) -> int:
        match name:
            case "index":
                return self.index + 1
            case "index0":
                return self.index
            case "first":
                return self.index == 0
            case "last":
                return self.index == self.length - 1
        return self.length

    def _find(self, path: programs.Path, soft: bool = False) -> Any:
        """The variable; VariableMissing where there is none, or with `soft`, if only its last step fails, _MISSING."""
        found: Any = self.scope
        for depth, key in enumerate(path.keys):
            try:
                found = found[key]
            except (TypeError, LookupError):
                if soft and depth == len(path.keys) - 1:
                    return _MISSING
                raise VariableMissing(path.named(depth)) from None
        return found


def _text(value: Any) -> str:
    if type(value) in (str, int, float, bool, type(None), list, dict):
        return str(value)
    raise RenderFailed(f"cannot print a {type(value).__name__}")
