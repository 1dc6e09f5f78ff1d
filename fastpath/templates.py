"""Templates as programs: Jinja2's own parse tree, read into literal and variable segments where it holds nothing else.

Shared by the native renderer and its twin; pure, and imports no other room.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.meta import find_undeclared_variables

from fastpath.errors import RenderFailed, TemplateInvalid
from fastpath.sandbox import HTML, TEXT, Sandbox

MAX_OUTPUT = 1 << 20  # bytes of one rendered part


@dataclass(frozen=True, slots=True)
class Value:
    """A variable to print: the names and indices that lead to it, and whether it is escaped for HTML."""

    path: tuple[str | int, ...]
    escape: bool

    def named(self, depth: int) -> str:
        """The path down to its `depth`-th step, as people write it."""
        return ".".join(map(str, self.path[: depth + 1]))


Segment = bytes | Value


@dataclass(frozen=True, slots=True)
class Program:
    """One part of a template. `segments` is None where only Jinja2 can render it."""

    part: int
    segments: tuple[Segment, ...] | None
    template: Template
    variables: frozenset[str]


def parse(parts: Sequence[tuple[int, str, bool]]) -> tuple[Program, ...]:
    """The programs of (part, source, html).

    Raises:
        TemplateInvalid: with the part and the line.
    """
    return tuple(_parse(part, source, HTML if html else TEXT) for part, source, html in parts)


def run_jinja(program: Program, data: dict[str, Any]) -> bytes:
    """The part as Jinja2 renders it, UTF-8.

    Raises:
        VariableMissing, RenderFailed.
    """
    chunks: list[str] = []
    left = MAX_OUTPUT
    try:
        for chunk in program.template.generate(data):
            left -= len(chunk)
            if left < 0:
                raise RenderFailed(f"more than {MAX_OUTPUT} characters")
            chunks.append(chunk)
        return "".join(chunks).encode()
    except RenderFailed:
        raise
    except Exception as error:  # whatever a template can provoke is the template's fault, and is told as such
        raise RenderFailed(f"{type(error).__name__}: {error}") from error


def _parse(part: int, source: str, sandbox: Sandbox) -> Program:
    try:
        tree = sandbox.parse(source)
        variables = frozenset(find_undeclared_variables(tree))
        segments = _segments(tree, sandbox)
        return Program(part, segments, sandbox.from_string(source), variables)
    except TemplateError as error:
        raise TemplateInvalid(str(error.message), getattr(error, "lineno", 1), part) from error


def _segments(tree: nodes.Template, sandbox: Sandbox) -> tuple[Segment, ...] | None:
    segments: list[Segment] = []
    for node in _printed(tree.body):
        segment = _segment(node, sandbox)
        if segment is None:
            return None
        segments.append(segment)
    return tuple(segments)


def _printed(body: Iterable[nodes.Node]) -> Iterator[nodes.Node]:
    """What the statements print, one by one; a statement that does more than print comes as itself."""
    for statement in body:
        if isinstance(statement, nodes.Output):
            yield from statement.nodes
        else:
            yield statement


def _segment(node: nodes.Node, sandbox: Sandbox) -> Segment | None:
    if isinstance(node, nodes.TemplateData):
        return node.data.encode()
    escape = bool(sandbox.autoescape)
    if isinstance(node, nodes.Filter) and node.name in ("e", "escape") and not (node.args or node.kwargs) and node.node:
        node, escape = node.node, True
    path = _path(node, sandbox)
    return Value(path, escape) if path else None


def _path(node: nodes.Node, sandbox: Sandbox) -> tuple[str | int, ...] | None:
    """The path of a.b["c"][0]; None for any other expression."""
    if isinstance(node, nodes.Name):
        return None if node.name in sandbox.globals or node.name == "self" else (node.name,)
    if isinstance(node, nodes.Getattr):
        key: Any = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and type(node.arg.value) in (str, int):
        key = node.arg.value
    else:
        return None
    before = _path(node.node, sandbox)
    return (*before, key) if before else None
