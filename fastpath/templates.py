"""Templates compiled: each part as a program where that is enough (programs.py), else as Jinja2's own code in the sandbox.

Shared by the native renderer and its twin; pure, and imports no other room.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables

from fastpath.errors import RenderFailed, TemplateInvalid
from fastpath.programs import Body, read
from fastpath.sandbox.environment import HTML, TEXT, Sandbox
from fastpath.sandbox.limits import MAX_OUTPUT
from fastpath.sandbox.syntax import bounded, check

MAX_SOURCE = 1 << 18  # characters of one part's source


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a template. `body` is its program; None where `template`, Jinja2's, must render it."""

    number: int
    body: Body | None
    template: Template | None
    variables: frozenset[str]
    optional: frozenset[str]  # those that the part asks for by `default` or `is defined`


def parse(parts: Sequence[tuple[int, str, bool]]) -> tuple[Part, ...]:
    """The compiled parts of (number, source, html).

    Raises:
        TemplateInvalid: with the part and the line.
    """
    return tuple(_parse(number, source, HTML if html else TEXT) for number, source, html in parts)


def run_jinja(template: Template, data: dict[str, Any]) -> bytes:
    """The text that Jinja2 renders, UTF-8.

    Raises:
        VariableMissing, RenderFailed.
    """
    chunks: list[str] = []
    left = MAX_OUTPUT
    try:
        for chunk in template.generate(data):
            left -= len(chunk)
            if left < 0:
                raise RenderFailed(f"more than {MAX_OUTPUT} bytes")
            chunks.append(chunk)
        text = "".join(chunks).encode()
    except RenderFailed:
        raise
    except Exception as error:  # whatever it is, a template provoked it with its data, and its author has to hear of it
        raise RenderFailed(f"{type(error).__name__}: {error}") from error
    if len(text) > MAX_OUTPUT:
        raise RenderFailed(f"more than {MAX_OUTPUT} bytes")
    return text


def _parse(number: int, source: str, sandbox: Sandbox) -> Part:
    if len(source) > MAX_SOURCE:
        raise TemplateInvalid(f"more than {MAX_SOURCE} characters", 1, number)
    try:
        tree = sandbox.parse(source)
        check(tree, sandbox)
        variables = frozenset(find_undeclared_variables(tree))
        body = read(tree, sandbox)
        template = None if body is not None else sandbox.from_string(bounded(tree))
        return Part(number, body, template, variables, _optional(tree) & variables)
    except TemplateSyntaxError as error:
        raise TemplateInvalid(error.message or "syntax error", error.lineno, number) from error
    except TemplateInvalid as error:
        raise TemplateInvalid(error.message, error.line, number) from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # Nested deeper than Python's own compiler goes, a number with more digits than it reads, or a lone surrogate.
        raise TemplateInvalid(f"too deep or not text: {error}", 1, number) from error


def _optional(tree: nodes.Template) -> frozenset[str]:
    """Variables that the template itself asks about before it needs them. (Reads `tree` as bounded() may have left it.)"""
    found = []
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        if node.name in ("default", "d", "defined", "undefined") and isinstance(node.node, nodes.Name):
            found.append(node.node.name)
    return frozenset(found)
